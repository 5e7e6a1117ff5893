package ratelimit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
)

func TestValidate(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		limit ratelimit.Limit
		want  string // part of the error; empty: valid
	}{
		{"usual", ratelimit.Limit{Requests: 100, Per: time.Second, Burst: 20}, ""},
		{"slowest", ratelimit.Limit{Requests: 1, Per: day, Burst: 366}, ""},
		{"fastest", ratelimit.Limit{Requests: 100_000, Per: time.Second, Burst: ratelimit.MaxBurst}, ""},
		{"a day at once", ratelimit.Limit{Requests: 1_000_000, Per: day, Burst: 1_000_000}, ""},
		{"zero", ratelimit.Limit{}, "requests"},
		{"negative", ratelimit.Limit{Requests: -1, Per: time.Second, Burst: 1}, "requests"},
		{"no time", ratelimit.Limit{Requests: 1, Burst: 1}, "per 0s"},
		{"negative time", ratelimit.Limit{Requests: 1, Per: -time.Second, Burst: 1}, "per -1s"},
		{"nanoseconds", ratelimit.Limit{Requests: 1, Per: 999, Burst: 1}, "per 999ns"},
		{"too long", ratelimit.Limit{Requests: 1, Per: day + 1, Burst: 1}, "24h"},
		{"no burst", ratelimit.Limit{Requests: 1, Per: time.Second}, "burst of 0"},
		{"too much burst", ratelimit.Limit{Requests: 100_000, Per: time.Second, Burst: ratelimit.MaxBurst + 1}, "burst"},
		{"too fast", ratelimit.Limit{Requests: 100_001, Per: time.Second, Burst: 1}, "100000 per second"},
		{"too fast by overflow", ratelimit.Limit{Requests: 1 << 62, Per: time.Second, Burst: 1}, "100000 per second"},
		{"burst that takes years", ratelimit.Limit{Requests: 1, Per: day, Burst: 367}, "366 days"},
		{"burst that overflows", ratelimit.Limit{Requests: 1, Per: day, Burst: ratelimit.MaxBurst}, "366 days"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.limit.Validate()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Validate = %v, want %q", err, tt.want)
			}
			limiter := open(t, ratelimit.Config{})
			if v := limiter.Allow(t.Context(), "k", tt.limit); v.Allowed {
				t.Error("a limit that is not valid lets requests pass")
			}
		})
	}
}

func open(t testing.TB, cfg ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
