package sdk

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/countersign/countersign/sdk/internal/reload"
	"github.com/countersign/countersign/sdk/proof"
)

// certificateLimit is how many bytes a file of a certificate or its key may have.
const certificateLimit = 256 << 10

// Certificate authenticates by a client certificate, see [ClientCertificate] and [ClientCertificateFunc].
type Certificate struct {
	hidden

	check func() error
	get   func(context.Context, *slog.Logger) (*tls.Certificate, error)
}

// ClientCertificate authenticates by mutual TLS (RFC 8705 §2, tls_client_auth and self_signed_tls_client_auth; spiffe_x509) with the certificate and its key in
// these files, PEM, the chain behind the certificate if there is one. They are read again when they have changed. The server is asked at its
// mtls_endpoint_aliases if it has some.
//
// The SDK's connections to the server show the certificate, with [WithHTTPClient] a copy of that client's transport, which must be a
// *http.Transport. So do calls by [Client.Transport] whose base is nil: a token may be bound to the certificate (RFC 8705 §3), and is
// worth nothing without. Whoever brings another transport, or calls by gRPC, has it show [Certificate.GetClientCertificate].
func ClientCertificate(certFile, keyFile string) *Certificate {
	file := reload.New("client certificate", certificateLimit, parseCertificate, certFile, keyFile)
	return &Certificate{
		check: func() error {
			if certFile == "" || keyFile == "" {
				return errors.New("ClientCertificate: the path of the certificate or of its key is empty")
			}
			return nil
		},
		get: func(ctx context.Context, log *slog.Logger) (*tls.Certificate, error) {
			certificate, err := file.Value(ctx, log)
			return certificate, local(err)
		},
	}
}

// ClientCertificateFunc is as [ClientCertificate], of the certificate that get returns, such as the X.509-SVID that a SPIFFE Workload API renews
// (draft-ietf-oauth-spiffe-client-auth-02). get is called for every request and every handshake, by any number of goroutines, and returns what it has at
// hand. Its error is told to callers, and must not hold what is secret; it counts as one that passes.
func ClientCertificateFunc(get func(context.Context) (*tls.Certificate, error)) *Certificate {
	var last atomic.Pointer[tls.Certificate] // with its leaf parsed; while it is the same, so is the pointer
	return &Certificate{
		check: func() error {
			if get == nil {
				return errors.New("ClientCertificateFunc: the function that returns certificates is nil")
			}
			return nil
		},
		get: func(ctx context.Context, _ *slog.Logger) (*tls.Certificate, error) {
			got, err := get(ctx)
			if err != nil {
				return nil, err
			}
			if got == nil || len(got.Certificate) == 0 || got.PrivateKey == nil {
				return nil, errors.New("there is no client certificate, or no key of it")
			}
			if held := last.Load(); held != nil && bytes.Equal(held.Certificate[0], got.Certificate[0]) {
				return held, nil
			}
			made := *got
			if made.Leaf, err = x509.ParseCertificate(made.Certificate[0]); err != nil {
				return nil, errors.New("the client certificate cannot be read")
			}
			last.Store(&made)
			return &made, nil
		},
	}
}

func parseCertificate(texts [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return nil, errors.New("certificate and key cannot be read, or do not belong together") // the cause could quote the key
	}
	return &pair, nil
}

func (c *Certificate) validate() error         { return c.check() }
func (c *Certificate) needsBody([]string) bool { return true }

// Authenticate implements ClientAuth: the request names the client, whose proof is the connection.
func (c *Certificate) Authenticate(ctx context.Context, r *AuthRequest) error {
	if _, err := c.current(ctx, r.logger()); err != nil {
		return err
	}
	if err := r.supports("tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"); err != nil {
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
	return c.get(ctx, log)
}

// thumbprint is the x5t#S256 of the certificate, RFC 8705 §3.1.
func thumbprint(certificate *tls.Certificate) string {
	sum := proof.CertificateThumbprint(certificate.Leaf)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
