//go:build long

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

const (
	mixedCallers = 6
	// mixedPace is how long a caller rests between two tokens, so that a trial of a minute has no more of them than can be checked.
	mixedPace = 25 * time.Millisecond
	// noticedWithin is how long after a revocation was acknowledged an instance may still call the token active: the staleness bound.
	noticedWithin = time.Second
)

// mixed asks for tokens, looks at them by another server, and takes every fifth back, until it is stopped. Every answer must be right
// or 503: a storage that fails is no verdict.
type mixed struct {
	t       *testing.T
	world   *seeded
	servers []*serverProcess
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	good    []string             // tokens that somebody received and did not take back
	revoked []string             // tokens whose revocation was acknowledged
	acked   map[string]time.Time // when
	refused map[string]int       // answers 503
	slowest map[string]time.Duration
	last    map[string]time.Time     // when there was an answer 200
	gap     map[string]time.Duration // the longest time without one
}

func startMixed(t *testing.T, world *seeded, servers ...*serverProcess) *mixed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := &mixed{
		t: t, world: world, servers: servers, end: cancel, acked: map[string]time.Time{}, refused: map[string]int{},
		slowest: map[string]time.Duration{}, last: map[string]time.Time{}, gap: map[string]time.Duration{},
	}
	for n := range mixedCallers {
		m.running.Go(func() { m.run(ctx, n) })
	}
	t.Cleanup(m.Stop)
	return m
}

// Stop ends the load.
func (m *mixed) Stop() {
	m.end()
	m.running.Wait()
	hangUp()
}

func (m *mixed) run(ctx context.Context, n int) {
	pace := time.NewTicker(mixedPace)
	defer pace.Stop()
	for ; ctx.Err() == nil; n++ {
		m.round(ctx, n)
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}

// round is the life of one token, and a look at one that was taken back long ago.
func (m *mixed) round(ctx context.Context, n int) {
	one, other := m.servers[n%len(m.servers)].URL, m.servers[(n+1)%len(m.servers)].URL
	if old := m.longRevoked(); old != "" {
		m.look(ctx, one, old, false)
	}
	got, ok := m.ask(ctx, "token", func() (answer, error) {
		return askToken(ctx, one, m.world.Caller, asking([]string{jwtAPI, opaqueAPI}[n/2%2], ""))
	})
	if !ok {
		return
	}
	text := got.Text("access_token")
	m.look(ctx, other, text, true)
	if n%5 != 0 {
		m.mu.Lock()
		m.good = append(m.good, text)
		m.mu.Unlock()
		return
	}
	_, ok = m.ask(ctx, "revocation", func() (answer, error) {
		return post(ctx, one+"/oauth2/revoke", m.world.Caller, url.Values{"token": {text}})
	})
	if !ok {
		return // it may be revoked or not
	}
	m.mu.Lock()
	m.revoked, m.acked[text] = append(m.revoked, text), time.Now()
	m.mu.Unlock()
	m.look(ctx, one, text, false)
}

// longRevoked returns a token that every instance must know to be revoked, if there is one.
func (m *mixed) longRevoked() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.revoked) == 0 {
		return ""
	}
	text := m.revoked[rand.IntN(len(m.revoked))]
	if time.Since(m.acked[text]) < noticedWithin {
		return ""
	}
	return text
}

// look introspects a token, which must be what it is said to be.
func (m *mixed) look(ctx context.Context, server, text string, want bool) {
	got, ok := m.ask(ctx, "introspection", func() (answer, error) {
		return post(ctx, server+"/oauth2/introspect", m.world.Server, url.Values{"token": {text}})
	})
	if says, _ := got.JSON["active"].(bool); ok && says != want {
		m.t.Errorf("%s says active %v of a token for which it is %v: %s", server, says, want, got.Body)
	}
}

// ask counts an answer, and reports whether it was 200.
func (m *mixed) ask(ctx context.Context, what string, ask func() (answer, error)) (answer, bool) {
	began := time.Now()
	got, err := ask()
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return got, false
	case err != nil:
		m.t.Errorf("%s: %v", what, err)
		return got, false
	}
	m.slowest[what] = max(m.slowest[what], now.Sub(began))
	switch got.Status {
	case http.StatusOK:
		if last, ok := m.last[what]; ok {
			m.gap[what] = max(m.gap[what], now.Sub(last))
		}
		m.last[what] = now
		return got, true
	case http.StatusServiceUnavailable:
		m.refused[what]++
	default:
		m.t.Errorf("%s: a failing storage made a verdict: %d %s", what, got.Status, got.Body)
	}
	return got, false
}

// Await waits until so many more tokens were issued and revoked.
func (m *mixed) Await(tokens, revocations int) {
	m.t.Helper()
	count := func() (int, int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.good), len(m.revoked)
	}
	good, revoked := count()
	testbed.Wait(m.t, 2*time.Minute, func() error {
		if g, r := count(); g < good+tokens || r < revoked+revocations {
			return fmt.Errorf("%d tokens of %d, %d revocations of %d", g-good, tokens, r-revoked, revocations)
		}
		return nil
	})
}

// Begin starts the figures anew.
func (m *mixed) Begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.refused)
	clear(m.slowest)
	clear(m.gap)
}

// Figures tells what happened since Begin.
func (m *mixed) Figures() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(m.last)) {
		fmt.Fprintf(&b, "; %s: %d answers 503, longest gap %v, slowest answer %v", what, m.refused[what],
			m.gap[what].Round(time.Millisecond), m.slowest[what].Round(time.Millisecond))
	}
	return strings.TrimPrefix(b.String(), "; ")
}

// Check stops the load, and looks at every token by every server.
func (m *mixed) Check(t *testing.T) {
	t.Helper()
	m.Stop()
	for _, s := range m.servers {
		testbed.Wait(t, startWithin, func() error { return s.Ready(t.Context()) })
		inEach(t, m.good, func(text string) error { return isActive(t.Context(), s, m.world.Server, text, true) })
		inEach(t, m.revoked, func(text string) error { return isActive(t.Context(), s, m.world.Server, text, false) })
	}
	t.Logf("%d tokens and %d revocations acknowledged; all looked at by %d servers", len(m.good)+len(m.revoked), len(m.revoked), len(m.servers))
}
