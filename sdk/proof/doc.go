// Package proof makes and checks what a client shows beside or in place of a secret: client assertions (RFC 7523), DPoP proofs (RFC 9449),
// certificates (RFC 8705, RFC 9440).
//
// The checking half says what a proof proves: [ReadDPoP] and [DPoP], [Nonces], [CertificateThumbprint], [ParseClientCert]. That a proof
// is fresh, covers this very token and was not used before are questions of their own, which whoever checks has to ask.
//
// No error of this package holds any part of a proof.
package proof
