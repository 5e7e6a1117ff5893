package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// tokenTime is when the suite of token stores begins.
func tokenTime() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// NewTokenStore makes an empty token store for one test, which goes by the clock now.
type NewTokenStore func(t *testing.T, now func() time.Time) auth.TokenStore

// RunTokenStore checks what every auth.TokenStore promises.
func RunTokenStore(t *testing.T, open NewTokenStore) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *tokenBench)
	}{
		{"remembers what is recorded", rememberedTokens},
		{"does not know what was not recorded", unknownTokens},
		{"keeps no token past its expiry", expiredTokens},
		{"takes an expired token and forgets it", deadTokens},
		{"replaces a token", replacedTokens},
		{"serves many goroutines", concurrentTokens},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &tokenBench{now: tokenTime()}
			b.store = open(t, b.clock)
			tt.run(t, b)
		})
	}
}

// tokenBench is a store under test and its clock.
type tokenBench struct {
	store auth.TokenStore
	mu    sync.Mutex
	now   time.Time
}

func (b *tokenBench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *tokenBench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// SampleToken returns an opaque token of an API that lives for an hour from now, and the key of its text.
func SampleToken(api auth.APIID, now time.Time) (auth.TokenKey, *auth.Token) {
	issued := now.Truncate(time.Second).UTC()
	t := &auth.Token{
		ID: auth.NewTokenID(issued, issued.Add(time.Hour)), Client: auth.NewClientID(now), Credential: auth.NewSecretID(now),
		API: api, Scope: "inventory:read inventory:write", Issued: issued, Expires: issued.Add(time.Hour), Revision: 42,
	}
	text, proof := auth.MintOpaque(t.ID)
	t.Proof = proof
	return auth.KeyOf(text), t
}

// SampleAPI returns the id of the one API whose audience a store under test must know.
func SampleAPI() auth.APIID { return auth.APIID{15: 7} }

// remember records a token and waits until it is found.
func (b *tokenBench) remember(t *testing.T) (auth.TokenKey, *auth.Token) {
	t.Helper()
	key, token := SampleToken(SampleAPI(), b.clock())
	b.store.Remember(key, token)
	b.await(t, key, token)
	return key, token
}

// await waits for what Remember does by and by.
func (b *tokenBench) await(t *testing.T, key auth.TokenKey, want *auth.Token) {
	t.Helper()
	testbed.Wait(t, 5*time.Second, func() error {
		return differs(want, b.store.Lookup(t.Context(), key, []auth.APIID{SampleAPI()}))
	})
}

// differs compares all of a token but its proof, of which a store that others can read keeps nothing.
func differs(want, got *auth.Token) error {
	if want != nil && got != nil {
		bare := *want
		bare.Proof = got.Proof
		want = &bare
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("found another token than was recorded (-want +got):\n%s", diff)
	}
	return nil
}

func rememberedTokens(t *testing.T, b *tokenBench) {
	for range 10 {
		b.remember(t)
	}
	key, token := SampleToken(SampleAPI(), b.clock())
	token.Scope, token.Credential, token.Revision = "", auth.SecretID{}, 0
	b.store.Remember(key, token)
	b.await(t, key, token)
}

func unknownTokens(t *testing.T, b *tokenBench) {
	key, _ := b.remember(t)
	key[0] ^= 1
	if got := b.store.Lookup(t.Context(), key, []auth.APIID{SampleAPI()}); got != nil {
		t.Fatalf("found %v under a key that nothing was recorded under", got)
	}
}

func expiredTokens(t *testing.T, b *tokenBench) {
	key, token := b.remember(t)
	b.advance(token.Expires.Sub(b.clock()) - time.Millisecond)
	b.await(t, key, token)
	b.advance(time.Millisecond)
	if got := b.store.Lookup(t.Context(), key, []auth.APIID{SampleAPI()}); got != nil {
		t.Fatalf("found %v at its expiry", got)
	}
}

func deadTokens(t *testing.T, b *tokenBench) {
	key, token := SampleToken(SampleAPI(), b.clock().Add(-time.Hour))
	b.store.Remember(key, token)
	b.remember(t) // what came later is there
	if got := b.store.Lookup(t.Context(), key, []auth.APIID{SampleAPI()}); got != nil {
		t.Fatalf("found %v, which was dead when it was recorded", got)
	}
}

func replacedTokens(t *testing.T, b *tokenBench) {
	key, token := b.remember(t)
	changed := *token
	changed.Expires = token.Expires.Add(time.Hour)
	b.store.Remember(key, &changed)
	b.await(t, key, &changed)
}

func concurrentTokens(t *testing.T, b *tokenBench) {
	var all sync.WaitGroup
	var mu sync.Mutex
	recorded := map[auth.TokenKey]*auth.Token{}
	for range 8 {
		all.Go(func() {
			for range 20 {
				key, token := SampleToken(SampleAPI(), b.clock())
				b.store.Remember(key, token)
				b.store.Lookup(t.Context(), key, []auth.APIID{SampleAPI()})
				mu.Lock()
				recorded[key] = token
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for key, token := range recorded {
		b.await(t, key, token)
	}
}
