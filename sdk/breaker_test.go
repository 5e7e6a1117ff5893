package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// calls are those of many callers over a time.
type calls struct {
	mu              sync.Mutex
	waited, longest time.Duration // all together, and the one that waited longest
	outcomes        map[string]int
}

// run has a caller come every 10 ms with what next returns.
func (c *calls) run(t *testing.T, s *service, over time.Duration, next func() (string, sdk.Policy)) {
	t.Helper()
	c.outcomes = map[string]int{}
	var all sync.WaitGroup
	for began := time.Now(); time.Since(began) < over; time.Sleep(10 * time.Millisecond) {
		token, policy := next()
		all.Go(func() {
			came := time.Now()
			_, err := s.Verify(t.Context(), token, policy)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.outcomes[outcome(err)]++
			c.waited += time.Since(came)
			c.longest = max(c.longest, time.Since(came))
		})
	}
	all.Wait()
}

// How many calls a minute of an outage holds up, and how many requests it makes, after the seconds in which it is found out.
func TestOutageHoldsNobodyUp(t *testing.T) {
	hang := func(i *sdktest.Issuer) (heal func()) { return i.Block(sdktest.IntrospectionEndpoint) }
	die := func(i *sdktest.Issuer) (heal func()) {
		i.Fail(sdktest.Failure{}, sdktest.IntrospectionEndpoint)
		return func() { i.Heal(sdktest.IntrospectionEndpoint) }
	}
	fail := func(i *sdktest.Issuer) (heal func()) {
		i.Fail(sdktest.Failure{Status: http.StatusServiceUnavailable}, sdktest.IntrospectionEndpoint)
		return func() { i.Heal(sdktest.IntrospectionEndpoint) }
	}
	for _, tt := range []struct {
		name     string
		outage   func(*sdktest.Issuer) func()
		unseen   bool          // opaque tokens, each seen for the first time; else one JWT on a strict route
		waited   time.Duration // by all 6,000 callers of a minute
		longest  time.Duration
		requests int // some of them are second attempts
	}{
		{"hung, strict", hang, false, 125 * time.Second, 2 * time.Second, 61},
		{"hung, unseen", hang, true, 125 * time.Second, 2 * time.Second, 61},
		{"dead, strict", die, false, 10 * time.Second, 200 * time.Millisecond, 122},
		{"dead, unseen", die, true, 10 * time.Second, 200 * time.Millisecond, 122},
		{"503, strict", fail, false, 10 * time.Second, 200 * time.Millisecond, 122},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				token := s.issuer.Mint(sdktest.Claims{})
				s.expect(t, "before", "ok", token, sdk.Policy{})
				next := func() (string, sdk.Policy) { return token, sdk.Policy{}.Strict() }
				if tt.unseen {
					next = func() (string, sdk.Policy) { return s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{} }
				}
				s.issuer.CutFeed(true)
				heal := tt.outage(s.issuer)
				time.Sleep(5 * time.Second)
				var c calls
				c.run(t, s, 10*time.Second, next) // it is found out

				before := s.issuer.Requests(sdktest.IntrospectionEndpoint)
				c = calls{}
				c.run(t, s, time.Minute, next)
				requests := s.issuer.Requests(sdktest.IntrospectionEndpoint) - before
				if c.waited > tt.waited || c.longest > tt.longest || requests > tt.requests || requests < 20 || c.outcomes["503"] != 6000 {
					t.Errorf("waited %v, at most %v, %d requests, %v", c.waited, c.longest, requests, c.outcomes)
				}
				var err error
				for range 2 { // the first may be let through
					another, policy := next()
					_, err = s.Verify(t.Context(), another, policy)
				}
				turned := (*sdk.VerifyError)(nil)
				if !errors.As(err, &turned) || turned.RetryAfter != time.Second || !strings.Contains(err.Error(), "introspection is tried once a second, since it is not answered: introspect: ask https://issuer.test/oauth2/introspect") {
					t.Errorf("%v", err)
				}

				heal()
				time.Sleep(time.Second)
				c = calls{}
				c.run(t, s, time.Second, next)
				if c.outcomes["ok"] != 100 || c.longest != 0 {
					t.Errorf("afterwards %v, waited %v", c.outcomes, c.longest)
				}
			})
		})
	}
}

// How long one caller waits for a server that hangs, and by which option.
func TestWaitForIntrospection(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []sdk.VerifierOption
		want time.Duration
	}{
		{"usual bound", nil, 2 * time.Second},
		{"short bound", []sdk.VerifierOption{sdk.WithBound(100 * time.Millisecond)}, time.Second},
		{"long bound", []sdk.VerifierOption{sdk.WithBound(4 * time.Second)}, 8 * time.Second},
		{"the store hangs, too", []sdk.VerifierOption{sdk.WithTokenStore(hungStore{}, sdktest.APIID(api))}, 2050 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithTokenStore()), tt.opts...)
				known := s.issuer.Mint(sdktest.Claims{})
				s.expect(t, "before", "ok", known, sdk.Policy{})
				s.issuer.CutFeed(true)
				s.issuer.Block(sdktest.IntrospectionEndpoint)
				time.Sleep(10 * time.Second)
				for name, token := range map[string]string{"unseen": s.issuer.MintOpaque(sdktest.Claims{}), "strict": known} {
					began := time.Now()
					s.expect(t, name, "503", token, sdk.Policy{}.Strict())
					if waited := time.Since(began); waited > tt.want || waited < tt.want-100*time.Millisecond {
						t.Errorf("%s: waited %v, want %v", name, waited, tt.want)
					}
				}
			})
		})
	}
}

// hungStore is a token store that never answers.
type hungStore struct{}

func (hungStore) Read(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A server that hangs from the start holds up the first calls, and no later ones.
func TestServerThatNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.issuer.Block()
		token := s.issuer.MintOpaque(sdktest.Claims{})
		began := time.Now()
		s.expect(t, "first", "503", token, sdk.Policy{})
		if waited := time.Since(began); waited > 5*time.Second {
			t.Errorf("the first waited %v", waited)
		}
		s.expect(t, "garbage", "401", "garb age", sdk.Policy{})
		for range 100 {
			began = time.Now()
			s.expect(t, "later", "503", token, sdk.Policy{})
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("a later one waited %v", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A server that is well most of the time is asked each time, and so is one that says no.
func TestWhatIsAnAnswer(t *testing.T) {
	status := func(code int) func(*sdktest.Issuer, int) {
		return func(i *sdktest.Issuer, _ int) { i.Fail(sdktest.Failure{Status: code}, sdktest.IntrospectionEndpoint) }
	}
	every := func(n int, fault func(*sdktest.Issuer)) func(*sdktest.Issuer, int) {
		return func(i *sdktest.Issuer, call int) {
			if i.Heal(sdktest.IntrospectionEndpoint); call%n != 0 {
				fault(i)
			}
		}
	}
	slow := func(i *sdktest.Issuer) { i.Slow(3*time.Second, sdktest.IntrospectionEndpoint) }
	broken := func(i *sdktest.Issuer) { i.Fail(sdktest.Failure{}, sdktest.IntrospectionEndpoint) }
	page := func(code int) func(*sdktest.Issuer, int) {
		return func(i *sdktest.Issuer, _ int) {
			i.Replace(sdktest.IntrospectionEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/login")
				w.WriteHeader(code)
				fmt.Fprint(w, "<html>")
			}))
		}
	}
	for _, tt := range []struct {
		name   string
		before func(i *sdktest.Issuer, call int)
		asked  bool // each time
	}{
		{"active", func(*sdktest.Issuer, int) {}, true},
		{"not active", func(i *sdktest.Issuer, _ int) {
			i.Alter(sdktest.IntrospectionEndpoint, func(a map[string]any) { a["active"] = false })
		}, true},
		{"400", status(400), true},
		{"401", status(401), true},
		{"403", status(403), true},
		{"404", status(404), true},
		{"429", status(429), true},
		{"a page", page(200), true},
		{"a redirect", page(302), true},
		{"one of two slow", every(2, slow), true},
		{"two of three slow", every(3, slow), true},
		{"three of four slow", every(4, slow), false},
		{"two of three broken", every(3, broken), true},
		{"500", status(500), false},
		{"503", status(503), false},
		{"broken", every(1000, broken), false},
		{"slow", every(1000, slow), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
				_ = s.Ready(t.Context())
				for call := range 24 {
					tt.before(s.issuer, call)
					_, _ = s.Verify(t.Context(), s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
				}
				if n := s.Describe().Tokens.Introspections; (n == 24) != tt.asked {
					t.Errorf("%d introspections for 24 tokens", n)
				}
			})
		})
	}
}

// Inventions whose introspection hangs do not keep a verifier from asking about good tokens.
func TestInventionsOpenNothingForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
		known := s.issuer.MintOpaque(sdktest.Claims{})
		s.expect(t, "before", "ok", known, sdk.Policy{})
		release := s.issuer.Block(sdktest.IntrospectionEndpoint)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() { s.expect(t, "invention", "503", fmt.Sprint("invention", n), sdk.Policy{}) })
		}
		all.Wait()
		release()
		s.expect(t, "another", "503", "another", sdk.Policy{})
		s.expect(t, "known", "ok", known, sdk.Policy{}.Strict())
		time.Sleep(time.Second)
		s.expect(t, "another, later", "401", "another", sdk.Policy{})
	})
}
