package sdktest

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

const (
	methodBasic      = "client_secret_basic"
	methodPost       = "client_secret_post"
	methodPrivateKey = "private_key_jwt"
	methodSPIFFE     = "spiffe_jwt"
	methodTLS        = "tls_client_auth"
	methodSelfSigned = "self_signed_tls_client_auth"

	ownAPI = "urn:countersign:server" // a Countersign server as a resource
)

// registered is a client by all that it authenticates by; its newest secret is the last.
type registered struct {
	secrets      []string
	keys         []*jose.Key
	certificates [][32]byte
	workloads    []workload
}

// workload is whom an issuer knows by subject.
type workload struct {
	issuer, subject string
	key             *jose.Key
}

// AddClient registers a client with a secret. A client that is there already gets a further secret, as in the overlap of a rotation.
func (i *Issuer) AddClient(id, secret string) {
	i.register(id, func(c *registered) { c.secrets = append(c.secrets, secret) })
}

// AddKey registers a client, which may be there already, with a public key that its client assertions are signed by (private_key_jwt): a JWK, as
// [proof.Key.PublicJWK] returns it. Anything else panics.
func (i *Issuer) AddKey(id string, publicJWK []byte) {
	key := parseJWK(publicJWK)
	i.register(id, func(c *registered) { c.keys = append(c.keys, key) })
}

// AddCertificate registers a client, which may be there already, with a certificate that its connections show (RFC 8705 §2.2). The issuer must
// be one of [Start] [WithTLS].
func (i *Issuer) AddCertificate(id string, certificate *x509.Certificate) {
	sum := proof.CertificateThumbprint(certificate)
	i.register(id, func(c *registered) { c.certificates = append(c.certificates, sum) })
}

// AddWorkload registers a client, which may be there already, as the subject of JWTs of another issuer, signed by this key and for this issuer:
// the token of a Kubernetes service account, or a JWT-SVID, whose issuer may be empty. Anything but a public JWK panics.
func (i *Issuer) AddWorkload(id, issuer, subject string, publicJWK []byte) {
	key := parseJWK(publicJWK)
	i.register(id, func(c *registered) { c.workloads = append(c.workloads, workload{issuer, subject, key}) })
}

func (i *Issuer) register(id string, add func(*registered)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.clients[id]
	if c == nil {
		c = &registered{}
		i.clients[id] = c
	}
	add(c)
}

func parseJWK(text []byte) *jose.Key {
	key, err := jose.ParseKey(text)
	if err != nil {
		panic(fmt.Sprintf("sdktest: a public key: %v", err))
	}
	return key
}

// RotateSecret makes secret the only one of the client: from now on all others are refused.
func (i *Issuer) RotateSecret(id, secret string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clients[id] = &registered{secrets: []string{secret}}
}

// ClientID returns the id of the client that is there from the start. It may ask for tokens and introspect any.
func (i *Issuer) ClientID() string { return i.id }

// ClientSecret returns the secret that the client of [Issuer.ClientID] has from the start.
func (i *Issuer) ClientSecret() string { return i.secret }

// Credential returns the id of the client's newest secret, as tokens bear it in cs_sec; empty if there is no such client, or it has none.
func (i *Issuer) Credential(clientID string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.clients[clientID]
	if c == nil || len(c.secrets) == 0 {
		return ""
	}
	return credentialID(c.secrets[len(c.secrets)-1])
}

func credentialID(secret string) string { return idOf("sec_", secret) }

// caller is who sends a request, and by what.
type caller struct {
	client string
	secret string // its id; empty: there is none
	x5t    string // of the certificate; empty: there is none
}

// authenticate tells which client sends a request (RFC 6749 §2.3) and by what, or refuses it.
func (i *Issuer) authenticate(w http.ResponseWriter, r *http.Request) (*caller, bool) {
	methods := i.config.methods
	if len(methods) == 0 {
		methods = []string{methodBasic}
	}
	i.mu.Lock()
	who, why := i.whoSends(r, methods)
	i.mu.Unlock()
	if who == nil {
		refuse(w, http.StatusUnauthorized, "", "client authentication failed"+why)
	}
	return who, who != nil
}

// admit tells who asks about tokens or revocations: by credentials, or by a token for the server itself, as Countersign takes them.
func (i *Issuer) admit(w http.ResponseWriter, r *http.Request) (*caller, bool) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || i.config.foreign {
		return i.authenticate(w, r)
	}
	i.mu.Lock()
	m := i.tokens[token]
	good := i.active(m) && i.clients[m.client] != nil && slices.Contains(m.audience, ownAPI)
	i.mu.Unlock()
	if !good {
		refuse(w, http.StatusUnauthorized, "invalid_token", "the access token is not good here")
		return nil, false
	}
	return &caller{client: m.client}, true
}

// whoSends looks at what there is: an assertion, a secret, a certificate. The caller holds mu.
func (i *Issuer) whoSends(r *http.Request, methods []string) (who *caller, why string) {
	client, secret, method := credentials(r)
	known := i.clients[client]
	switch {
	case known == nil:
		return nil, ""
	case r.PostForm.Has("client_assertion"):
		if err := i.checkAssertion(r.PostForm, client, known, methods); err != nil {
			return nil, ": " + err.Error()
		}
		return &caller{client: client}, ""
	case secret == "" && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		sum := proof.CertificateThumbprint(r.TLS.PeerCertificates[0])
		allowed := slices.Contains(methods, methodTLS) || slices.Contains(methods, methodSelfSigned)
		if !allowed || !slices.Contains(known.certificates, sum) {
			return nil, ""
		}
		return &caller{client: client, x5t: encode(sum[:])}, ""
	case !slices.Contains(known.secrets, secret) || !slices.Contains(methods, method):
		return nil, ""
	}
	return &caller{client: client, secret: credentialID(secret)}, ""
}

// credentials reads what the request bears, which may be nothing.
func credentials(r *http.Request) (client, secret, method string) {
	scheme, encoded, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), methodPost
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || r.PostForm.Has("client_secret") {
		return "", "", methodBasic
	}
	first, second, _ := strings.Cut(string(raw), ":")
	if client, err = url.QueryUnescape(first); err == nil {
		secret, err = url.QueryUnescape(second)
	}
	if err != nil {
		return "", "", methodBasic
	}
	return client, secret, methodBasic
}
