package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/countersign/countersign/internal/fault"
)

// Assertion is a `client_assertion`, RFC 7521 §4.2. It prints as [redacted].
type Assertion struct {
	Type string // `client_assertion_type`
	text string
}

// The types of assertions.
const (
	JWTBearer    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" //nolint:gosec // RFC 7523 §2.2: a name
	SPIFFEBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe" //nolint:gosec // draft-ietf-oauth-spiffe-client-auth: a name
)

// PresentedAssertion wraps what a caller sent.
func PresentedAssertion(kind, text string) Assertion { return Assertion{kind, text} }

// Reveal returns the text, for those who check it.
func (a Assertion) Reveal() string { return a.text }

// Format implements fmt.Formatter without the text.
func (a Assertion) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer without the text.
func (a Assertion) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Assertions checks what clients sign, or have signed for them.
type Assertions interface {
	// ClientOf returns the client that an assertion says it is of, empty if it says nothing. Nothing of it is checked.
	ClientOf(a Assertion) string
	// Check proves that an assertion is the client's, by its registered method. It returns a *Refusal if it is not, and fault.Unavailable if keys
	// that are needed cannot be had. record may be nil, which is refused in as much time.
	Check(ctx context.Context, record *ClientRecord, a Assertion) (Proven, error)
}

// Proven is what an assertion brought.
type Proven struct {
	Use    *ProofUse      // nil: it may be used again
	Issuer *TrustedIssuer // nil: the client signed it itself
}

// Certificates checks the certificates of TLS connections.
type Certificates interface {
	// Check proves that a chain, the client's own certificate first, is the client's, by its registered method. Its errors are those of
	// Assertions.Check.
	Check(ctx context.Context, record *ClientRecord, chain []*x509.Certificate) (Proven, error)
}

// prove authenticates by what is no secret. A client that is not known yet, or has another key now, may be known after a look at the change log.
func (a *Authenticator) prove(ctx context.Context, c Credentials) (*Caller, error) {
	if c.ClientID == "" && a.Assertions != nil {
		c.ClientID = a.Assertions.ClientOf(c.Assertion)
	}
	caller, err := a.proven(ctx, c)
	if err == nil || c.Frugal || !errors.Is(err, fault.InvalidClient) {
		return caller, err
	}
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "client credentials cannot be checked right now", err)
	}
	return a.proven(ctx, c)
}

func (a *Authenticator) proven(ctx context.Context, c Credentials) (*Caller, error) {
	record := a.record(c)
	var proven Proven
	var err error
	switch {
	case record != nil && (record.Client.Status != Active || !record.Client.AuthMethod.takes(c)):
		return nil, a.decoy(ctx, record, c)
	case c.Assertion.text != "" && a.Assertions != nil:
		proven, err = a.Assertions.Check(ctx, record, c.Assertion)
	case c.Assertion.text == "" && a.Certificates != nil:
		proven, err = a.Certificates.Check(ctx, record, c.Certificates)
	default:
		return nil, refuse(record, Malformed)
	}
	switch found, refused := errors.AsType[*Refusal](err); {
	case refused:
		return nil, fault.Wrap(fault.InvalidClient, notAuthenticated, found)
	case err != nil:
		return nil, err
	case record == nil:
		return nil, refuse(nil, UnknownClient)
	}
	caller := a.caller(record)
	caller.Issuer = proven.Issuer
	caller.again = func(ctx context.Context) error {
		_, err := a.proven(ctx, c)
		return err
	}
	if proven.Use != nil {
		caller.Uses = []ProofUse{*proven.Use}
	}
	return caller, nil
}

// decoy refuses a client that an assertion is of no use to, in as much time as one that is not known.
func (a *Authenticator) decoy(ctx context.Context, record *ClientRecord, c Credentials) error {
	if c.Assertion.text != "" && a.Assertions != nil {
		_, _ = a.Assertions.Check(ctx, nil, c.Assertion)
	}
	if record.Client.Status != Active {
		return refuse(record, DisabledClient)
	}
	return refuse(record, WrongMethod)
}

// takes reports whether credentials are of the kind that goes with the method.
func (m Method) takes(c Credentials) bool {
	switch m {
	case PrivateKeyJWT, FederatedJWT:
		return c.Assertion.text != "" && c.Assertion.Type == JWTBearer
	case SPIFFEJWT:
		return c.Assertion.text != "" && c.Assertion.Type == SPIFFEBearer
	case TLSClientAuth, SelfSignedTLS, SPIFFEX509:
		return c.Assertion.text == "" && len(c.Certificates) > 0
	case SecretBasic, SecretPost:
	}
	return false
}
