package abuse_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
)

var errRefused = fault.New(fault.InvalidClient, "no")

// world is a guard with a clock that stands still.
type world struct {
	*abuse.Guard

	elapsed atomic.Int64 // of the clock, nanoseconds; the cache looks at it from a goroutine of its own
	log     bytes.Buffer
}

func (w *world) now() time.Time { return time.Unix(1_800_000_000, w.elapsed.Load()) }

func (w *world) pass(d time.Duration) { w.elapsed.Add(int64(d)) }

func newWorld(t testing.TB, c abuse.Config) *world {
	t.Helper()
	w := &world{}
	c.Logger = slog.New(slog.NewTextHandler(&w.log, nil))
	if c.Counters.Now == nil {
		c.Counters.Now = w.now
	}
	w.Guard = open(t, c)
	return w
}

func open(t testing.TB, c abuse.Config) *abuse.Guard {
	t.Helper()
	g, err := abuse.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func defaults() abuse.Config {
	return abuse.Config{TokenBudget: abuse.DefaultTokenBudget, FailureLimit: abuse.DefaultFailureLimit, ScanLimit: abuse.DefaultScanLimit}
}

func api(lifetime time.Duration) *auth.API {
	return &auth.API{ID: auth.NewAPIID(time.Now()), Identifier: "https://api.test", Lifetime: lifetime}
}

func newClient() auth.ClientID { return auth.NewClientID(time.Now()) }

// address returns the n-th of many addresses, each in a network of its own.
func address(n int) netip.Addr {
	var a [16]byte
	a[0] = 0x20
	binary.BigEndian.PutUint32(a[4:], uint32(n))
	return netip.AddrFrom16(a)
}

// Replicas that keep their tokens are never refused: not when all begin at once, not when they are restarted one after the other for a
// whole day, each as soon as the last one is up, not behind one address, and not with the shortest tokens.
func TestReplicasAreNeverRefused(t *testing.T) {
	for _, tt := range []struct {
		name      string
		replicas  int
		addresses int // that they have together
		restart   time.Duration
		lifetime  time.Duration
	}{
		{"200, each with its address", 200, 200, 10 * time.Second, time.Hour},
		{"200 behind one address", 200, 1, 10 * time.Second, time.Hour},
		{"200 behind one address with the shortest tokens", 200, 1, 10 * time.Second, auth.MinLifetime},
		{"500 behind 20 nodes", 500, 20, 10 * time.Second, time.Hour},
		{"2000, each with its address", 2000, 2000, time.Second, time.Hour},
		{"2000 that crash every five minutes", 2000, 2000, 150 * time.Millisecond, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, client, resource := newWorld(t, defaults()), newClient(), api(tt.lifetime)
			renewed := make([]time.Time, tt.replicas) // zero: at once
			restarted := w.now()
			for end := w.now().Add(simulated); w.now().Before(end); w.pass(time.Second) {
				for ; w.now().Sub(restarted) >= tt.restart; restarted = restarted.Add(tt.restart) {
					renewed[int(restarted.UnixNano()/int64(tt.restart))%tt.replicas] = time.Time{}
				}
				now := w.now()
				for i := range renewed {
					if now.Before(renewed[i]) {
						continue
					}
					renewed[i] = now.Add(tt.lifetime / 10 * 7)
					if err := w.Spend(client, resource, address(i%tt.addresses)); err != nil {
						t.Fatalf("replica %d after %v: %v", i, simulated-end.Sub(now), err)
					}
				}
			}
		})
	}
}

// A client that asks ten times a second is stopped within minutes, and gets one token for each that its budget brings.
func TestRunawayIsStopped(t *testing.T) {
	w, client, resource := newWorld(t, defaults()), newClient(), api(time.Hour)
	passed := 0
	for range 10 * 3600 {
		if w.Spend(client, resource, address(1)) == nil {
			passed++
		}
		w.pass(100 * time.Millisecond)
	}
	if passed < 2000 || passed > 3000 {
		t.Errorf("%d tokens in an hour", passed)
	}
	err := w.Spend(client, resource, address(1))
	limited, refused := fault.From(err), (*auth.Refusal)(nil)
	if limited == nil || limited.Code != fault.TooMany || limited.RetryAfter <= 0 || limited.RetryAfter > 3*time.Second {
		t.Errorf("got %v", err)
	}
	if !errors.As(err, &refused) || refused.Client != client || refused.Reason != auth.OverBudget {
		t.Errorf("the log learns %v", refused)
	}
	if n := strings.Count(w.log.String(), client.String()); n < 5 || n > 7 {
		t.Errorf("%d lines in an hour: %s", n, w.log.String())
	}
	w.Unspend(client, resource, address(1))
	if err := w.Spend(client, resource, address(1)); err != nil {
		t.Errorf("a token that was not issued is counted: %v", err)
	}
}

func TestOff(t *testing.T) {
	off := newWorld(t, abuse.Config{}).Guard
	for name, g := range map[string]*abuse.Guard{"no limits": off, "no guard": nil} {
		t.Run(name, func(t *testing.T) {
			client, resource := newClient(), api(time.Minute)
			for range 10_000 {
				attempt := g.Attempt("x", address(1))
				if err := errors.Join(g.Spend(client, resource, address(1)), g.Inactive(client, address(1))); err != nil || attempt.Frugal() {
					t.Fatalf("%v, frugal %v", err, attempt.Frugal())
				}
				if err := attempt.Failed(errRefused); !errors.Is(err, fault.InvalidClient) || errors.Is(err, fault.TooMany) {
					t.Fatal(err)
				}
			}
			g.Unspend(client, resource, address(1))
			g.Attempt("x", address(1)).Succeeded()
		})
	}
}

func TestNew(t *testing.T) {
	for _, c := range []abuse.Config{{TokenBudget: -1}, {FailureLimit: abuse.MaxLimit + 1}, {ScanLimit: -5}} {
		if _, err := abuse.New(c); err == nil || !strings.Contains(err.Error(), "allowed is 0 to 100000") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	metrics, twice := prometheus.NewRegistry(), prometheus.AlreadyRegisteredError{}
	open(t, abuse.Config{Registerer: metrics})
	if _, err := abuse.New(abuse.Config{Registerer: metrics}); !errors.As(err, &twice) {
		t.Errorf("a second one with the same metrics: %v", err)
	}
}

// The largest and smallest limits are limits for every lifetime.
func TestLimitsHold(t *testing.T) {
	for _, budget := range []int{1, 5000} {
		for _, lifetime := range []time.Duration{auth.MinLifetime, auth.MaxLifetime} {
			w, client, resource := newWorld(t, abuse.Config{TokenBudget: budget, FailureLimit: budget, ScanLimit: budget}), newClient(), api(lifetime)
			passed, failed, inactive := 0, 0, 0
			for range budget + 50 {
				if w.Spend(client, resource, address(1)) == nil {
					passed++
				}
				if !errors.Is(w.Attempt(newClient().String(), address(1)).Failed(errRefused), fault.TooMany) {
					failed++
				}
				if w.Inactive(client, address(1)) == nil {
					inactive++
				}
			}
			if passed != budget+20 || failed != budget || inactive != budget {
				t.Errorf("budget %d, lifetime %v: %d tokens, %d failures, %d inactive", budget, lifetime, passed, failed, inactive)
			}
		}
	}
}

// A million addresses and a million client ids take no more memory than the bounds, and keep none of those that were known out.
func TestMemoryIsBounded(t *testing.T) {
	w, resource, known := newWorld(t, defaults()), api(time.Hour), newClient()
	w.Attempt(known.String(), address(0)).Succeeded()
	for i := range flood {
		client := newClient()
		at := address(i)
		attempt := w.Attempt(client.String(), at)
		if i%2 == 0 {
			attempt.Succeeded()
		} else if err := attempt.Failed(errRefused); errors.Is(err, fault.TooMany) {
			t.Fatalf("failure %d: %v", i, err)
		}
		if err := errors.Join(w.Spend(client, resource, at), w.Inactive(client, at)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			w.Attempt(known.String(), address(0)).Succeeded() // it goes on
		}
	}
	accounts, clients, _ := w.Entries()
	most, mostClients, _ := abuse.MaxEntries()
	if accounts > most+most/10 || clients > mostClients {
		t.Errorf("%d accounts and %d clients are in memory", accounts, clients)
	}
	for range abuse.DefaultFailureLimit + 1 {
		_ = w.Attempt("x", address(0)).Failed(errRefused)
	}
	if w.Attempt(known.String(), address(0)).Frugal() || !w.Attempt(newClient().String(), address(0)).Frugal() {
		t.Error("who was known is not, or who was not is")
	}
}

// However many are refused, the log is bounded.
func TestLogIsBounded(t *testing.T) {
	w, resource := newWorld(t, abuse.Config{TokenBudget: 1, FailureLimit: 1, ScanLimit: 1}), api(time.Hour)
	for i := range 3000 {
		client, at := newClient(), address(i)
		for range 25 {
			_ = w.Spend(client, resource, at)
			_ = w.Inactive(client, at)
			_ = w.Attempt(client.String(), at).Failed(errRefused)
		}
		w.pass(10 * time.Millisecond)
	}
	_, _, most := abuse.MaxEntries()
	if n := strings.Count(w.log.String(), "\n"); n != most {
		t.Errorf("%d lines in 30 s", n)
	}
	w.pass(time.Hour)
	resource.ID = auth.NewAPIID(time.Now())
	client := newClient()
	for range 25 {
		_ = w.Spend(client, resource, address(1))
	}
	if !strings.Contains(w.log.String(), client.String()) {
		t.Error("an hour later a client is not named")
	}
}

// shared returns two guards on one Redis.
func shared(t *testing.T, url string, budget time.Duration) (guards [2]*abuse.Guard, unshared func() float64) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range guards {
		conn, err := redisconn.Open(url, redisconn.Config{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c := defaults()
		c.Counters = ratelimit.Config{Redis: conn, Prefix: "cst:limit:"}
		if i == 0 {
			c.Registerer = metrics
		}
		guards[i] = open(t, c)
		running.Go(func() { guards[i].Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return guards, func() float64 {
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "countersign_abuse_unshared_reports_total" {
				return family.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("no such metric")
		return 0
	}
}

// What one instance counts, the other one knows with the next that it counts itself.
func TestInstancesShare(t *testing.T) {
	guards, _ := shared(t, testbed.Redis(t).URL(), 10*time.Second)
	client, resource, at := newClient(), api(time.Hour), address(7)
	for name, use := range map[string]func(*abuse.Guard) bool{ // whether it is still let
		"tokens":   func(g *abuse.Guard) bool { return g.Spend(client, resource, at) == nil },
		"scanning": func(g *abuse.Guard) bool { return g.Inactive(client, at) == nil },
		"failures": func(g *abuse.Guard) bool {
			return !errors.Is(g.Attempt(client.String(), at).Failed(errRefused), fault.TooMany)
		},
		"failures of an address": func(g *abuse.Guard) bool {
			return !errors.Is(g.Attempt(newClient().String(), at).Failed(errRefused), fault.TooMany)
		},
	} {
		t.Run(name, func(t *testing.T) {
			alone := 0
			for use(guards[0]) {
				alone++
			}
			together := 0
			testbed.Wait(t, 20*time.Second, func() error {
				_ = use(guards[0])
				if use(guards[1]) {
					together++
					return errors.New("the other instance goes on")
				}
				return nil
			})
			if together > alone/2+25 {
				t.Errorf("%d passed one instance, then %d the other", alone, together)
			}
		})
	}
}

// Without Redis nobody waits, each instance counts for itself, and it is counted that they do.
func TestWithoutRedis(t *testing.T) {
	redis := testbed.StartRedis(t)
	proxy := testbed.StartProxy(t, redis.Addr())
	proxy.BlackHole()
	guards, unshared := shared(t, "redis://"+proxy.Addr(), redisconn.DefaultBudget)
	client, resource := newClient(), api(24*time.Hour)
	began := time.Now()
	for _, g := range guards {
		passed := 0
		for range 2 * abuse.DefaultTokenBudget {
			if g.Spend(client, resource, address(1)) == nil {
				passed++
			}
			_ = g.Attempt(client.String(), address(1)).Failed(errRefused)
		}
		if passed != abuse.DefaultTokenBudget+20 {
			t.Errorf("%d tokens", passed)
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	testbed.Wait(t, 10*time.Second, func() error {
		if unshared() == 0 {
			return errors.New("nobody says that Redis was not told")
		}
		return nil
	})
}

// The way of a request that is let pass allocates nothing.
func TestNothingIsAllocated(t *testing.T) {
	for _, text := range []string{"192.0.2.1", "2001:db8::1"} {
		w, client, resource, at := newWorld(t, defaults()), newClient(), api(time.Hour), netip.MustParseAddr(text)
		id := client.String()
		w.Attempt(id, at).Succeeded()
		if n := testing.AllocsPerRun(500, func() {
			attempt := w.Attempt(id, at)
			_ = attempt.Frugal()
			attempt.Succeeded()
			_ = w.Spend(client, resource, at)
			_ = w.Inactive(client, at)
			w.Attempt("unknown", at).Frugal()
		}); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// BenchmarkGuard is what a token request costs besides.
func BenchmarkGuard(b *testing.B) {
	g := newWorld(b, defaults())
	client, resource, at := newClient(), api(auth.MinLifetime), address(1)
	id := client.String()
	b.ReportAllocs()
	for b.Loop() {
		attempt := g.Attempt(id, at)
		_ = attempt.Frugal()
		attempt.Succeeded()
		if err := g.Spend(client, resource, at); err != nil {
			b.Fatal(err)
		}
		g.pass(time.Second)
	}
}

func TestMetrics(t *testing.T) {
	metrics := prometheus.NewRegistry()
	c := abuse.Config{TokenBudget: 1, Registerer: metrics}
	w := newWorld(t, c)
	for _, client := range []auth.ClientID{newClient(), newClient()} {
		for _, resource := range []*auth.API{api(time.Hour), api(time.Hour)} {
			for range 22 {
				_ = w.Spend(client, resource, address(1))
			}
		}
	}
	over := func(want int) {
		t.Helper()
		const name = "countersign_abuse_clients_over_budget"
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == name && int(family.GetMetric()[0].GetGauge().GetValue()) != want {
				t.Errorf("%v clients are over their budget, want %d", family.GetMetric()[0].GetGauge().GetValue(), want)
			}
		}
		if n, err := testutil.GatherAndCount(metrics, name); n != 1 || err != nil {
			t.Errorf("%d of %s, %v", n, name, err)
		}
	}
	over(2)
	w.pass(time.Minute)
	over(0)
}
