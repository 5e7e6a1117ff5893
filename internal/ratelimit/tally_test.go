package ratelimit_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

func tally(t testing.TB, cfg ratelimit.Config) *ratelimit.Tally {
	t.Helper()
	made, err := ratelimit.NewTally(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Redis == nil {
		return made
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { made.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return made
}

func TestTallyAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, now := limits(t), start(t)
		var c clock
		c.set(now)
		counted, err := ratelimit.NewTally(ratelimit.Config{Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(limit, now)
		for i, step := range steps(t, limit) {
			now = now.Add(step)
			c.set(now)
			before := counted.Look([]byte("key"), limit)
			got, want := counted.Take([]byte("key"), limit), m.take(now)
			if got != want {
				t.Fatalf("request %d of %+v: %+v, want %+v", i, limit, got, want)
			}
			if before.Allowed != got.Allowed || before.RetryAfter != got.RetryAfter {
				t.Fatalf("request %d of %+v: foretold %+v, then %+v", i, limit, before, got)
			}
		}
	})
}

func TestReturned(t *testing.T) {
	counted := tally(t, ratelimit.Config{})
	limit, key := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 2}, []byte("k")
	counted.Return(key, limit) // of what nobody took
	for range 2 {
		counted.Take(key, limit)
	}
	counted.Return(key, limit)
	if !counted.Take(key, limit).Allowed || counted.Take(key, limit).Allowed {
		t.Error("what was returned cannot be taken once more, or twice")
	}
	for range 5 {
		counted.Return(key, limit)
	}
	if v := counted.Look(key, limit); v.Remaining != limit.Burst {
		t.Errorf("there is more than a burst: %+v", v)
	}
}

func TestLookingCostsNoMemory(t *testing.T) {
	counted := tally(t, ratelimit.Config{})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}
	for i := range 1000 {
		if !counted.Look([]byte(strconv.Itoa(i)), limit).Allowed {
			t.Fatal("an account that nothing was taken from is empty")
		}
	}
	if n := counted.Len(); n != 0 {
		t.Errorf("%d accounts", n)
	}
	counted.Take([]byte("key"), limit)
	if n := testing.AllocsPerRun(100, func() {
		var buffer [64]byte
		key := append(buffer[:0], "key"...)
		counted.Look(key, limit)
		counted.Take(key, limit)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What one process counts, the other one knows soon after it has counted something itself; nobody else does.
func TestTalliesShare(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL(), redisconn.Config{Budget: 10 * time.Second})
	here, there := tally(t, ratelimit.Config{Redis: conn, Prefix: "one:"}), tally(t, ratelimit.Config{Redis: conn, Prefix: "one:"})
	other := tally(t, ratelimit.Config{Redis: conn, Prefix: "other:"})
	limit := ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 10_000}
	key := expectShared(t, here, there, limit)
	other.Take(key, limit)
	if !other.Look(key, limit).Allowed {
		t.Error("what is counted under another prefix is the same")
	}
	if !there.Look([]byte("another key"), limit).Allowed {
		t.Error("another key has no room")
	}
}

// expectShared takes all that a new key has, and waits until the other process knows, which takes next to nothing itself.
func expectShared(t *testing.T, here, there *ratelimit.Tally, limit ratelimit.Limit) []byte {
	t.Helper()
	key := []byte(rand.Text())
	for range limit.Burst {
		here.Take(key, limit)
	}
	taken := 0
	testbed.Wait(t, 10*time.Second, func() error {
		if taken++; taken > limit.Burst/10 {
			t.Fatal("the other process still has room")
		}
		here.Take(key, limit) // what Redis could not be told, it is told with the next request
		if there.Take(key, limit).Allowed {
			return errors.New("the other process still has room")
		}
		return nil
	})
	return key
}

// Redis can be gone, hang or refuse: nobody waits, and what is counted here is counted.
func TestTallyWithoutRedis(t *testing.T) {
	server := testbed.StartRedis(t)
	proxy := testbed.StartProxy(t, server.Addr())
	conn := connect(t, "redis://"+proxy.Addr(), redisconn.Config{Budget: budget})
	proxy.BlackHole()
	lost := newFallbacks()
	counted := tally(t, ratelimit.Config{Redis: conn, Fallbacks: lost})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1000}
	began, passed := time.Now(), 0
	for range 2 * limit.Burst {
		if counted.Take([]byte("key"), limit).Allowed {
			passed++
		}
	}
	if took := time.Since(began); took > slack || passed != limit.Burst {
		t.Errorf("%d passed in %v", passed, took)
	}
	testbed.Wait(t, 10*time.Second, func() error {
		if fallbacks(t, lost) == 0 {
			return errors.New("nobody says that Redis was not told")
		}
		return nil
	})
	proxy.Pass()
	testbed.Wait(t, 10*time.Second, func() error { return conn.Ping(t.Context()) })
	expectShared(t, counted, tally(t, ratelimit.Config{Redis: conn}), ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 10_000})
}

// However many keys come, memory is bounded, and so is what waits for Redis.
func TestTallyIsBounded(t *testing.T) {
	const bound = 1000
	server := testbed.StartRedis(t)
	conn := connect(t, server.URL(), redisconn.Config{})
	counted, err := ratelimit.NewTally(ratelimit.Config{Redis: conn, Keys: bound}) // that nobody runs
	if err != nil {
		t.Fatal(err)
	}
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}
	for i := range 100_000 {
		if !counted.Take([]byte(strconv.Itoa(i)), limit).Allowed {
			t.Fatalf("key %d has no room", i)
		}
	}
	if n := counted.Len(); n > bound {
		t.Errorf("%d accounts", n)
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::": "2001:db8:1:2::", "::1": "::",
		"::ffff:192.0.2.7": "192.0.2.7", "fe80::1%eth0": "fe80::",
	} {
		if got := ratelimit.Network(netip.MustParseAddr(text)); got.String() != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := ratelimit.Network(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: %s", got)
	}
}

func BenchmarkTally(b *testing.B) {
	counted := tally(b, ratelimit.Config{})
	limit, key := ratelimit.Limit{Requests: 100, Per: time.Second, Burst: 20}, []byte("cl_01tuWW4FooBN9IDJ2Mf77U")
	b.ReportAllocs()
	for b.Loop() {
		counted.Take(key, limit)
	}
}
