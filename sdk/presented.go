package sdk

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/proof"
)

// proofHeader is DPoP as net/http spells it.
const proofHeader = "Dpop"

// Presented is a token with what its bearer shows beside it, for [Verifier.VerifyPresented].
type Presented struct {
	// Token is the access token.
	Token string
	// DPoP: the token came by the scheme DPoP (RFC 9449 §7.1), and not by Bearer.
	DPoP bool
	// Proofs are the values of the header DPoP, one per header line.
	Proofs []string
	// Method and URI are those of the request as the client saw it, for DPoP. The URI is absolute; query and fragment do not count.
	Method, URI string
	// Certificate is the one by which the TLS client authenticated itself (RFC 8705); nil: none. Whether somebody trusts it does not
	// matter, but the handshake must have proven that the client has its key.
	Certificate *x509.Certificate

	request *http.Request // has all but token and scheme, where it is not nil
}

// Format implements fmt.Formatter, so that no verb prints a token or a proof.
func (p Presented) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (p Presented) LogValue() slog.Value { return slog.StringValue(redacted) }

// VerifyPresented tells who presents the token, as [Verifier.Verify] does, and takes a bound token with its proof (docs/sdk.md): one with
// cnf.jkt by the scheme DPoP with one proof by that key, one with cnf.x5t#S256 by the client certificate with that hash, and one with both
// with both. It is for transports that [Verifier.VerifyRequest] does not know.
//
// Errors are those of Verify, ErrInvalidProof and ErrUseNonce.
func (v *Verifier) VerifyPresented(ctx context.Context, shown Presented, p Policy) (*Identity, error) {
	return v.check(ctx, &shown, p)
}

// prove tells why the bearer of a good token may not use it: he does not show that he has what it is bound to.
func (v *Verifier) prove(ctx context.Context, i *Identity, shown *Presented, required bool) error {
	b := i.bound
	switch {
	case b == nil && (required || v.engine.config.boundOnly):
		return refusedOffering(offersDPoP, ErrInvalidToken, "the token is bound to no key, and only bound ones are accepted here")
	case shown.DPoP && !b.boundToKey():
		return refusedOffering(offersDPoP, ErrInvalidToken, "the token is not bound to a key, so it does not go by the scheme DPoP")
	case !shown.DPoP && b.boundToKey():
		return refusedOffering(offersDPoP, ErrInvalidToken, "the token is bound to a key and cannot be used as a bearer token")
	case b == nil:
		return nil
	}
	if b.certified {
		if err := v.engine.provenByCertificate(b, shown); err != nil {
			return err
		}
	}
	if b.key == "" || shown.request != nil && ctx.Value(provenKey{v.engine}) == any(shown.Token) {
		return nil
	}
	return v.engine.provenByKey(ctx, b, shown)
}

// provenByCertificate is RFC 8705 §3.
func (e *engine) provenByCertificate(b *binding, shown *Presented) error {
	c := shown.Certificate
	if shown.request != nil {
		var err error
		if c, err = e.config.clientCertificate(shown.request); err != nil {
			return &VerifyError{Kind: ErrInvalidRequest, Detail: "the header Client-Cert is malformed", Err: err}
		}
	}
	switch {
	case c == nil:
		return refusedOffering(offersNothing, ErrInvalidToken, "the token is bound to a client certificate, and there is none")
	case proof.CertificateThumbprint(c) != b.certificate:
		return refusedOffering(offersNothing, ErrInvalidToken, "the token is bound to another client certificate")
	}
	return nil
}

// provenByKey is RFC 9449 §4.3 and §7.1. What costs least comes first, but the signature comes before whatever is remembered.
func (e *engine) provenByKey(ctx context.Context, b *binding, shown *Presented) error {
	headers, method, uri := shown.Proofs, shown.Method, shown.URI
	if r := shown.request; r != nil {
		headers, method, uri = r.Header[proofHeader], r.Method, e.config.uri(r)
	}
	read, err := proof.ReadDPoP(headers, method, uri)
	if err != nil {
		return refusedProof(err)
	}
	if !b.isKey(read.Thumbprint) {
		return refusedOffering(offersDPoP, ErrInvalidToken, "the token is bound to another key than that of the DPoP proof")
	}
	if err := read.Covers(shown.Token); err != nil {
		return refusedProof(err)
	}
	now := time.Now()
	expires := now.Add(proof.NonceLife)
	if nonces := e.config.nonces; nonces != nil {
		if err := nonces.Check(read.Nonce, now); err != nil {
			return refusedOffering(offersDPoP, ErrUseNonce, "the DPoP proof needs a nonce of this server that is still good")
		}
	} else {
		past, future := dpopPast+e.config.leeway, e.config.leeway
		if err := read.Fresh(now, past, future); err != nil {
			return refusedProof(err)
		}
		expires = read.Expires(past, future)
	}
	switch fresh, err := e.replays.add(ctx, read.Key(), expires); {
	case err != nil:
		return &VerifyError{Kind: ErrUnavailable, RetryAfter: time.Second, Err: err}
	case !fresh:
		return refusedOffering(offersDPoP, ErrInvalidProof, "the DPoP proof was used before")
	}
	return nil
}

// dpopPast is how old a proof may be where no nonces are asked for, beyond the leeway for clocks: the time on the way, since clients make one
// for each request.
const dpopPast = 30 * time.Second

// offer says what challenges the answer to a failure has.
type offer uint8

const (
	offersNothing offer = iota // Bearer alone
	offersDPoP                 // DPoP too
	failedDPoP                 // DPoP too, which is where the error belongs
)

func refusedOffering(o offer, kind error, detail string) error {
	return &VerifyError{Kind: kind, Detail: detail, offer: o}
}

// offering returns err with what the challenges are to say.
func offering(o offer, err error) error {
	verdict, ok := err.(*VerifyError) //nolint:errorlint // what is wrapped is the cause of a verdict, and no verdict
	if !ok {
		return err
	}
	offered := *verdict
	offered.offer = o
	return &offered
}

func refusedProof(err error) error {
	detail := quotable(strings.TrimPrefix(err.Error(), proof.ErrDPoP.Error()+": "))
	if errors.Is(err, proof.ErrNoDPoP) {
		detail = "the request has no DPoP proof"
	}
	return refusedOffering(offersDPoP, ErrInvalidProof, detail)
}
