package sdk

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"log/slog"

	"github.com/countersign/countersign/sdk/internal/reload"
)

// certificateLimit is how many bytes a file of a certificate or its key may have.
const certificateLimit = 256 << 10

// Certificate authenticates by a client certificate, see [ClientCertificate].
type Certificate struct {
	hidden

	file  *reload.File[*tls.Certificate]
	paths [2]string
}

// ClientCertificate authenticates by mutual TLS (RFC 8705 §2, tls_client_auth and self_signed_tls_client_auth) with the certificate and its key in
// these files, PEM, the chain behind the certificate if there is one. They are read again when they have changed. The server is asked at its
// mtls_endpoint_aliases if it has some.
//
// The SDK's connections to the server show the certificate, with [WithHTTPClient] a copy of that client's transport, which must be a
// *http.Transport. So do calls by [Client.Transport] whose base is nil: a token may be bound to the certificate (RFC 8705 §3), and is
// worth nothing without. Whoever brings another transport, or calls by gRPC, has it show [Certificate.GetClientCertificate].
func ClientCertificate(certFile, keyFile string) *Certificate {
	return &Certificate{paths: [2]string{certFile, keyFile}, file: reload.New("client certificate", certificateLimit, parseCertificate, certFile, keyFile)}
}

func parseCertificate(texts [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return nil, errors.New("certificate and key cannot be read, or do not belong together") // the cause could quote the key
	}
	return &pair, nil
}

func (c *Certificate) validate() error {
	if c.paths[0] == "" || c.paths[1] == "" {
		return errors.New("ClientCertificate: the path of the certificate or of its key is empty")
	}
	return nil
}

func (c *Certificate) needsBody([]string) bool { return true }

// Authenticate implements ClientAuth: the request names the client, whose proof is the connection.
func (c *Certificate) Authenticate(ctx context.Context, r *AuthRequest) error {
	if _, err := c.current(ctx, r.logger()); err != nil {
		return err
	}
	if err := r.supports("tls_client_auth", "self_signed_tls_client_auth"); err != nil {
		return local(err)
	}
	if r.Form == nil {
		return local(errNoForm)
	}
	r.Form.Set("client_id", r.ClientID)
	return nil
}

// GetClientCertificate is for [tls.Config], of transports to services that get tokens of this client.
func (c *Certificate) GetClientCertificate(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.current(asked.Context(), slog.New(slog.DiscardHandler))
}

func (c *Certificate) current(ctx context.Context, log *slog.Logger) (*tls.Certificate, error) {
	certificate, err := c.file.Value(ctx, log)
	return certificate, local(err)
}

// thumbprint is the x5t#S256 of the certificate, RFC 8705 §3.1.
func thumbprint(certificate *tls.Certificate) string {
	sum := sha256.Sum256(certificate.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
