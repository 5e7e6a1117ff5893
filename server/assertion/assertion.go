// Package assertion tells whether a client assertion is the client's: signed by a key of the client (private_key_jwt, RFC 7523,
// draft-ietf-oauth-rfc7523bis), or by an issuer that is trusted to tell workloads apart (RFC 7523 §3 with a foreign issuer;
// draft-ietf-oauth-spiffe-client-auth). Which of them counts, the client's registration says, never the assertion.
package assertion

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// Keys finds the keys of clients and trusted issuers, as remotekeys.Keys does.
type Keys interface {
	// Key returns a key, or jwks.ErrUnknownKey, which is a verdict. Other errors are none.
	Key(ctx context.Context, source remotekeys.Source, kid string, alg jose.Algorithm) (*jose.Key, error)
}

// Directory knows the trusted issuers, as auth.Directory does.
type Directory interface {
	// TrustedIssuer returns the trusted issuer with this id, or nil.
	TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer
}

// Config is what New needs, all of it.
type Config struct {
	Issuer    string // our issuer identifier
	Keys      Keys
	Directory Directory
	Now       func() time.Time
}

// Verifier implements auth.Assertions.
type Verifier struct {
	config Config
	decoys decoys
}

// New returns a verifier.
func New(config Config) (*Verifier, error) {
	if config.Issuer == "" || config.Keys == nil || config.Directory == nil || config.Now == nil {
		return nil, errors.New("verifier of assertions: an issuer, keys, a directory and a clock are needed")
	}
	decoys, err := newDecoys()
	if err != nil {
		return nil, err
	}
	return &Verifier{config: config, decoys: decoys}, nil
}

// ClientOf implements auth.Assertions: the client that says that it made the assertion itself. A token of a trusted issuer names a workload,
// and the request has to name the client.
func (v *Verifier) ClientOf(a auth.Assertion) string {
	if a.Type != auth.JWTBearer {
		return ""
	}
	t, err := read(a.Reveal())
	if err != nil || t.issuer != t.subject {
		return ""
	}
	return t.subject
}

// Check implements auth.Assertions.
func (v *Verifier) Check(ctx context.Context, record *auth.ClientRecord, a auth.Assertion) (auth.Proven, error) {
	proven, err := v.check(ctx, record, a)
	if why, refused := errors.AsType[*problem](err); refused {
		if record == nil {
			return auth.Proven{}, &auth.Refusal{Reason: auth.UnknownClient}
		}
		return auth.Proven{}, &auth.Refusal{Client: record.Client.ID, Reason: why.reason, Detail: why.detail}
	}
	if err != nil {
		return auth.Proven{}, fault.Wrap(fault.Unavailable, "client credentials cannot be checked right now", err)
	}
	return proven, nil
}

// check makes one check of a signature for whatever can be read, so that what is known of the client does not show in its time.
func (v *Verifier) check(ctx context.Context, record *auth.ClientRecord, a auth.Assertion) (auth.Proven, error) {
	t, err := read(a.Reveal())
	if err != nil {
		return auth.Proven{}, err
	}
	proven, err := v.byMethod(ctx, record, a.Type, t)
	if err != nil && !t.checked {
		v.decoys.check(t)
	}
	return proven, err
}

func (v *Verifier) byMethod(ctx context.Context, record *auth.ClientRecord, kind string, t *token) (auth.Proven, error) {
	if record == nil {
		return auth.Proven{}, &problem{auth.UnknownClient, "no such client"}
	}
	switch method := record.Client.AuthMethod; {
	case method == auth.PrivateKeyJWT && kind == auth.JWTBearer:
		return v.own(ctx, record.Client, t)
	case method == auth.FederatedJWT && kind == auth.JWTBearer, method == auth.SPIFFEJWT && kind == auth.SPIFFEBearer:
		return v.foreign(ctx, record.Client, t)
	}
	return auth.Proven{}, &problem{auth.WrongMethod, "client_assertion_type: not of the client's method"}
}

// own checks an assertion that the client made itself, RFC 7523 §3.
func (v *Verifier) own(ctx context.Context, client *auth.Client, t *token) (auth.Proven, error) {
	if err := ownForm(client, t); err != nil {
		return auth.Proven{}, err
	}
	if err := t.only(v.config.Issuer); err != nil {
		return auth.Proven{}, err
	}
	if err := t.timely(v.config.Now(), ownHorizon); err != nil {
		return auth.Proven{}, err
	}
	use, err := t.once("client", client.ID.String())
	if err != nil {
		return auth.Proven{}, err
	}
	keys := remotekeys.Source{Kind: remotekeys.Set, URL: client.Proofs.JWKSURI, Inline: string(client.Proofs.JWKS)}
	if err := v.signed(ctx, t, keys); err != nil {
		return auth.Proven{}, err
	}
	return auth.Proven{Use: use}, nil
}

// ownForm judges what does not depend on the time and the server.
func ownForm(client *auth.Client, t *token) error {
	id, registered := client.ID.String(), client.Proofs.SigningAlg
	if err := t.typed("JWT", proof.AssertionType); err != nil {
		return err
	}
	switch alg := current(t.Header.Algorithm); {
	case t.keyHint != "":
		return bad(t.keyHint + ": keys come from the client's registration alone")
	case !slices.Contains(proof.Algorithms(), alg):
		return bad("alg: allowed are ES256, RS256, PS256 and EdDSA")
	case registered != "" && string(alg) != string(registered):
		return bad("alg: the client is registered for " + string(registered))
	case t.issuer != id:
		return bad("iss: must be the client's id")
	case t.subject != id:
		return bad("sub: must be the client's id")
	}
	return nil
}

// current is an algorithm by the name that keys and registrations have for it: RFC 9864 has another one for EdDSA with Ed25519.
func current(a jose.Algorithm) jose.Algorithm {
	if a == jose.Ed25519 {
		return jose.EdDSA
	}
	return a
}

// signed checks the signature by the key that the token names among those of source.
func (v *Verifier) signed(ctx context.Context, t *token, source remotekeys.Source) error {
	key, err := v.config.Keys.Key(ctx, source, t.Header.KeyID, t.Header.Algorithm)
	switch {
	case errors.Is(err, jwks.ErrUnknownKey):
		return bad("kid: no key of this id is for this alg")
	case err != nil:
		return err
	}
	t.checked = true
	if t.Verify(key) != nil {
		return bad("the signature is not by the key that kid names")
	}
	return nil
}
