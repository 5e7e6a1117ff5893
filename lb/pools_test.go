package lb_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/lb"
)

// newPools are closed at the end of the test.
func newPools(t testing.TB, cfg lb.PoolsConfig) *lb.Pools {
	t.Helper()
	pools := lb.NewPools(cfg)
	t.Cleanup(pools.Close)
	return pools
}

// prepare reads a document and prepares its pools.
func prepare(t testing.TB, pools *lb.Pools, text string) *lb.PreparedPools {
	t.Helper()
	settings, source := decodePools(t, text)
	prepared, err := pools.Prepare(settings, source.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	return prepared
}

// states shows each pool, its upstreams and whether these are up.
func states(pools *lb.Pools) string {
	var all []string
	for _, p := range pools.Status() {
		s := p.Name
		if p.Retired {
			s += "(retired)"
		}
		for _, u := range p.Upstreams {
			if u.Healthy {
				s += "+"
			} else {
				s += "-"
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestPoolsKeepWhatIsEqual(t *testing.T) {
	u, dead := startUpstream(t, nil), deadAddr(t)
	pools := newPools(t, lb.PoolsConfig{})
	text := func(attempts int, more string) string {
		return fmt.Sprintf(`pools:
  same: {targets: [{url: %q}, {url: %q}], health: {disabled: true}}
  other: {targets: [{url: %q}], health: {disabled: true}, retries: {attempts: %d}}
%s`, u.addr, dead, u.addr, attempts, more)
	}
	first := prepare(t, pools, text(1, fmt.Sprintf("  gone: {targets: [{url: %q}], health: {disabled: true}}\n", u.addr)))
	if got := states(pools); got != "" {
		t.Errorf("before the commit: %s", got)
	}
	first.Commit()
	if got := states(pools); got != "gone+ other+ same++" {
		t.Errorf("at first: %s", got)
	}
	for range 2 { // finds out that one is dead
		if _, _, err := tryTransport(t, first.Transports["same"], http.MethodGet, nil); err != nil {
			t.Fatal(err)
		}
	}
	second := prepare(t, pools, text(2, ""))
	second.Commit()
	if second.Transports["same"] != first.Transports["same"] || second.Transports["other"] == first.Transports["other"] {
		t.Error("what is equal was replaced, or what is not was kept")
	}
	if got := states(pools); got != "other+ same+- gone(retired)+ other(retired)+" {
		t.Errorf("afterwards: %s", got)
	}
	second.Revert()
	second.Discard()
	second.Revert() // is too much, and does nothing
	if got := states(pools); got != "gone+ other+ same+- other(retired)+" {
		t.Errorf("reverted: %s", got)
	}
	await(t, "end of what was not wanted", func() bool { return states(pools) == "gone+ other+ same+-" })
}

// A pool that replaces another knows which upstreams are down or drained, unless it looks at other things.
func TestPoolsPassOnWhatTheyKnow(t *testing.T) {
	a, b, dead := startUpstream(t, nil), startUpstream(t, nil), deadAddr(t)
	pools := newPools(t, lb.PoolsConfig{})
	text := func(attempts int, path string) string {
		return fmt.Sprintf(`pools: {p: {targets: [{url: %q}, {url: %q}, {url: %q}], health: {interval: 1h, path: %s}, retries: {attempts: %d}}}`,
			dead, a.addr, b.addr, path, attempts)
	}
	first := prepare(t, pools, text(1, "/live"))
	first.Commit()
	if _, _, err := tryTransport(t, first.Transports["p"], http.MethodGet, nil); err != nil {
		t.Fatal(err)
	}
	if err := first.Transports["p"].Pool().Drain("http://" + a.addr); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{{text(2, "/live"), "p-++"}, {text(2, "/other"), "p+++"}} {
		next := prepare(t, pools, tt.text)
		next.Commit()
		if got, _, _ := strings.Cut(states(pools), " "); got != tt.want || !pools.Status()[0].Upstreams[1].Drained {
			t.Errorf("%s, want %s; %+v", got, tt.want, pools.Status()[0].Upstreams[1])
		}
	}
}

func TestPoolsStayWhenOneIsWrong(t *testing.T) {
	pools := newPools(t, lb.PoolsConfig{})
	prepare(t, pools, `pools: {a: {targets: [{url: "127.0.0.1:1"}], health: {disabled: true}}}`).Commit()
	settings, source := decodePools(t, `pools: {a: {targets: [{url: "127.0.0.1:2"}]}, b: {targets: [{url: nowhere}]}}`)
	if _, err := pools.Prepare(settings, source.Errorf); err == nil {
		t.Fatal("no error")
	}
	if got := pools.Status(); len(got) != 1 || got[0].Upstreams[0].Address != "http://127.0.0.1:1" {
		t.Errorf("%+v", got)
	}
}

// Checks begin with the commit, follow the configuration, and end with Close.
func TestPoolsCheckWhatIsInForce(t *testing.T) {
	var one, two atomic.Int64
	count := func(n *atomic.Int64) http.HandlerFunc { return func(http.ResponseWriter, *http.Request) { n.Add(1) } }
	a, b := startUpstream(t, count(&one)), startUpstream(t, count(&two))
	pools := newPools(t, lb.PoolsConfig{})
	text := func(u *upstream) string {
		return fmt.Sprintf(`pools: {p: {targets: [{url: %q}], health: {interval: 10ms}}}`, u.addr)
	}
	more := func(n *atomic.Int64) func() bool {
		from := n.Load()
		return func() bool { return n.Load() > from+2 }
	}
	first := prepare(t, pools, text(a))
	if one.Load() != 0 {
		t.Error("checked before the commit")
	}
	first.Commit()
	await(t, "check of the first", more(&one))
	second := prepare(t, pools, text(b))
	second.Commit()
	await(t, "check of the second", more(&two))
	second.Revert()
	await(t, "check of the first again", more(&one))
	second.Discard()
	pools.Close()
	if one, two := one.Load(), two.Load(); a.arrivals.Load() != one || b.arrivals.Load() != two {
		t.Error("checks go on")
	}
}

// A request that is under way when its pool goes is finished, and its connection is closed.
func TestRetiredPoolFinishes(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	u := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		io.WriteString(w, "whole")
	})
	pools := newPools(t, lb.PoolsConfig{})
	prepared := prepare(t, pools, fmt.Sprintf(`pools: {p: {targets: [{url: %q}], health: {disabled: true}}}`, u.addr))
	prepared.Commit()
	answered := make(chan string)
	go func() {
		_, text, err := tryTransport(t, prepared.Transports["p"], http.MethodGet, nil)
		answered <- fmt.Sprint(text, err)
	}()
	<-arrived
	prepare(t, pools, "pools: {}").Commit()
	if got := states(pools); got != "p(retired)+" {
		t.Error(got)
	}
	close(release)
	if got := <-answered; got != "whole<nil>" {
		t.Error(got)
	}
	await(t, "end of the pool", func() bool { return states(pools) == "" && u.conns.Load() == 0 })
}

// No request fails while configurations come and go.
func TestReloadUnderLoad(t *testing.T) {
	const workers, reloads = 8, 50
	a, b := startUpstream(t, nil), startUpstream(t, nil)
	pools := newPools(t, lb.PoolsConfig{})
	var current atomic.Pointer[lb.Transport]
	reload := func(n int) {
		prepared := prepare(t, pools, fmt.Sprintf(`pools: {p: {targets: [{url: %q}, {url: %q}], retries: {attempts: %d}}}`, a.addr, b.addr, n%3))
		prepared.Commit()
		current.Store(prepared.Transports["p"])
	}
	reload(0)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var sent atomic.Int64
	for range workers {
		load.Go(func() {
			for ctx.Err() == nil {
				if _, got, err := tryTransport(t, current.Load(), http.MethodPost, strings.NewReader("payload")); err != nil || got != "payload" {
					t.Errorf("%q, %v", got, err)
				}
				sent.Add(1)
			}
		})
	}
	for n := range reloads {
		from := sent.Load()
		await(t, "requests between reloads", func() bool { return sent.Load() > from })
		reload(n)
	}
	cancel()
	load.Wait()
}

func TestPoolsByClientAndHeader(t *testing.T) {
	a, b := startUpstream(t, nil), startUpstream(t, nil)
	pools := newPools(t, lb.PoolsConfig{})
	prepared := prepare(t, pools, fmt.Sprintf(`pools:
  client: {targets: [{url: %[1]q}, {url: %[2]q}], policy: consistent-hash}
  header: {targets: [{url: %[1]q}, {url: %[2]q}], policy: consistent-hash, hash: {header: x-tenant}}
`, a.addr, b.addr))
	for name, differ := range map[string]func(r *http.Request, n int){
		"client": func(r *http.Request, n int) { r.RemoteAddr = fmt.Sprintf("10.0.0.%d:%d", n/2, 1000+n) },
		"header": func(r *http.Request, n int) { r.Header.Set("X-Tenant", fmt.Sprint(n/2)) },
	} {
		var last string
		hosts := map[string]bool{}
		for n := range 64 {
			var trace lb.Trace
			how := prepared.Transports[name].Overrides()
			how.Trace = func(*http.Request) *lb.Trace { return &trace }
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://any/", nil)
			if err != nil {
				t.Fatal(err)
			}
			differ(r, n)
			resp, err := prepared.Transports[name].With(how).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n%2 == 1 && trace.Upstream != last {
				t.Errorf("%s: one key at two upstreams", name)
			}
			last = trace.Upstream
			hosts[last] = true
		}
		if len(hosts) != 2 {
			t.Errorf("%s: %d upstreams", name, len(hosts))
		}
	}
}

func TestCloseIsForGood(t *testing.T) {
	pools := lb.NewPools(lb.PoolsConfig{})
	prepared := prepare(t, pools, `pools: {p: {targets: [{url: "127.0.0.1:1"}], health: {interval: 10ms}}}`)
	pools.Close()
	prepared.Commit()
	pools.Close()
	if got := states(pools); got != "" {
		t.Error(got)
	}
}
