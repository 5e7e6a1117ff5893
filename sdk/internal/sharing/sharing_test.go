package sharing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/sharing"
)

var errIssuer = errors.New("issuer is down")

// fleet is an issuer and the instances of one client.
type fleet struct {
	store    *store
	mu       sync.Mutex
	requests int
	running  int
	together int // most requests at a time
	takes    time.Duration
	fails    error
	log      bytes.Buffer
}

func newFleet() *fleet { return &fleet{store: newStore(), takes: 100 * time.Millisecond} }

func (f *fleet) fetch(ctx context.Context) (*sharing.Token, error) {
	f.mu.Lock()
	f.requests++
	f.running++
	f.together = max(f.together, f.running)
	n, takes, fails := f.requests, f.takes, f.fails
	f.mu.Unlock()
	began := time.Now()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		fails = ctx.Err()
	}
	f.mu.Lock()
	f.running--
	f.mu.Unlock()
	if fails != nil {
		return nil, fails
	}
	return &sharing.Token{
		AccessToken: fmt.Sprintf("access-%d", n), Type: "Bearer", Scopes: []string{"a", "b"}, Began: began, Lifetime: 100 * time.Second,
	}, nil
}

// by returns a fetch by a clock that is ahead, or behind.
func (f *fleet) by(ahead, lifetime time.Duration) func(context.Context) (*sharing.Token, error) {
	return func(ctx context.Context) (*sharing.Token, error) {
		token, err := f.fetch(ctx)
		if err == nil {
			token.Began, token.Lifetime = token.Began.Add(ahead), lifetime
		}
		return token, err
	}
}

// instance returns one more. Every change is to its configuration.
func (f *fleet) instance(changes ...func(*sharing.Config)) *sharing.Shared {
	config := sharing.Config{
		Store: f.store, Material: secret("hunter2"), Fetch: f.fetch, Lease: 5 * time.Second,
		Issuer: "https://issuer.test", ClientID: "cl_1", Resource: "https://api.test", Scopes: []string{"a", "b"},
		Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	}
	for _, change := range changes {
		change(&config)
	}
	return sharing.New(config)
}

func secret(value string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(value), nil }
}

// expect asks an instance for a token, and fails the test if it is another one.
func expect(t *testing.T, s *sharing.Shared, refused, want string) *sharing.Token {
	t.Helper()
	token, err := s.Token(t.Context(), refused)
	if err != nil {
		t.Errorf("Token: %v", err)
		return &sharing.Token{}
	}
	if token.AccessToken != want {
		t.Errorf("token %s, want %s", token.AccessToken, want)
	}
	return token
}

func TestShared_FiftyInstancesMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { expect(t, f.instance(), "", "access-1") })
		}
		all.Wait()
		time.Sleep(60 * time.Second)
		expect(t, f.instance(), "", "access-1")
		time.Sleep(20 * time.Second) // by now they are stale, and each wants another
		for range 50 {
			all.Go(func() { expect(t, f.instance(), "", "access-2") })
		}
		all.Wait()
		if f.requests != 2 {
			t.Errorf("%d requests, want 2", f.requests)
		}
	})
}

func TestShared_KeepsBeginAndLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		first := expect(t, f.instance(), "", "access-1")
		time.Sleep(30 * time.Second)
		second := expect(t, f.instance(), "", "access-1")
		if d := second.Began.Sub(first.Began).Abs(); d > time.Millisecond || second.Lifetime != first.Lifetime {
			t.Errorf("began %v apart, lives %v, want %v", d, second.Lifetime, first.Lifetime)
		}
		if second.Type != "Bearer" || len(second.Scopes) != 2 {
			t.Errorf("type %q, scopes %q", second.Type, second.Scopes)
		}
	})
}

func TestShared_RefusedTokenIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		expect(t, f.instance(), "", "access-1")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { expect(t, f.instance(), "access-1", "access-2") })
		}
		all.Wait()
		if f.requests != 2 {
			t.Errorf("%d requests, want 2", f.requests)
		}
	})
}

func TestShared_SharesWithNobodyElse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*sharing.Config)
	}{
		{"another issuer", func(c *sharing.Config) { c.Issuer += "/" }},
		{"another client", func(c *sharing.Config) { c.ClientID = "cl_2" }},
		{"another resource", func(c *sharing.Config) { c.Resource = "" }},
		{"another scope", func(c *sharing.Config) { c.Scopes = []string{"a"} }},
		{"scopes that read alike", func(c *sharing.Config) { c.Scopes = []string{"ab"} }},
		{"parts that read alike", func(c *sharing.Config) { c.ClientID, c.Resource = "cl_1h", "ttps://api.test" }},
		{"another secret", func(c *sharing.Config) { c.Material = secret("hunter3") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				expect(t, f.instance(), "", "access-1")
				expect(t, f.instance(tt.change), "", "access-2")
				expect(t, f.instance(), "", "access-1")
				expect(t, f.instance(tt.change), "", "access-2")
			})
		})
	}
}

func TestShared_StoreFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails []string
	}{
		{"everything", []string{"Read", "Write", "Acquire", "Release"}},
		{"Read", []string{"Read"}},
		{"Acquire", []string{"Acquire"}},
		{"Write", []string{"Write"}},
		{"Release", []string{"Release"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.store.fail(tt.fails...)
				s := f.instance()
				began := time.Now()
				expect(t, s, "", "access-1")
				if d := time.Since(began); d > 100*time.Millisecond {
					t.Errorf("it took %v, and the issuer 100 ms", d)
				}
				if n := strings.Count(f.log.String(), "token is not shared"); n != 1 {
					t.Errorf("logged %d times: %s", n, &f.log)
				}
				f.store.fail()
				time.Sleep(80 * time.Second)
				expect(t, s, "", "access-2")
				expect(t, f.instance(), "", "access-2")
				if !strings.Contains(f.log.String(), "token is shared again") {
					t.Error("logged no recovery")
				}
			})
		})
	}
}

func TestShared_StoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.store.hangs = true
		began := time.Now()
		expect(t, f.instance(), "", "access-1")
		if d := time.Since(began); d > 1100*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

func TestShared_WithoutSecretTheIssuerIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		none := func(c *sharing.Config) {
			c.Material = func(context.Context) ([]byte, error) { return nil, errors.New("no file") }
		}
		expect(t, f.instance(none), "", "access-1")
		if f.store.calls["Read"] > 0 {
			t.Error("the store was asked")
		}
	})
}

func TestShared_HolderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.takes = time.Hour
		ctx, kill := context.WithCancel(t.Context())
		var dead sync.WaitGroup
		dead.Go(func() {
			f.store.fail("Release")
			_, _ = f.instance().Token(ctx, "")
		})
		synctest.Wait()
		kill()
		dead.Wait()
		f.store.fail()
		f.takes = 100 * time.Millisecond
		began := time.Now()
		expect(t, f.instance(), "", "access-2")
		if d := time.Since(began); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("waited %v for a lease of 5 s", d)
		}
	})
}

func TestShared_LeaseThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		expect(t, f.instance(), "", "access-1")
		f.store.change(t, func(key string, _ *value) {
			f.store.values[key+":lease"] = value{[]byte("?"), time.Now().Add(time.Hour)}
		})
		began := time.Now()
		expect(t, f.instance(), "access-1", "access-2")
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("waited %v, want twice the lease of 5 s", d)
		}
		expect(t, f.instance(), "access-1", "access-2")
	})
}

func TestShared_WhoHasNoValidTokenWaitsLess(t *testing.T) {
	for _, tt := range []struct {
		name    string
		after   time.Duration // how old the instance's token is; 0: it has none
		refused bool
		wait    time.Duration
	}{
		{"without one", 0, false, 3 * time.Second},
		{"with one", 75 * time.Second, false, 10 * time.Second},
		{"with one that will not last", 95 * time.Second, false, 3 * time.Second},
		{"with one that expired", 200 * time.Second, false, 3 * time.Second},
		{"with one that was refused", 75 * time.Second, true, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				s := f.instance(func(c *sharing.Config) { c.Patience = 3 * time.Second })
				want, refused := "access-1", ""
				if tt.after > 0 {
					expect(t, s, "", "access-1")
					time.Sleep(tt.after)
					want = "access-2"
				}
				if tt.refused {
					refused = "access-1"
				}
				f.store.held = true
				began := time.Now()
				expect(t, s, refused, want)
				if d := time.Since(began); d < tt.wait || d > tt.wait+time.Second {
					t.Errorf("waited %v, want %v", d, tt.wait)
				}
			})
		})
	}
}

// Whoever can write to the store can put back what was there before.
func TestShared_RevokedTokensArePutBackInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		s := f.instance()
		var old [][]byte
		keep := func(_ string, v *value) { old = append(old, v.text) }
		for n := 1; n <= 3; n++ {
			refused := ""
			if n > 1 {
				refused = fmt.Sprintf("access-%d", n-1)
			}
			expect(t, s, refused, fmt.Sprintf("access-%d", n))
			f.store.change(t, keep)
			time.Sleep(time.Second)
		}
		for n, record := range old { // the last is the one that is refused
			f.store.change(t, func(_ string, v *value) { v.text, v.ends = record, time.Now().Add(time.Hour) })
			expect(t, s, fmt.Sprintf("access-%d", 3+n), fmt.Sprintf("access-%d", 4+n))
		}
	})
}

func TestShared_OutageIsTriedByOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.fails = errIssuer
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := f.instance().Token(t.Context(), ""); !errors.Is(err, errIssuer) {
					t.Errorf("error %v, want the issuer's", err)
				}
			})
		}
		all.Wait()
		if f.together != 1 {
			t.Errorf("%d requests at a time, want 1", f.together)
		}
	})
}

func TestShared_CallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { expect(t, f.instance(), "", "access-1") })
		synctest.Wait()
		if _, err := f.instance().Token(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want DeadlineExceeded", err)
		}
		all.Wait()
	})
}

func TestShared_TellsWhatItLooksUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var results []string
		s := f.instance(func(c *sharing.Config) {
			c.Looked = func(ctx context.Context) (context.Context, func(string, error)) {
				return ctx, func(result string, _ error) { results = append(results, result) }
			}
		})
		expect(t, s, "", "access-1")
		expect(t, s, "", "access-1")
		f.store.fail("Read")
		expect(t, s, "", "access-2")
		if got := strings.Join(results, " "); got != "miss miss hit unavailable" {
			t.Errorf("looked: %s", got)
		}
	})
}
