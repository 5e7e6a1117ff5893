package lb_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

func TestNewPoolRefuses(t *testing.T) {
	targets := func(urls ...string) lb.PoolConfig {
		cfg := lb.PoolConfig{Name: "p"}
		for _, u := range urls {
			cfg.Targets = append(cfg.Targets, lb.Target{URL: u})
		}
		return cfg
	}
	for _, tt := range []struct {
		name string
		cfg  lb.PoolConfig
		want string
	}{
		{"no upstream", targets(), "no upstreams"},
		{"no port", targets("localhost"), "want host:port"},
		{"other scheme", targets("ftp://a:1"), "want host:port"},
		{"path", targets("http://a:1/base"), "not allowed"},
		{"query", targets("http://a:1?x"), "not allowed"},
		{"twice in two spellings", targets("a:1", "http://a:1/"), "named twice"},
		{"bad health address", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1", Health: "nowhere"}}}, "want host:port"},
		{"relative health path", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}}, Health: lb.Health{Path: "readyz"}}, "must begin with /"},
		{"weight too great", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1", Weight: lb.MaxWeight + 1}}}, "weight 1001: want 1 to 1000"},
		{"weight negative", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1", Weight: -1}}}, "weight -1: want 1 to 1000"},
		{"room for fewer than none", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1", MaxRequests: -1}}}, "at most -1 requests"},
		{"negative slow start", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}}, SlowStart: -1}, "slow start must not be negative"},
		{"more than all ejected", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}}, Outlier: lb.Outlier{MostPercent: 101}}, "1 to 100 percent"},
		{"negative interval", lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}}, Health: lb.Health{Interval: -1}}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := lb.NewPool(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewPool: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNewPoolKeepsCredentialsOutOfErrors(t *testing.T) {
	for _, target := range []string{"http://user:hunter2@a:1", "http://user:hunter2@a:x", "user:hunter2@a:1"} {
		_, err := lb.NewPool(lb.PoolConfig{Targets: []lb.Target{{URL: target}}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("NewPool: %v, want an error without the password", err)
		}
	}
}

func TestUpstreamsShowState(t *testing.T) {
	began := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := began
	release, arrived := make(chan struct{}), make(chan struct{})
	u := startUpstream(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	dead := deadAddr(t)
	pool := newPool(t, lb.PoolConfig{Now: func() time.Time { return now }}, dead, u.addr)
	f := startFront(t, lb.TransportConfig{Pool: pool})

	now = began.Add(time.Minute)
	answered := make(chan error, 1)
	go func() {
		_, _, err := f.try(t.Context(), http.MethodGet, "/", nil, nil)
		answered <- err
	}()
	<-arrived
	got := pool.Upstreams()
	if s := got[0]; s.Address != "http://"+dead || s.Healthy || s.Since != now || s.LastErrorAt != now ||
		!strings.Contains(s.LastError, "refused") || s.InFlight != 0 {
		t.Errorf("dead upstream: %+v", s)
	}
	if s := got[1]; !s.Healthy || s.Since != began || s.InFlight != 1 || s.LastError != "" {
		t.Errorf("busy upstream: %+v", s)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	<-f.done
	if s := pool.Upstreams()[1]; s.InFlight != 0 {
		t.Errorf("after the answer: %+v", s)
	}
}

func TestDownUpstreamsAreTriedWhenNoOtherIsLeft(t *testing.T) {
	addr := deadAddr(t)
	f := startFront(t, lb.TransportConfig{}, addr)
	if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("nothing listens, got %d", resp.StatusCode)
	}
	serveUpstream(t, listen(t, addr), nil)
	if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("upstream is back but unchecked, got %d", resp.StatusCode)
	}
	if f.pool.Upstreams()[0].Healthy {
		t.Error("an answered request alone brought the upstream back")
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"a:1", "http://a", "https://[::1]:9/", "[::1]:9", "http://u:p@a", "a:1/x", "http://a?b#c", "://", "http:///"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pool, err := lb.NewPool(lb.PoolConfig{Targets: []lb.Target{{URL: s}}})
		if err != nil {
			return
		}
		u, err := url.Parse(pool.Upstreams()[0].Address)
		if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q became %q: %v", s, pool.Upstreams()[0].Address, err)
		}
	})
}
