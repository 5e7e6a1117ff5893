package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// cuts are ways in which an instance loses its database.
func cuts() map[string]func(*testbed.Proxy) {
	return map[string]func(*testbed.Proxy){
		"black hole":     (*testbed.Proxy).BlackHole,
		"refused":        (*testbed.Proxy).Refuse,
		"answers lost":   func(p *testbed.Proxy) { p.HalfOpen(testbed.ToClient) },
		"questions lost": func(p *testbed.Proxy) { p.HalfOpen(testbed.ToTarget) },
	}
}

// An instance that is cut off while a grant is narrowed mints nothing by what it remembers: not while it is cut off, not when the
// connection comes back, not afterwards.
func TestCutOffWhileNarrowed(t *testing.T) {
	t.Parallel()
	for name, cut := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeded := newSeeded(t, "mariadb")
			proxy := testbed.StartProxy(t, hostOf(t, seeded.Database))
			away, near := startInstance(t, seeded, "database="+through(t, seeded.Database, proxy.Addr())), startInstance(t, seeded)
			var before []string
			for _, s := range []*serverProcess{away, near} {
				before = append(before, token(t, s.URL, seeded.Caller, asking(jwtAPI, "write")), token(t, s.URL, seeded.Caller, asking(opaqueAPI, "write")))
			}
			cut(proxy)
			for _, api := range []string{jwtAPI, opaqueAPI} {
				narrowed := auth.Grant{Client: clientID(t, seeded.Caller), API: seeded.API(t, api).ID, Scopes: auth.NewScopes("read")}
				testbed.Wait(t, healWithin, func() error { // until the database gives up on what the instance was amid when it was cut off
					_, _, err := seeded.Registry.PutGrant(t.Context(), seeded.Actor, narrowed, registry.Any)
					return err
				})
			}
			askers := startAskers(t, away, seeded.Caller)
			inEach(t, before, func(text string) error {
				_, err := untilInactive(t.Context(), near, seeded.Server, text)
				return err
			})
			testbed.Wait(t, startWithin, func() error { return unready(t.Context(), away) })
			askers.await(t, http.StatusServiceUnavailable)
			for _, text := range before {
				if got := ask(t, away, seeded.Server, "introspect", text); got.Status != http.StatusServiceUnavailable {
					t.Errorf("cut off, introspection says %d %s", got.Status, got.Body)
				}
			}
			proxy.Pass()
			healed := time.Now()
			testbed.Wait(t, healWithin, func() error { return away.Ready(t.Context()) })
			askers.await(t, http.StatusBadRequest)
			t.Logf("issues again %v after the cut", time.Since(healed).Round(time.Millisecond))
			minted := askers.stop()
			if len(minted) > 0 {
				t.Errorf("%d tokens were minted by a grant that is gone", len(minted))
			}
			inEach(t, slices.Concat(before, minted), func(text string) error {
				return errors.Join(isActive(t.Context(), near, seeded.Server, text, false), isActive(t.Context(), away, seeded.Server, text, false))
			})
			if err := issues(t.Context(), away, seeded.Caller, "read", "200"); err != nil {
				t.Error(err)
			}
		})
	}
}

func hostOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// ask posts a token to an endpoint, "introspect" or "revoke".
func ask(t *testing.T, s *serverProcess, c credential, endpoint, text string) answer {
	t.Helper()
	got, err := post(t.Context(), s.URL+"/oauth2/"+endpoint, c, url.Values{"token": {text}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func unready(ctx context.Context, s *serverProcess) error {
	got, err := get(ctx, s.AdminURL+"/readyz")
	if err != nil {
		return err
	}
	if got.Status != http.StatusServiceUnavailable {
		return fmt.Errorf("readiness is %d", got.Status)
	}
	return nil
}

// askers ask for tokens with the scope write until they are stopped.
type askers struct {
	running sync.WaitGroup
	end     context.CancelFunc
	mu      sync.Mutex
	minted  []string
	heard   map[int]int // answers by status
}

func startAskers(t *testing.T, s *serverProcess, c credential) *askers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &askers{end: cancel, heard: map[int]int{}}
	for n := range 4 {
		a.running.Go(func() {
			for ctx.Err() == nil {
				got, err := askToken(ctx, s.URL, c, asking([]string{jwtAPI, opaqueAPI}[n%2], "write"))
				if err != nil {
					continue // ctx ended
				}
				a.mu.Lock()
				a.heard[got.Status]++
				if got.Status == http.StatusOK {
					a.minted = append(a.minted, got.Text("access_token"))
				}
				a.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { a.stop() })
	return a
}

// await waits until the askers have heard the status a few times more.
func (a *askers) await(t *testing.T, status int) {
	t.Helper()
	heard := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.heard[status]
	}
	start := heard()
	testbed.Wait(t, startWithin, func() error {
		if n := heard() - start; n < 4 {
			return fmt.Errorf("status %d was heard %d times", status, n)
		}
		return nil
	})
}

func (a *askers) stop() []string {
	a.end()
	a.running.Wait()
	hangUp()
	return a.minted
}

// A revocation is acknowledged after its commit or not at all.
func TestRevocationWithoutCommit(t *testing.T) {
	t.Parallel()
	for name, cut := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeded := newSeeded(t, "mariadb")
			proxy := testbed.StartProxy(t, hostOf(t, seeded.Database))
			away, near := startInstance(t, seeded, "database="+through(t, seeded.Database, proxy.Addr())), startInstance(t, seeded)
			var issued []string
			for n := range 8 {
				issued = append(issued, token(t, away.URL, seeded.Caller, asking([]string{jwtAPI, opaqueAPI}[n%2], "")))
			}
			cut(proxy)
			inEach(t, issued, func(text string) error {
				return revokes(t.Context(), away, seeded.Caller, text, unavailable)
			})
			proxy.Pass()
			testbed.Wait(t, healWithin, func() error { return away.Ready(t.Context()) })
			for _, want := range []bool{true, false} {
				inEach(t, issued, func(text string) error {
					return errors.Join(isActive(t.Context(), near, seeded.Server, text, want), isActive(t.Context(), away, seeded.Server, text, want))
				})
				if want {
					inEach(t, issued, func(text string) error { return revokeAndSee(t.Context(), away, near, seeded, text) })
				}
			}
		})
	}
}

func revokeAndSee(ctx context.Context, where, elsewhere *serverProcess, seeded *seeded, text string) error {
	if err := revokes(ctx, where, seeded.Caller, text, "200"); err != nil {
		return err
	}
	_, err := untilInactive(ctx, elsewhere, seeded.Server, text)
	return err
}
