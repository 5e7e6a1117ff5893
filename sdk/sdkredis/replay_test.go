package sdkredis_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAddTellsTheFirstAlone(t *testing.T) {
	redis := startRedis(t)
	one, other := open(t, redis.url(), generous()), open(t, redis.url(), generous())
	expires := time.Now().Add(time.Minute)
	for n := range byte(10) {
		var added atomic.Int32
		var running sync.WaitGroup
		for i := range 8 {
			running.Go(func() {
				s := one
				if i%2 == 0 {
					s = other
				}
				ok, err := s.Add(t.Context(), [32]byte{n}, expires)
				if err != nil {
					t.Error(err)
				}
				if ok {
					added.Add(1)
				}
			})
		}
		running.Wait()
		if added.Load() != 1 {
			t.Errorf("D09: proof %d was new %d times", n, added.Load())
		}
	}
	bare := redis.client()
	keys := bare.Keys(t.Context(), "*").Val()
	if len(keys) != 10 || !strings.HasPrefix(keys[0], "csp:") {
		t.Errorf("got %q", keys)
	}
	if ttl := bare.PTTL(t.Context(), keys[0]).Val(); ttl <= 50*time.Second || ttl > time.Minute+time.Millisecond {
		t.Errorf("it lives for %v", ttl)
	}
	if ok, err := one.Add(t.Context(), [32]byte{99}, time.Now().Add(-time.Hour)); !ok || err != nil {
		t.Errorf("what has expired: %v, %v", ok, err)
	}
	if _, err := open(t, "redis://127.0.0.1:1").Add(t.Context(), [32]byte{1}, expires); err == nil {
		t.Error("a Redis that is not there has answered")
	}
}
