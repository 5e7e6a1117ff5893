package ratelimit_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// TestWhatRedisKeeps looks at the keys: of a form of their own, none for ever, and no harm whatever is found there.
func TestWhatRedisKeeps(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL(), redisconn.Config{Budget: 10 * time.Second})
	metrics := newFallbacks()
	limiter := open(t, ratelimit.Config{Redis: conn, Fallbacks: metrics})
	limit := ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 3}
	limiter.Allow(t.Context(), "cl_1\n*", limit)
	keys, _ := eval(t, conn, `return redis.call('keys', '*')`).([]any)
	if len(keys) != 1 {
		t.Fatalf("keys %v, want one", keys)
	}
	key, _ := keys[0].(string)
	if !regexp.MustCompile(`^csr:[A-Za-z0-9_-]{43}$`).MatchString(key) {
		t.Errorf("key %q", key)
	}
	if left, _ := eval(t, conn, `return redis.call('pttl', KEYS[1])`, key).(int64); left < 1 || left > 100 {
		t.Errorf("the account of a request that comes back after 100 ms lives for %d ms", left)
	}
	for _, tt := range []struct {
		name, stored string
		want         bool
	}{
		{"nothing of ours", "hello", true},
		{"long ago", "5", true},
		{"negative", "-1e300", true},
		{"of a clock that was set back since", "9999999999999999", false},
		{"infinite", "inf", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eval(t, conn, `return redis.call('set', KEYS[1], ARGV[1])`, key, tt.stored)
			v := limiter.Allow(t.Context(), "cl_1\n*", limit)
			if v.Allowed != tt.want || v.RetryAfter > 100*time.Millisecond || v.Reset > 300*time.Millisecond {
				t.Errorf("verdict %+v", v)
			}
			if left, _ := eval(t, conn, `return redis.call('pttl', KEYS[1])`, key).(int64); left < 0 {
				t.Error("the account lives for ever")
			}
			testbed.Wait(t, 5*time.Second, func() error {
				if !limiter.Allow(t.Context(), "cl_1\n*", limit).Allowed {
					return errors.New("still refused")
				}
				return nil
			})
		})
	}
	expectFallbacks(t, metrics, 0)
}

// TestDocumentedUser gives Redis the user that the document recommends.
func TestDocumentedUser(t *testing.T) {
	text, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "ACL SETUSER ")
	user, _, found := strings.Cut(after, "\n")
	if !found {
		t.Fatal("no user is documented")
	}
	redis := testbed.StartRedis(t, append([]string{"--user"}, strings.Fields(user)...)...)
	url := strings.Replace(redis.URL(), "://", "://gateway:PASSWORD@", 1)
	conn := connect(t, url, redisconn.Config{Budget: 10 * time.Second})
	metrics := newFallbacks()
	limiter := open(t, ratelimit.Config{Redis: conn, Fallbacks: metrics})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}
	if !limiter.Allow(t.Context(), "k", limit).Allowed || limiter.Allow(t.Context(), "k", limit).Allowed {
		t.Error("the limit does not hold")
	}
	expectFallbacks(t, metrics, 0)
	if err := conn.Set(t.Context(), "cst:x", []byte("x"), time.Minute); err == nil {
		t.Error("the user can write what is not an account")
	}
}

func eval(t *testing.T, conn *redisconn.Conn, script string, keyThenArgs ...string) any {
	t.Helper()
	var keys []string
	var args []any
	for i, text := range keyThenArgs {
		if i == 0 {
			keys = append(keys, text)
		} else {
			args = append(args, text)
		}
	}
	answer, err := conn.Eval(t.Context(), redisconn.NewScript(script), keys, args...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
