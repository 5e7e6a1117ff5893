package sdk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/tokencache"
)

// maxToken is how long a token may be, in bytes, before anything else of it is looked at.
const maxToken = 16 << 10

// Verifier checks the tokens that callers present, for one audience. It is safe for concurrent use.
//
// A token seen before is answered from memory, without a lock or an allocation, for as long as it has neither expired nor been taken
// back. A JWT seen for the first time is checked against the issuer's keys (RFC 9068 §4); any other token is looked up in the token store,
// if there is one, and else introspected (RFC 7662).
type Verifier struct {
	engine           *engine
	audience         string
	resourceMetadata string // see WithResourceMetadata; empty: challenges do not name it
}

// NewVerifier returns a verifier of tokens that this issuer made for this audience, the identifier of the API that is served. It does no
// I/O: the first Verify or [Verifier.Ready] begins to follow the issuer's keys and revocations, [Verifier.Close] ends that. An error
// says which argument or option is at fault.
func NewVerifier(issuer, audience string, opts ...VerifierOption) (*Verifier, error) {
	config := newVerifierConfig()
	for _, opt := range opts {
		if err := opt.applyVerifier(config); err != nil {
			return nil, err
		}
	}
	if audience == "" {
		return nil, errNoAudience
	}
	config.sign(issuer, config.clientID)
	e, err := newEngine(issuer, audience, config)
	if err != nil {
		return nil, err
	}
	return &Verifier{engine: e, audience: audience, resourceMetadata: config.resourceMetadata}, nil
}

// ForAudience returns a verifier for another audience that shares everything else with v: what it remembers, follows and counts, and
// its end. Opaque tokens for it are introspected, unless [WithTokenStoreFor] names its API.
func (v *Verifier) ForAudience(audience string) *Verifier {
	return &Verifier{engine: v.engine, audience: audience}
}

// ForResource is [Verifier.ForAudience] with challenges that name the URL of the resource's metadata, as [WithResourceMetadata] has them.
func (v *Verifier) ForResource(audience, metadata string) (*Verifier, error) {
	if audience == "" {
		return nil, errNoAudience
	}
	if err := checkMetadataURL(metadata); err != nil {
		return nil, fmt.Errorf("metadata of the resource: %w", err)
	}
	return &Verifier{engine: v.engine, audience: audience, resourceMetadata: metadata}, nil
}

// Ready begins to follow the issuer, waits until the first attempt to reach it has ended, and returns nil if tokens can be judged. It
// may be asked again, by a readiness probe for instance: later it does not wait. Errors are *VerifyError with ErrUnavailable.
func (v *Verifier) Ready(ctx context.Context) error { return v.engine.ready(ctx) }

// Close ends all work in the background and waits for it. From then on every token is ErrUnavailable and [ErrClosed].
func (v *Verifier) Close() error {
	v.engine.close()
	return nil
}

// Verify tells who presents the token, if it is good for what the policy asks. The identity is shared and does not change.
//
// A token that is bound to a key or certificate (cnf) is refused: who presents it without proof may have stolen it. See
// [Verifier.VerifyPresented] and [Verifier.VerifyRequest].
//
// Errors are *VerifyError of these kinds: ErrInvalidToken, ErrInsufficientScope, ErrForbidden, and ErrUnavailable if nothing can be said
// for the time being. A caller that gives up at the end of ctx does not end what others wait for.
func (v *Verifier) Verify(ctx context.Context, token string, p Policy) (*Identity, error) {
	return v.check(ctx, &Presented{Token: token}, p)
}

// check tells who presents the token. Bound tokens never take the short way: what is remembered is the token, and the proof is new each time.
func (v *Verifier) check(ctx context.Context, shown *Presented, p Policy) (*Identity, error) {
	token := shown.Token
	if len(token) > maxToken {
		v.engine.tally.invalid.Inc()
		return nil, invalidToken("the token is too long")
	}
	hash, now := hashOf(token), time.Now()
	if k := v.engine.cache.Entry(&hash); k != nil && v.engine.stands(k, p.Mode, now) {
		i := k.Value.identity
		if i.bound == nil && v.takesBearers(shown, p) && slices.Contains(i.audience, v.audience) && p.allows(i) {
			v.engine.tally.remembered.Inc()
			v.engine.recovered(ctx, now)
			return i, nil
		}
	}
	i, err := v.verify(ctx, &presented{token: token, hash: hash, audience: v.audience, strict: p.Mode != Available})
	if err == nil {
		err = v.prove(ctx, i, shown, p.Bound)
	}
	if err == nil {
		err = p.refuse(i)
	}
	v.engine.tally.count(err)
	v.engine.note(ctx, v.audience, err)
	switch {
	case err != nil && shown.DPoP:
		return nil, offering(failedDPoP, err)
	case err != nil:
		return nil, err
	}
	return i, nil
}

// takesBearers tells whether a token that is not bound is good enough here, by the scheme that it came by.
func (v *Verifier) takesBearers(shown *Presented, p Policy) bool {
	return !shown.DPoP && !p.Bound && !v.engine.config.boundOnly
}

// hashOf hashes a token without a copy of it on the heap.
func hashOf(token string) (hash tokencache.Key) {
	var part [512]byte
	h := sha256.New()
	for len(token) > 0 {
		n := copy(part[:], token)
		h.Write(part[:n])
		token = token[n:]
	}
	h.Sum(hash[:0])
	return hash
}

// presented is a token in the hands of one caller.
type presented struct {
	token    string
	hash     tokencache.Key
	audience string
	strict   bool
	known    bool // it was good before, so whoever presents it is not just guessing
}

// verify judges a token that cannot be answered for at once.
func (v *Verifier) verify(ctx context.Context, p *presented) (*Identity, error) {
	if err := v.engine.start(); err != nil {
		return nil, unavailable(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, v.engine.patience(), errPatience)
	defer cancel()
	k, live, err := v.engine.recognise(ctx, p)
	if err != nil {
		return nil, err
	}
	return v.engine.judge(ctx, p, k, live)
}
