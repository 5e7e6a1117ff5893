package sdk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/flight"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

// recognise finds out what a token is: from memory, or from whoever vouches for it. live: the server was asked on behalf of this caller.
func (e *engine) recognise(ctx context.Context, p *presented) (k *entry, live bool, err error) {
	if k = e.cache.Entry(&p.hash); k != nil {
		p.known = true
		withdrawn := k.Value.key != nil && k.Value.key.Withdrawn()
		if !withdrawn && time.Now().Before(k.Expires()) {
			return k, false, nil
		}
		e.cache.Drop(k)
		if err := k.Value.refused(time.Now(), e.config.leeway); err != nil {
			return nil, false, err
		}
	}
	if hasHeader(p.token) {
		k, err = e.admit(ctx, p)
		return k, false, err
	}
	if err := e.plausible(ctx, p.token); err != nil {
		return nil, false, err
	}
	err = errStoreMiss
	if s := e.records[p.audience]; s != nil {
		k, err = e.lookups.Do(ctx, p.hash, e.joinable(p), e.lookUp(s, *p))
	}
	if errors.Is(err, errStoreMiss) {
		k, err = e.ask(ctx, p)
	}
	if err != nil {
		return nil, false, undecided(err)
	}
	return k, k.Value.live, nil
}

// hasHeader tells whether a token is a JOSE object by its shape: before the first dot there is a JSON object. It may be a JWS or
// something that is not accepted, such as a JWE. It is not enough that it begins like one: some servers' opaque tokens are random
// base64url with a dot.
func hasHeader(token string) bool {
	head, _, ok := strings.Cut(token, ".")
	if !ok {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(head, "="))
	return err == nil && len(text) > 0 && text[0] == '{' && json.Valid(text)
}

// admit checks a JWT (RFC 9068 §4) and remembers it if it is good for this caller. The issuer's keys are only asked for after all else
// was found good, so that what is plainly wrong costs no request.
func (e *engine) admit(ctx context.Context, p *presented) (*entry, error) {
	signed, err := jose.Parse(p.token)
	if err != nil {
		return nil, &VerifyError{Kind: ErrInvalidToken, Detail: "the token is malformed", Err: err}
	}
	if !slices.Contains(e.config.algorithms, signed.Header.Algorithm) {
		return nil, invalidToken("the token is signed by an algorithm that is not accepted")
	}
	f, err := readClaims(signed.Header, signed.Payload, e.authority.identifier, e.config.legacy)
	if err != nil {
		return nil, err
	}
	if err := e.admissible(f, p.audience); err != nil {
		return nil, err
	}
	key, err := e.keys.Key(ctx, signed.Header.KeyID, signed.Header.Algorithm)
	switch {
	case errors.Is(err, jwks.ErrUnknownKey):
		return nil, &VerifyError{Kind: ErrInvalidToken, Detail: "the token is signed with a key that the issuer does not publish", Err: err}
	case err != nil:
		return nil, undecided(err)
	}
	// Many may have waited for the key with the same token.
	if k := e.cache.Entry(&p.hash); k != nil && k.Value.key == key {
		return k, nil
	}
	e.tally.signatures.Inc()
	if err := signed.Verify(key.Key); err != nil {
		return nil, &VerifyError{Kind: ErrInvalidToken, Detail: "the token's signature is wrong", Err: err}
	}
	f.subject.KeyID = key.ID() // not the header's, which may name none: a revoked key is revoked by whatever name it was found
	k := newEntry(&p.hash, f, f.identity.expires.Add(e.config.leeway))
	k.Value.key = key
	e.cache.Put(k, time.Now())
	return k, nil
}

// lookUp reads the token store. A store that does not answer is a miss.
func (e *engine) lookUp(s *storeReader, p presented) flight.Call[*entry] {
	return func(ctx context.Context) (*entry, error) {
		f, err := s.look(ctx, p.hash)
		if err != nil {
			return nil, err
		}
		e.tally.records.Inc()
		k := newEntry(&p.hash, f, f.identity.expires)
		e.remember(k, p.audience)
		return k, nil
	}
}

// remember puts an opaque token into the cache if it is good for this audience now. It is not remembered beyond its expiry by the clock
// here: in the time by which clocks may differ the server is asked each time.
func (e *engine) remember(k *entry, audience string) {
	if now := time.Now(); e.admissible(k.Value.found, audience) == nil && now.Before(k.Expires()) {
		e.cache.Put(k, now)
	}
}
