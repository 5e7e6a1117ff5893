package lb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/lb"
)

// decodePools reads the pools of a document.
func decodePools(t testing.TB, text string) (map[string]lb.PoolSettings, *document.Source) {
	t.Helper()
	var d struct {
		Pools map[string]lb.PoolSettings `yaml:"pools"`
	}
	source, err := document.Decode("lb.yaml", []byte(text), &d)
	if err != nil {
		t.Fatal(err)
	}
	return d.Pools, source
}

func TestPoolSettingsDefaults(t *testing.T) {
	settings, _ := decodePools(t, `pools: {a: {targets: [{url: "10.0.0.7:8080"}]}}`)
	want := lb.PoolSettings{
		Targets: []lb.TargetSettings{{URL: "10.0.0.7:8080", Weight: 1}}, Policy: "round-robin", Protocol: "http1",
		Health:   lb.HealthSettings{Mode: "http", Path: "/readyz", Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 2},
		Outlier:  lb.OutlierSettings{Failures: 5, For: 10 * time.Second, Longest: 5 * time.Minute, MostPercent: 50},
		Timeouts: lb.TimeoutSettings{Connect: time.Second, Response: 30 * time.Second, Idle: time.Minute},
		Retries:  lb.RetrySettings{Attempts: 2, Buffer: 64 << 10},
	}
	if diff := cmp.Diff(want, settings["a"]); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsReachTheTransport(t *testing.T) {
	settings, _ := decodePools(t, `pools:
  defaults: {targets: [{url: "a:1"}]}
  none: {targets: [{url: "a:1"}], timeouts: {response: 0s}, retries: {attempts: 0, buffer: 0}}
  some: {targets: [{url: "a:1"}], timeouts: {response: 3s}, retries: {attempts: 1, unsafe: true, timeouts: true, statuses: [503], buffer: 1KiB}}
`)
	pools := lb.NewPools(lb.PoolsConfig{})
	t.Cleanup(pools.Close)
	prepared, err := pools.Prepare(settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]lb.Overrides{
		"defaults": {Attempts: 2, ReplayBytes: 64 << 10, ResponseTimeout: 30 * time.Second},
		"none":     {Attempts: -1, ReplayBytes: -1, ResponseTimeout: -1},
		"some": {
			Attempts: 1, RetryUnsafe: true, RetryTimeouts: true, RetryStatuses: []int{503}, ReplayBytes: 1024, ResponseTimeout: 3 * time.Second,
		},
	} {
		if diff := cmp.Diff(want, prepared.Transports[name].Overrides()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPrepareTellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, pool string
		want       []string // after "lb.yaml:1: pools.p."
	}{
		{"no upstreams", `{}`, []string{"targets: is missing, and so is dns: where are the upstreams?"}},
		{"both", `{targets: [{url: "a:1"}], dns: {name: a, port: 1}}`, []string{"dns: there are targets too: want one of both"}},
		{"no address", `{targets: [{url: "a:1"}, {url: nowhere}]}`, []string{`targets[1].url: upstream "nowhere": want host:port or http(s)://host[:port]`}},
		{"twice", `{targets: [{url: "a:1"}, {url: "http://a:1/"}]}`, []string{"targets[1].url: http://a:1 is targets[0] already"}},
		{"bad check", `{targets: [{url: "a:1", health: "b:1/x"}]}`, []string{`targets[0].health: upstream "b:1/x": a path, query or fragment is not allowed`}},
		{"weight without effect", `{targets: [{url: "a:1", weight: 2}]}`, []string{"targets[0].weight: the policy round-robin knows no weights: want weighted"}},
		{"hash without effect", `{targets: [{url: "a:1"}], hash: {header: X-A}}`, []string{"hash: only the policy consistent-hash goes by it"}},
		{"failover with weights", `{targets: [{url: "a:1", weight: 2}], policy: failover}`, []string{"targets[0].weight: the policy failover knows no weights: want weighted"}},
		{"failover with shares", `{targets: [{url: "a:1"}], policy: failover, slow_start: 1s}`, []string{"slow_start: the policy failover gives nobody a share"}},
		{"no header", `{targets: [{url: "a:1"}], policy: consistent-hash, hash: {header: "a b"}}`, []string{`hash.header: "a b" is not the name of a header`}},
		{"no name", `{dns: {name: "http://a", port: 1}}`, []string{`dns.name: "http://a" is not a name`}},
		{"relative path", `{targets: [{url: "a:1"}], health: {path: readyz}}`, []string{`health.path: "readyz" must begin with /`}},
		{"TLS without use", `{targets: [{url: "a:1"}], tls: {server_name: x}}`, []string{"tls: no upstream is https"}},
		{"half a certificate", `{targets: [{url: "https://a:1"}], tls: {key: k.pem}}`, []string{"tls: certificate and key are given both or not at all"}},
		{"no such authority", `{targets: [{url: "https://a:1"}], tls: {ca: ` + dir + `/none.pem}}`, []string{"tls.ca: read authorities: open " + dir + "/none.pem: no such file or directory"}},
		{"no authority in it", `{targets: [{url: "https://a:1"}], tls: {ca: ` + empty + `}}`, []string{"tls.ca: " + empty + " has no certificate in PEM"}},
		{"several", `{targets: [{url: a}, {url: b}]}`, []string{
			`targets[0].url: upstream "a": want host:port or http(s)://host[:port]`, `targets[1].url: upstream "b": want host:port or http(s)://host[:port]`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings, source := decodePools(t, "pools: {p: "+tt.pool+"}")
			pools := lb.NewPools(lb.PoolsConfig{})
			t.Cleanup(pools.Close)
			_, err := pools.Prepare(settings, source.Errorf)
			if err == nil {
				t.Fatal("no error")
			}
			want := "lb.yaml:1: pools.p." + strings.Join(tt.want, "\nlb.yaml:1: pools.p.")
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a program makes without a document is judged too.
func TestPrepareJudgesWhatTagsWouldRefuse(t *testing.T) {
	pools := lb.NewPools(lb.PoolsConfig{})
	t.Cleanup(pools.Close)
	_, err := pools.Prepare(map[string]lb.PoolSettings{"p": {
		Targets: []lb.TargetSettings{{URL: "a:1", Weight: 1001, MaxRequests: -1}}, Timeouts: lb.TimeoutSettings{Idle: -1},
		Outlier: lb.OutlierSettings{MostPercent: 101}, Breaker: &lb.BreakerSettings{FailurePercent: 101},
	}}, nil)
	for _, want := range []string{
		`pools.p.policy: "" is not known`, `pools.p.protocol: "" is not known`, `pools.p.health.mode: "" is not known`,
		"pools.p.targets[0].weight: 1001: want 1 to 1000", "pools.p.targets[0].max_requests: -1", "pools.p.timeouts: a number is negative",
		"pools.p.outlier.most_percent: 101", "pools.p.breaker: numbers and times must not be negative",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := pools.Prepare(nil, func(string, string, ...any) error { return errors.New("none") }); err != nil {
		t.Errorf("no pools: %v", err)
	}
}

func FuzzPoolSettings(f *testing.F) {
	for _, s := range []string{
		`{targets: [{url: "a:1"}]}`, `{dns: {name: a, port: 1}, policy: consistent-hash}`, `{targets: [{url: "https://[::1]"}], protocol: h2, tls: {}}`,
		`{targets: [{url: "a:1", weight: 3}], policy: weighted, health: {mode: tcp}, retries: {buffer: 1GiB}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pool string) {
		var d struct {
			Pools map[string]lb.PoolSettings `yaml:"pools"`
		}
		if _, err := document.Decode("lb.yaml", []byte("pools: {p: "+pool+"}"), &d); err != nil {
			return
		}
		for name, s := range d.Pools {
			s.DNS, s.TLS = nil, nil // no look-ups, no files
			d.Pools[name] = s
		}
		pools := lb.NewPools(lb.PoolsConfig{})
		defer pools.Close()
		if prepared, err := pools.Prepare(d.Pools, nil); err == nil && len(prepared.Transports) != len(d.Pools) {
			t.Errorf("%d transports", len(prepared.Transports))
		}
	})
}
