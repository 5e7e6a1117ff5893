package lb_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/lb"
)

// figures are what a registry exports and is not 0, by name and label values; of histograms the count.
func figures(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value != 0 {
				all[strings.TrimPrefix(family.GetName(), "countersign_lb_")+"{"+strings.Join(labels, " ")+"}"] = value
			}
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	good := startAnswering(t, http.StatusNoContent)
	bad := startAnswering(t, http.StatusServiceUnavailable)
	dead := deadAddr(t)
	registry := prometheus.NewPedanticRegistry()
	pools := newPools(t, lb.PoolsConfig{Registerer: registry})
	text := fmt.Sprintf(`pools:
  p:
    targets: [{url: %q}, {url: %q}, {url: %q}]
    health: {disabled: true}
    outlier: {failures: 1, for: 1h, longest: 1h}
    retries: {statuses: [503]}
`, good.addr, bad.addr, dead)
	prepared := prepare(t, pools, text)
	prepared.Commit()
	for range 3 {
		if status, _, err := tryTransport(t, prepared.Transports["p"], http.MethodGet, nil); status != http.StatusNoContent {
			t.Fatal(status, err)
		}
	}
	name := func(addr string) string { return "pool=p upstream=http://" + addr }
	coded := func(code, addr string) string { return "requests_total{code=" + code + " " + name(addr) + "}" }
	want := map[string]float64{
		coded("2xx", good.addr): 3, coded("5xx", bad.addr): 1, coded("error", dead): 1,
		"request_seconds{" + name(good.addr) + "}": 3, "request_seconds{" + name(bad.addr) + "}": 1,
		"retries_total{pool=p}": 2, "ejections_total{" + name(bad.addr) + "}": 1, "upstream_up{" + name(good.addr) + "}": 1,
	}
	got := figures(t, registry)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A pool that replaces it goes on counting, also when the old one is forgotten.
	again := prepare(t, pools, strings.ReplaceAll(text, "1h", "2h"))
	again.Commit()
	await(t, "end of the old pool", func() bool { return len(pools.Status()) == 1 })
	if status, _, err := tryTransport(t, again.Transports["p"], http.MethodGet, nil); status != http.StatusNoContent {
		t.Fatal(status, err)
	}
	if n := figures(t, registry)[coded("2xx", good.addr)]; n != 4 {
		t.Errorf("%v answers after the reload", n)
	}
	// What is gone is not shown any more, nor what was never in force.
	prepare(t, pools, `pools: {q: {targets: [{url: "127.0.0.1:1"}]}}`).Discard()
	prepare(t, pools, "pools: {}").Commit()
	await(t, "end of the figures", func() bool {
		families, err := registry.Gather()
		return err == nil && len(families) == 0
	})
}

func TestMetricsOfCancelledRequests(t *testing.T) {
	arrived := make(chan struct{})
	u := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	registry := prometheus.NewPedanticRegistry()
	pool := newPool(t, lb.PoolConfig{Name: "p", Metrics: lb.NewMetrics(registry), Health: lb.Health{Disabled: true}}, u.addr)
	tr := newTransport(t, lb.TransportConfig{Pool: pool})
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() { defer close(running); pool.Run(ctx) }()
	asking, leave := context.WithCancel(t.Context())
	go func() {
		<-arrived
		await(t, "request in flight", func() bool { return figures(t, registry)["in_flight{pool=p upstream=http://"+u.addr+"}"] == 1 })
		leave()
	}()
	req, err := http.NewRequestWithContext(asking, http.MethodGet, "http://any/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := tr.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Error("answered")
	}
	if n := figures(t, registry)["requests_total{code=cancelled pool=p upstream=http://"+u.addr+"}"]; n != 1 {
		t.Errorf("%v cancelled requests", n)
	}
	cancel()
	<-running
	for name := range figures(t, registry) {
		if strings.HasPrefix(name, "upstream_up") {
			t.Errorf("%s after the end", name)
		}
	}
}

// Upstreams that are found and vanish take their figures with them.
func TestMetricsFollowDiscovery(t *testing.T) {
	var dns names
	dns.set(nil, "10.0.0.1", "10.0.0.2")
	registry := prometheus.NewPedanticRegistry()
	pool := newPool(t, lb.PoolConfig{
		Name: "p", Metrics: lb.NewMetrics(registry), Health: lb.Health{Disabled: true},
		Discovery: &lb.Discovery{Name: "any", Port: 1, Refresh: time.Millisecond, Lookup: dns.lookup},
	})
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() { defer close(running); pool.Run(ctx) }()
	defer func() { cancel(); <-running }()
	shown := func() string {
		var up []string
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "upstream" && !slices.Contains(up, l.GetValue()) {
						up = append(up, l.GetValue())
					}
				}
			}
		}
		slices.Sort(up)
		return strings.Join(up, " ")
	}
	await(t, "both", func() bool { return shown() == "http://10.0.0.1:1 http://10.0.0.2:1" })
	dns.set(nil, "10.0.0.2")
	await(t, "one", func() bool { return shown() == "http://10.0.0.2:1" })
}
