package e2e

import (
	"context"
	"fmt"
	"math"
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

// distribution are measured times.
type distribution struct {
	mu    sync.Mutex
	times []time.Duration
}

func (d *distribution) add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times = append(d.times, took)
}

// String shows quantiles.
func (d *distribution) String() string {
	if len(d.times) == 0 {
		return "none"
	}
	at := func(q float64) time.Duration { return d.quantile(q).Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d: min %v, median %v, 90%% %v, 99%% %v, max %v", len(d.times), at(0), at(0.5), at(0.9), at(0.99), at(1))
}

// quantile returns the longest of the part q that took least. There must be one.
func (d *distribution) quantile(q float64) time.Duration {
	slices.Sort(d.times)
	return d.times[int(q*float64(len(d.times)-1))]
}

// max returns the longest, and forever if nothing could be measured.
func (d *distribution) max() time.Duration {
	if len(d.times) == 0 {
		return math.MaxInt64
	}
	return slices.Max(d.times)
}

// untilInactive asks until the token is inactive, for a bounded time, and returns when that answer had come. No answer may be
// anything but a verdict.
func untilInactive(ctx context.Context, s *serverProcess, c credential, text string) (time.Time, error) {
	for began := time.Now(); time.Since(began) < healWithin; {
		got, err := post(ctx, s.URL+"/oauth2/introspect", c, url.Values{"token": {text}})
		if err != nil {
			return time.Time{}, err
		}
		if got.Status != http.StatusOK {
			return time.Time{}, fmt.Errorf("introspection says %d %s", got.Status, got.Body)
		}
		if got.JSON["active"] == false {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("the token is active still, after %v", healWithin)
}

// A token revoked on one instance is refused by the other within a second, whether it hears of it by Redis or reads it in the log.
func TestRevocationReachesOtherInstances(t *testing.T) {
	for _, tt := range []struct {
		name, database string
		settings       func(t *testing.T) []string
	}{
		{"mariadb", "mariadb", func(*testing.T) []string { return nil }},
		{"mariadb with redis", "mariadb", func(t *testing.T) []string { t.Helper(); return []string{"token-store=" + testbed.Redis(t).URL()} }},
		{"sqlite", "sqlite", func(*testing.T) []string { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPair(t, tt.database, tt.settings(t)...)
			var took distribution
			var running sync.WaitGroup
			const workers, trials = 5, 10
			for range workers {
				running.Go(func() {
					for n := range trials {
						if err := p.revocationTrial(t.Context(), []string{jwtAPI, opaqueAPI}[n%2], &took); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			if t.Failed() {
				return
			}
			// A trial begins when the one before was seen, directly after a read of the log: what is measured is the worst case.
			t.Logf("from the answer to a revocation to the refusal elsewhere, %v", &took)
			if len(took.times) != workers*trials || took.max() > promptly {
				t.Errorf("not within %v", promptly)
			}
		})
	}
}

func (p *pair) revocationTrial(ctx context.Context, api string, took *distribution) error {
	got, err := askToken(ctx, p.one.URL, p.Caller, asking(api, ""))
	if err != nil {
		return err
	}
	text := got.Text("access_token")
	if err := isActive(ctx, p.other, p.Server, text, true); err != nil {
		return err
	}
	if err := revokes(ctx, p.one, p.Caller, text, "200"); err != nil {
		return err
	}
	revoked := time.Now()
	if err := isActive(ctx, p.one, p.Server, text, false); err != nil {
		return fmt.Errorf("where it was revoked: %w", err)
	}
	seen, err := untilInactive(ctx, p.other, p.Server, text)
	if err != nil {
		return err
	}
	took.add(seen.Sub(revoked))
	return nil
}

// revokes returns an error unless the revocation is answered as wanted.
func revokes(ctx context.Context, s *serverProcess, c credential, text, want string) error {
	got, err := post(ctx, s.URL+"/oauth2/revoke", c, url.Values{"token": {text}})
	if err != nil {
		return err
	}
	if verdict(got) != want || got.Status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
		return fmt.Errorf("revocation says %d %v %s, want %s", got.Status, got.Header, got.Body, want)
	}
	return nil
}

// narrowing is a way to take something away from a client.
type narrowing struct {
	name string
	take func(t *testing.T, s *seeded, c credential)
	// want is what a client hears that asks for a token with the scope write afterwards.
	want string
}

func clientID(t *testing.T, c credential) auth.ClientID {
	t.Helper()
	id, err := auth.ParseClientID(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func narrowings() []narrowing {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return []narrowing{
		{"grants narrowed", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			for _, api := range []string{jwtAPI, opaqueAPI} {
				s.Grant(t, c, api, "read")
			}
		}, "400 invalid_scope"},
		{"grants deleted", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			for _, api := range []string{jwtAPI, opaqueAPI} {
				_, err := s.Registry.DeleteGrant(t.Context(), s.Actor, registry.GrantRef{Client: clientID(t, c), API: s.API(t, api).ID})
				must(t, err)
			}
		}, "400 invalid_target"},
		{"client disabled", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			_, err := s.Registry.SetClientStatus(t.Context(), s.Actor, clientID(t, c), auth.Disabled)
			must(t, err)
		}, "401 invalid_client"},
		{"client deleted", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			_, err := s.Registry.DeleteClient(t.Context(), s.Actor, clientID(t, c), registry.Any)
			must(t, err)
		}, "401 invalid_client"},
		{"secret disabled, tokens taken back", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			var secrets []*auth.Secret
			must(t, s.Registry.Store.View(t.Context(), func(tx auth.Tx) (err error) {
				secrets, err = tx.Secrets().ClientSecrets(t.Context(), clientID(t, c))
				return err
			}))
			for _, secret := range secrets {
				_, err := s.Registry.DisableSecret(t.Context(), s.Actor, secret.ID, true)
				must(t, err)
			}
		}, "401 invalid_client"},
	}
}

// What is taken away by somebody else is taken away at once where tokens are issued, whatever the instance remembers, and within
// a second where they are checked.
func TestTakenAwayElsewhere(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startPair(t, kind)
			for _, n := range narrowings() {
				t.Run(n.name, func(t *testing.T) {
					var asked, silent distribution
					for range 2 {
						p.takeAwayTrial(t, n, true, &asked)
						p.takeAwayTrial(t, n, false, &silent)
					}
					t.Logf("from the change to the refusal: where tokens are asked for, %v; where not, %v", &asked, &silent)
					if max(asked.max(), silent.max()) > promptly {
						t.Errorf("not within %v", promptly)
					}
				})
			}
		})
	}
}

// takeAwayTrial takes something away. With issuing, tokens are asked for at once afterwards, which makes the instances read the log.
func (p *pair) takeAwayTrial(t *testing.T, n narrowing, issuing bool, took *distribution) {
	t.Helper()
	client := p.Client(t, "narrowed "+auth.NewClientID(time.Now()).String(), []string{jwtAPI, opaqueAPI}, nil)
	var before []string
	for _, s := range p.both() {
		testbed.Wait(t, promptly, func() error { return issues(t.Context(), s, client, "write", "200") })
		for _, api := range []string{jwtAPI, opaqueAPI} {
			before = append(before, token(t, s.URL, client, asking(api, "read write")))
		}
	}
	n.take(t, p.seeded, client)
	taken := time.Now()
	for _, s := range p.both() {
		if !issuing {
			break
		}
		if err := issues(t.Context(), s, client, "write", n.want); err != nil {
			t.Error(err)
		}
	}
	inEach(t, before, func(text string) error {
		for _, s := range p.both() {
			seen, err := untilInactive(t.Context(), s, p.Server, text)
			if err != nil {
				return err
			}
			took.add(seen.Sub(taken))
		}
		return nil
	})
}

// issues asks for a token of each format and returns an error unless each answer is as expected.
func issues(ctx context.Context, s *serverProcess, c credential, scope, want string) error {
	for _, api := range []string{jwtAPI, opaqueAPI} {
		got, err := askToken(ctx, s.URL, c, asking(api, scope))
		if err != nil {
			return err
		}
		if verdict(got) != want {
			return fmt.Errorf("token with scope %s: %d %s, want %s", scope, got.Status, got.Body, want)
		}
	}
	return nil
}
