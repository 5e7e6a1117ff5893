package sdkredis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdkredis"
)

func TestReadAndWrite(t *testing.T) {
	redis := startRedis(t)
	s := open(t, redis.url(), generous())
	if got, err := s.Read(t.Context(), "nothing"); got != nil || err != nil {
		t.Errorf("got %q, %v, want nothing", got, err)
	}
	value := bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, 4<<10)
	if err := s.Write(t.Context(), "key", value, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(t.Context(), "key"); !bytes.Equal(got, value) || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	bare := redis.client()
	if ttl := bare.PTTL(t.Context(), "key").Val(); ttl <= 50*time.Second || ttl > time.Minute {
		t.Errorf("it lives for %v", ttl)
	}
	if err := s.Write(t.Context(), "key", []byte("x"), 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if ttl := bare.PTTL(t.Context(), "key").Val(); ttl <= 0 || ttl > 1500*time.Millisecond {
		t.Errorf("it lives for %v", ttl)
	}
	if err := bare.Set(t.Context(), "long", strings.Repeat("x", 16<<10+1), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(t.Context(), "long"); got != nil || err == nil {
		t.Errorf("got %d bytes, %v, want an error", len(got), err)
	}
}

func TestWhatIsNotWritten(t *testing.T) {
	s := open(t, "redis://127.0.0.1:1")
	for _, tt := range []struct {
		name string
		size int
		ttl  time.Duration
	}{
		{"too long", 16<<10 + 1, time.Minute},
		{"empty", 0, time.Minute},
		{"forever", 1, 0},
		{"less than a millisecond", 1, time.Millisecond - 1},
		{"negative", 1, -time.Second},
	} {
		if err := s.Write(t.Context(), "key", make([]byte, tt.size), tt.ttl); err == nil || !strings.Contains(err.Error(), "allowed are") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := s.Acquire(t.Context(), "key", strings.Repeat("x", tt.size), tt.ttl); err == nil || !strings.Contains(err.Error(), "allowed are") {
			t.Errorf("lease, %s: %v", tt.name, err)
		}
	}
}

func TestLease(t *testing.T) {
	redis := startRedis(t)
	one, other := open(t, redis.url(), generous()), open(t, redis.url(), generous())
	acquire := func(s *sdkredis.Store, holder string, ttl time.Duration, want bool) {
		t.Helper()
		if free, err := s.Acquire(t.Context(), "lease", holder, ttl); free != want || err != nil {
			t.Fatalf("%s acquires: %v, %v, want %v", holder, free, err, want)
		}
	}
	release := func(s *sdkredis.Store, holder string) {
		t.Helper()
		if err := s.Release(t.Context(), "lease", holder); err != nil {
			t.Fatal(err)
		}
	}
	acquire(one, "one", time.Minute, true)
	acquire(other, "other", time.Minute, false)
	acquire(one, "one", time.Minute, false)
	release(other, "other")
	acquire(other, "other", time.Minute, false)
	release(one, "one")
	acquire(other, "other", 20*time.Millisecond, true)
	await(t, "the lease ends by itself", func(ctx context.Context) error {
		if free, err := one.Acquire(ctx, "lease", "one", time.Minute); err != nil || !free {
			return fmt.Errorf("free: %v, %w", free, err)
		}
		return nil
	})
	release(other, "other") // came too late
	acquire(other, "other", time.Minute, false)
	release(one, "one")
	release(one, "one")
}

func TestOneOfManyHoldsTheLease(t *testing.T) {
	redis := startRedis(t)
	s := open(t, redis.url()+"?pool_size=8", generous())
	var winners atomic.Int32
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			free, err := s.Acquire(t.Context(), "lease", fmt.Sprint(n), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if free {
				winners.Add(1)
			}
		})
	}
	all.Wait()
	if winners.Load() != 1 {
		t.Errorf("%d hold it", winners.Load())
	}
}

// TestDocumentedUser has the rights that the package's documentation gives to services that read the token store.
func TestDocumentedUser(t *testing.T) {
	const api = "api_01tuWW4FooBN9IDJ2Mf77U"
	source, err := os.ReadFile("sdkredis.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "ACL SETUSER ")
	line, _, found := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("no user is documented")
	}
	user := strings.Fields(strings.ReplaceAll(line, "api_…", api))
	redis := startRedis(t, append([]string{"--user"}, user...)...)
	if err := redis.client().Set(t.Context(), "cst:{"+api+"}:x", "record", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := open(t, "redis://inventory:PASSWORD@"+redis.addr, generous())
	if got, err := s.Read(t.Context(), "cst:{"+api+"}:x"); string(got) != "record" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := s.Read(t.Context(), "cst:{api_0000000000000000000000}:x"); err == nil {
		t.Error("reads the records of another API")
	}
	if err := s.Write(t.Context(), "cst:{"+api+"}:x", []byte("y"), time.Minute); err == nil {
		t.Error("writes")
	}
	if _, err := open(t, "redis://inventory:wrong@"+redis.addr, generous()).Read(t.Context(), "cst:{"+api+"}:x"); err == nil || strings.Contains(err.Error(), "wrong@") {
		t.Errorf("with a wrong password: %v", err)
	}
}

func TestPasswordAndDatabase(t *testing.T) {
	redis := startRedis(t, "--requirepass", "s3cret/@")
	s := open(t, "redis://:s3cret%2F%40@"+redis.addr+"/3", generous())
	if err := s.Write(t.Context(), "key", []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, "redis://:s3cret%2F%40@"+redis.addr+"/2", generous()).Read(t.Context(), "key"); got != nil || err != nil {
		t.Errorf("another database has %q, %v", got, err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%d", s), fmt.Sprintf("%t", s)} {
		if shown != "redis://"+redis.addr+"/3" {
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, startRedis(t).url(), generous())
	if _, err := s.Read(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), "key"); !errors.Is(err, sdkredis.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, "redis://127.0.0.1:1").Read(ctx, "key"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
