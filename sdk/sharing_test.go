package sdk_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// memoryStore is a TokenStore of one process.
type memoryStore struct {
	mu     sync.Mutex
	values map[string][]byte
	ends   map[string]time.Time
}

func (s *memoryStore) Read(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !time.Now().Before(s.ends[key]) {
		return nil, nil
	}
	return slices.Clone(s.values[key]), nil
}

func (s *memoryStore) Write(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values, s.ends = map[string][]byte{}, map[string]time.Time{}
	}
	s.values[key], s.ends[key] = slices.Clone(value), time.Now().Add(ttl)
	return nil
}

func (s *memoryStore) Acquire(ctx context.Context, lease, holder string, ttl time.Duration) (bool, error) {
	if held, _ := s.Read(ctx, lease); held != nil {
		return false, nil
	}
	return true, s.Write(ctx, lease, []byte(holder), ttl)
}

func (s *memoryStore) Release(_ context.Context, lease, holder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.values[lease], []byte(holder)) {
		delete(s.values, lease)
		delete(s.ends, lease)
	}
	return nil
}

func TestWithSharedTokens_FiftyInstancesMakeOneRequest(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []sdk.ClientOption
	}{
		{name: "by the secret"},
		{"by a key", []sdk.ClientOption{sdk.WithSharingKey(bytes.Repeat([]byte{7}, 32))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New(sdktest.WithLifetime(100 * time.Second))
				issuer.Slow(50*time.Millisecond, sdktest.TokenEndpoint)
				opts := append(tt.opts, sdk.WithSharedTokens(&memoryStore{}))
				sources := make([]*sdk.TokenSource, 50)
				for n := range sources {
					sources[n] = newClient(t, issuer, nil, opts...).TokenSource(warehouse, "read")
				}
				for round := range 10 { // each is a bit more than half a life
					var all sync.WaitGroup
					for _, source := range sources {
						all.Go(func() {
							if token := tokenOf(t, source); time.Until(token.Expires()) <= 0 || len(token.Scopes()) != 1 {
								t.Errorf("expires in %v, scopes %q", time.Until(token.Expires()), token.Scopes())
							}
						})
					}
					all.Wait()
					time.Sleep(51 * time.Second)
					if n, most := issuer.Requests(sdktest.TokenEndpoint), round+1; n > most {
						t.Fatalf("%d requests, want %d at most", n, most)
					}
				}
			})
		})
	}
}

func TestWithSharedTokens_RefusedByAllMakesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		store := &memoryStore{}
		sources, tokens := make([]*sdk.TokenSource, 20), make([]*sdk.Token, 20)
		for n := range sources {
			sources[n] = newClient(t, issuer, nil, sdk.WithSharedTokens(store)).TokenSource(warehouse)
			tokens[n] = tokenOf(t, sources[n])
		}
		issuer.Revoke(tokens[0].AccessToken())
		var all sync.WaitGroup
		for n, source := range sources {
			all.Go(func() {
				other, err := source.Refresh(t.Context(), tokens[n])
				if err != nil || other.AccessToken() == tokens[0].AccessToken() {
					t.Errorf("error %v, or the refused token", err)
				}
			})
		}
		all.Wait()
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// stingyStore gives nobody a lease.
type stingyStore struct{ memoryStore }

func (*stingyStore) Acquire(context.Context, string, string, time.Duration) (bool, error) {
	return false, nil
}

func TestWithSharedTokens_LeasesThatNobodyGetsFailNoCall(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []sdk.ClientOption
	}{
		{name: "as usual"},
		{"with much time for a request", []sdk.ClientOption{sdk.WithTimeout(time.Minute)}},
		{"with little time to wait", []sdk.ClientOption{sdk.WithMaxWait(500 * time.Millisecond)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New(sdktest.WithLifetime(100 * time.Second))
				issuer.Slow(50*time.Millisecond, sdktest.TokenEndpoint)
				source := newClient(t, issuer, nil, append(tt.opts, sdk.WithSharedTokens(&stingyStore{}))...).TokenSource(warehouse)
				for range 50 {
					tokenOf(t, source)
					time.Sleep(10 * time.Second)
				}
				time.Sleep(time.Hour)
				tokenOf(t, source)
			})
		})
	}
}
