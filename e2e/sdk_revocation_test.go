package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
)

// strictBound is the bound of a strict route, sdk.WithBound, as it is by default.
const strictBound = time.Second

// workers carry out trials at once.
const workers = 10

// trials are revocations, each looked at by one verifier on a strict route.
type trials struct {
	p        *pair
	verifier *sdk.Verifier
	each     int // trials of one worker

	mu      sync.Mutex
	refused distribution // from the answer to the revocation to the first refusal as revoked
	denied  distribution // to the first answer that does not let the call in, be it that nothing can be told
	unknown int          // answers that nothing can be told
}

// run carries them out. What counts is that no call that begins later than the bound after the revocation was answered is let in:
// each trial calls without a pause until it is refused.
func (tr *trials) run(t *testing.T) {
	t.Helper()
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			for n := range tr.each {
				if err := tr.one(t.Context(), []string{jwtAPI, opaqueAPI}[(worker+n)%2]); err != nil {
					t.Errorf("worker %d, trial %d: %v", worker, n, err)
					return
				}
			}
		})
	}
	running.Wait()
	t.Logf("from the answer to a revocation to the refusal, %v", &tr.refused)
	t.Logf("to the first call that is not let in, %v; could not be told: %d", &tr.denied, tr.unknown)
	if done := len(tr.refused.times); done != workers*tr.each && !t.Failed() {
		t.Errorf("%d trials", done)
	}
}

func (tr *trials) one(ctx context.Context, api string) error {
	verifier, strict := tr.verifier.ForAudience(api), sdk.RequireScope("read").Strict()
	got, err := askToken(ctx, tr.p.one.URL, tr.p.Caller, asking(api, "read"))
	if err != nil {
		return err
	}
	text := got.Text("access_token")
	for began := time.Now(); ; { // held back, a verifier may not be able to tell for a while
		if _, err = verifier.Verify(ctx, text, strict); err == nil {
			break
		}
		if !errors.Is(err, sdk.ErrUnavailable) || time.Since(began) > 4*healWithin {
			return fmt.Errorf("before it is revoked: %w", err)
		}
	}
	if err := revokes(ctx, tr.p.one, tr.p.Caller, text, "200"); err != nil {
		return err
	}
	revoked := time.Now()
	var denied bool
	for {
		began := time.Now()
		_, err := verifier.Verify(ctx, text, strict)
		switch {
		case err == nil && began.Sub(revoked) > strictBound:
			return fmt.Errorf("let in by a call that began %v after the revocation", began.Sub(revoked))
		case err == nil:
			continue
		}
		if !denied {
			denied = true
			tr.denied.add(time.Since(revoked))
		}
		if errors.Is(err, sdk.ErrInvalidToken) {
			tr.refused.add(time.Since(revoked))
			return nil
		}
		if !errors.Is(err, sdk.ErrUnavailable) || began.Sub(revoked) > 4*healWithin {
			return fmt.Errorf("%v after it was revoked: %w", began.Sub(revoked), err)
		}
		tr.mu.Lock()
		tr.unknown++
		tr.mu.Unlock()
	}
}

// newTrials has the verifier ask the other instance than the one where tokens are issued and revoked.
func newTrials(t *testing.T, p *pair, each int, options ...sdk.VerifierOption) *trials {
	t.Helper()
	options = append(options, sdk.WithAddresses(p.other.URL))
	return &trials{
		p: p, each: each,
		verifier: newSDKVerifier(t, sharedIssuer, jwtAPI, p.Server, options...),
	}
}

// What is revoked is refused on a strict route within the bound, in every trial.
func TestStrictRouteRefusesWithinTheBound(t *testing.T) {
	p := startPair(t, "mariadb")
	t.Run("at rest", func(t *testing.T) { newTrials(t, p, 10).run(t) })
	t.Run("feed held back", func(t *testing.T) {
		newTrials(t, p, 4, sdk.WithHTTPClient(&http.Client{Transport: heldBack(t, p.other)})).run(t)
	})
}

// feedApart sends what asks for the revocation feed elsewhere.
type feedApart struct {
	http.RoundTripper

	host string
}

// RoundTrip implements http.RoundTripper.
func (f feedApart) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/revocations") {
		r = r.Clone(r.Context())
		r.URL.Host = f.host
	}
	return f.RoundTripper.RoundTrip(r)
}

// heldBack has the feed of an instance come through a proxy that holds back polls and stream for 0 to 3 s, another time every
// half a second.
func heldBack(t *testing.T, s *serverProcess) http.RoundTripper {
	t.Helper()
	proxy := testbed.StartProxy(t, strings.TrimPrefix(s.URL, "http://"))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() {
		again := time.NewTicker(500 * time.Millisecond)
		defer again.Stop()
		for ctx.Err() == nil {
			proxy.Delay(0, rand.N(3*time.Second))
			select {
			case <-ctx.Done():
			case <-again.C:
			}
		}
	})
	return feedApart{&http.Transport{MaxIdleConnsPerHost: 100}, proxy.Addr()}
}

// Cut off from the issuer, a strict route can tell nothing once the lease is over; one that is to be available goes on until the grace,
// and then neither can. Both come back by themselves.
func TestVerifierCutOff(t *testing.T) {
	const grace = 4 * time.Second
	for name, cut := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeded := newSeeded(t, "sqlite")
			server := startServer(t, seeded.Settings("issuer="+sharedIssuer)...)
			proxy := testbed.StartProxy(t, strings.TrimPrefix(server.URL, "http://"))
			verifier := newSDKVerifier(t, sharedIssuer, jwtAPI, seeded.Server,
				sdk.WithAddresses("http://"+proxy.Addr()), sdk.WithGrace(grace), sdk.WithTimeout(time.Second))
			known := map[string]string{}
			for _, api := range []string{jwtAPI, opaqueAPI} {
				known[api] = token(t, server.URL, seeded.Caller, asking(api, "read"))
			}
			modes := []sdk.Mode{sdk.Available, sdk.Strict}
			for api, text := range known {
				for _, mode := range modes {
					if _, err := verifier.ForAudience(api).Verify(t.Context(), text, sdk.Policy{Mode: mode}); err != nil {
						t.Fatalf("%s, %v: %v", api, mode, err)
					}
				}
			}

			cut(proxy)
			began := time.Now()
			last := map[sdk.Mode]time.Duration{} // when a call that was let in began
			first := map[sdk.Mode]time.Duration{sdk.Available: -1, sdk.Strict: -1}
			var mu sync.Mutex
			var running sync.WaitGroup
			for api, text := range known {
				for _, mode := range modes {
					running.Go(func() {
						pace := time.NewTicker(time.Millisecond) // leaves the machine to other tests
						defer pace.Stop()
						for ; time.Since(began) < grace+2*time.Second; <-pace.C {
							at := time.Since(began)
							_, err := verifier.ForAudience(api).Verify(t.Context(), text, sdk.Policy{Mode: mode})
							mu.Lock()
							switch {
							case err == nil:
								last[mode] = max(last[mode], at)
							case !errors.Is(err, sdk.ErrUnavailable):
								t.Errorf("%s, %v, after %v: %v", api, mode, at, err)
							case first[mode] < 0:
								first[mode] = at
							}
							mu.Unlock()
						}
					})
				}
			}
			running.Wait()
			t.Logf("let in until: strict %v, available %v", last[sdk.Strict], last[sdk.Available])
			if last[sdk.Strict] > strictBound || first[sdk.Strict] < 0 {
				t.Errorf("strict let in until %v after the cut", last[sdk.Strict])
			}
			if last[sdk.Available] > grace || first[sdk.Available] < grace-strictBound {
				t.Errorf("available let in until %v, first not after %v; the grace is %v", last[sdk.Available], first[sdk.Available], grace)
			}
			bad := []byte(known[jwtAPI])
			bad[len(bad)-10] ^= 1
			if _, err := verifier.Verify(t.Context(), string(bad), sdk.Policy{}); !errors.Is(err, sdk.ErrInvalidToken) {
				t.Errorf("a bad signature while cut off: %v", err)
			}

			proxy.Pass()
			testbed.Wait(t, healWithin, func() error {
				var errs []error
				for api, text := range known {
					for _, mode := range modes {
						_, err := verifier.ForAudience(api).Verify(t.Context(), text, sdk.Policy{Mode: mode})
						errs = append(errs, err)
					}
				}
				return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
			})
		})
	}
}
