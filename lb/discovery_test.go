package lb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

// names answers look-ups.
type names struct {
	mu        sync.Mutex
	addresses []netip.Addr
	err       error
	asked     int
}

func (n *names) set(err error, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err, n.addresses, n.asked = err, nil, 0
	for _, a := range addresses {
		n.addresses = append(n.addresses, netip.MustParseAddr(a))
	}
}

func (n *names) lookup(context.Context, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.addresses, n.err
}

// members shows the upstreams of a pool by the last number of their addresses; those that leave are in brackets.
func members(p *lb.Pool) string {
	var all []string
	for _, u := range p.Upstreams() {
		host, _, _ := net.SplitHostPort(strings.TrimPrefix(u.Address, "http://"))
		name := host[strings.LastIndexAny(host, ".:")+1:]
		if u.Leaving {
			name = "(" + name + ")"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestDiscoveryFollowsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dns names
		pool := newPool(t, lb.PoolConfig{
			Health:    lb.Health{Disabled: true},
			Discovery: &lb.Discovery{Name: "inventory.internal", Port: 8080, Refresh: 10 * time.Second, Lookup: dns.lookup},
		})
		var run sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		start := sync.OnceFunc(func() { run.Go(func() { pool.Run(ctx) }) })
		defer run.Wait()
		defer cancel()
		for _, tt := range []struct {
			name  string
			after time.Duration
			err   error
			found []string
			want  string
			asked int
		}{
			{name: "no answer yet", err: errors.New("no such host"), want: "", asked: 1},
			{name: "an empty pool asks again soon", after: time.Second, found: []string{"10.0.0.2", "10.0.0.1"}, want: "1 2", asked: 1},
			{name: "one joins", after: 10 * time.Second, found: []string{"10.0.0.1", "10.0.0.3", "10.0.0.2"}, want: "1 2 3", asked: 1},
			{name: "one vanishes", after: 10 * time.Second, found: []string{"10.0.0.3", "10.0.0.1"}, want: "1 3", asked: 1},
			{name: "the resolver fails", after: 10 * time.Second, err: errors.New("timeout"), want: "1 3", asked: 1},
			{name: "the resolver finds none", after: 10 * time.Second, want: "1 3", asked: 1},
			{name: "one twice and in two forms", after: 10 * time.Second, found: []string{"::ffff:10.0.0.1", "10.0.0.1"}, want: "1", asked: 1},
			{name: "the other kind", after: 10 * time.Second, found: []string{"fd00::7"}, want: "7", asked: 1},
			{name: "not before it is time", after: 9 * time.Second, found: []string{"10.0.0.9"}, want: "7", asked: 0},
		} {
			dns.set(tt.err, tt.found...)
			start()
			time.Sleep(tt.after)
			synctest.Wait()
			if got := members(pool); got != tt.want || dns.asked != tt.asked {
				t.Errorf("%s: %q after %d look-ups, want %q", tt.name, got, dns.asked, tt.want)
			}
		}
	})
}

// Who leaves gets no new requests and finishes those that it has.
func TestWhoLeavesFinishes(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			arrived <- struct{}{}
			<-release
		}
		w.Header().Set("By", r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	}
	first := startUpstream(t, hang)
	_, port, _ := net.SplitHostPort(first.addr)
	second := serveUpstream(t, listen(t, "127.0.0.2:"+port), hang)
	var number uint16
	fmt.Sscan(port, &number)
	var dns names
	dns.set(nil, "127.0.0.1")
	pool := newPool(t, lb.PoolConfig{Discovery: &lb.Discovery{Name: "any", Port: number, Refresh: time.Millisecond, Lookup: dns.lookup}})
	f := startFront(t, lb.TransportConfig{Pool: pool})
	if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("an empty pool: %d", resp.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { pool.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	await(t, "first", func() bool { return members(pool) == "1" })
	hanging := make(chan int)
	go func() {
		resp, _, err := f.try(t.Context(), http.MethodGet, "/hang", nil, nil)
		if err != nil {
			hanging <- 0
			return
		}
		hanging <- resp.StatusCode
	}()
	<-arrived
	dns.set(nil, "127.0.0.2")
	await(t, "change", func() bool { return members(pool) == "2 (1)" })
	for range 4 {
		if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.Header.Get("By") != second.addr {
			t.Errorf("answered by %s", resp.Header.Get("By"))
		}
	}
	dns.set(nil, "127.0.0.2", "127.0.0.1")
	await(t, "return", func() bool { return members(pool) == "1 2" })
	if n := pool.Upstreams()[0].InFlight; n != 1 {
		t.Errorf("%d requests in flight at the one that came back", n)
	}
	dns.set(nil, "127.0.0.2")
	await(t, "change back", func() bool { return members(pool) == "2 (1)" })
	close(release)
	if status := <-hanging; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	await(t, "end", func() bool { return members(pool) == "2" })
}

// Who joins a pool that works starts slowly; the first do not.
func TestWhoJoinsStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dns names
		dns.set(nil, "10.0.0.1")
		pool := newPool(t, lb.PoolConfig{
			Health: lb.Health{Disabled: true}, SlowStart: time.Minute,
			Discovery: &lb.Discovery{Name: "any", Port: 1, Refresh: time.Second, Lookup: dns.lookup},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { pool.Run(ctx) })
		defer run.Wait()
		defer cancel()
		synctest.Wait()
		dns.set(nil, "10.0.0.1", "10.0.0.2")
		time.Sleep(time.Second)
		synctest.Wait()
		share := func() (n int) {
			for range 10000 {
				if pool.Pick("").Address() == "http://10.0.0.2:1" {
					n++
				}
			}
			return n
		}
		if n := share(); n > 300 {
			t.Errorf("%d of 10000 requests at once", n)
		}
		time.Sleep(time.Minute)
		if n := share(); n != 5000 {
			t.Errorf("%d of 10000 requests in the end", n)
		}
	})
}

// Where a name cannot be looked up, the new configuration begins with the upstreams of the old.
func TestReloadKeepsWhatWasFound(t *testing.T) {
	var dns names
	dns.set(nil, "10.0.0.1", "10.0.0.2")
	pools := newPools(t, lb.PoolsConfig{Lookup: dns.lookup})
	text := func(name string, attempts int) string {
		return fmt.Sprintf("pools: {p: {dns: {name: %s, port: 1}, health: {disabled: true}, retries: {attempts: %d}}}", name, attempts)
	}
	first := prepare(t, pools, text("a", 1))
	if got := members(first.Transports["p"].Pool()); got != "1 2" {
		t.Errorf("at first: %q", got)
	}
	first.Commit()
	dns.set(errors.New("no answer"))
	if got := members(prepare(t, pools, text("a", 2)).Transports["p"].Pool()); got != "1 2" {
		t.Errorf("with other settings: %q", got)
	}
	if got := members(prepare(t, pools, text("b", 1)).Transports["p"].Pool()); got != "" {
		t.Errorf("with another name: %q", got)
	}
	if s := pools.Status()[0]; s.LookedUpAt.IsZero() || s.LookUpError != "" {
		t.Errorf("%+v", s)
	}
}

func TestNewPoolRefusesDiscovery(t *testing.T) {
	for name, cfg := range map[string]lb.PoolConfig{
		"no name": {Discovery: &lb.Discovery{Port: 1}},
		"no port": {Discovery: &lb.Discovery{Name: "a"}},
		"scheme":  {Discovery: &lb.Discovery{Name: "a", Port: 1, Scheme: "ftp"}},
		"both":    {Discovery: &lb.Discovery{Name: "a", Port: 1}, Targets: []lb.Target{{URL: "a:1"}}},
	} {
		if _, err := lb.NewPool(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
