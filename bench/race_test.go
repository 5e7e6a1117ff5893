package bench

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	bare := EdgeRow{Figures: Figures{Name: bareProxy, Rates: []float64{1}, Rate: 1}, Micros: []float64{50, 40, 60}, Median: 50, Ratio: 1}
	ours := EdgeRow{
		Figures: Figures{
			Name: "ours", Rates: []float64{1000}, Rate: 1000, P50: time.Millisecond, P99: 2 * time.Millisecond,
			CPU: map[string]float64{"proxy": 0.05, "authorizer": 0.01, loadProcess: 7, upstreamProcess: 8},
		},
		Micros: []float64{60, 60, 60}, Median: 60,
	}
	ours.Ratio = beside(ours, bare)
	report := &Edge{
		Setting: "Here.", Rows: []EdgeRow{{Figures: Figures{Name: "nothing", Rates: []float64{3}, Rate: 3}}, bare, ours},
		Idle: []Idle{{Name: "ours", Connections: 5000, Before: 1 << 20, After: 1<<20 + 5000*10240}},
		Slow: []Slow{{
			Name: "ours", Without: []time.Duration{time.Millisecond}, With: []time.Duration{3 * time.Millisecond}, Ratio: 3, Most: 2,
			Ended: map[string]float64{"headers": 5.01, "bodies": 10},
		}},
	}
	if err := report.check(Bound{Row: "ours", Beside: bareProxy, Most: 1.25}); err != nil {
		t.Error(err)
	}
	if err := report.check(Bound{Row: "ours", Beside: bareProxy, Most: 1.1}); err == nil || !strings.Contains(err.Error(), "1.20 times") {
		t.Errorf("1.20 is more than 1.1: %v", err)
	}
	if err := report.check(Bound{Row: "theirs", Beside: bareProxy, Most: 1.1}); err == nil {
		t.Error("a row that does not exist is within its bound")
	}
	for _, want := range []string{
		"| nothing | 3 ± 0% | 0.0 ms | 0.0 ms | – | – | – |\n",
		"| ours | 1,000 ± 0% | 1.0 ms | 2.0 ms | 60.0 | authorizer 10.0, proxy 50.0 | **1.20** |\n",
		"| ours | bare ReverseProxy | **1.20** | 1.25 |\n",
		"| 5,000 idle connections of | KiB each |\n|---|---|\n| ours | 10.0 |\n",
		"| ours | 3.0 ms | 1.0 ms | **3.00** | 2.00 | bodies 10 s, headers 5 s |\n",
	} {
		if got := report.markdown(); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestRace(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("good")) }))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	load := Load{Address: address, Connections: 2, Requests: [][]byte{Get("/", address, "t")}, Body: func([]byte) error { return nil }}
	rows, err := race(t.Context(), Rounds{Count: 3, Each: 50 * time.Millisecond, WarmUp: 10 * time.Millisecond}, []Side{
		{"nothing", load, map[string]int{loadProcess: os.Getpid()}},
		{bareProxy, load, map[string]int{"proxy": os.Getpid(), loadProcess: os.Getpid()}},
		{"ours", load, map[string]int{"proxy": os.Getpid(), "authorizer": os.Getpid(), upstreamProcess: os.Getpid()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []struct{ least, most float64 }{{0, 0}, {1, 1}, {1, 4}} {
		if got := rows[n]; got.Ratio < want.least || got.Ratio > want.most || len(got.Micros) != 3 || got.Rate <= 0 {
			t.Errorf("%+v, want a ratio from %v to %v", got, want.least, want.most)
		}
	}
}

// The crowd does what it is for: a server with timeouts hangs up on all of it, one without on nobody.
func TestCrowd(t *testing.T) {
	t.Parallel()
	serve := func(headers, whole, answer time.Duration) string {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 32<<20)) })
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if _, err := r.Body.Read(make([]byte, 4<<10)); err != nil {
				http.Error(w, "body", http.StatusRequestTimeout)
			}
		})
		s := httptest.NewUnstartedServer(mux)
		s.Config.ReadHeaderTimeout, s.Config.ReadTimeout, s.Config.WriteTimeout = headers, whole, answer
		s.Start()
		t.Cleanup(s.CloseClientConnections)
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	kinds := func(address string) []idler {
		kinds := idlers(address, "token")
		for n := range kinds {
			kinds[n].count, kinds[n].every = 3, 20*time.Millisecond
		}
		kinds[2].every = time.Minute // its first byte is what the handler waits for
		return kinds
	}
	strict := serve(200*time.Millisecond, 300*time.Millisecond, 400*time.Millisecond)
	ended, err := outlast(t.Context(), strict, kinds(strict), 100*time.Millisecond, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for kind, least := range map[string]float64{"headers": 0.15, "bodies": 0.25, "answers": 0.3} {
		if ended[kind] < least || ended[kind] > 30 {
			t.Errorf("slow %s were hung up on after %.2f s", kind, ended[kind])
		}
	}
	if _, err := outlast(t.Context(), strict, kinds(strict), time.Minute, 2*time.Minute); err == nil || !strings.Contains(err.Error(), "sent away") {
		t.Errorf("a server that hangs up at once: %v", err)
	}
	patient := serve(0, 0, 0)
	if _, err := outlast(t.Context(), patient, kinds(patient), 0, 500*time.Millisecond); err == nil || !strings.Contains(err.Error(), "still served") {
		t.Errorf("a server that waits for ever: %v", err)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("good")) }))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	side := Side{Name: "ours", Load: Load{Address: address, Connections: 2, Duration: 100 * time.Millisecond, Requests: [][]byte{Get("/", address, "t")}, Body: func([]byte) error { return nil }}}
	got, err := idle(t.Context(), side, os.Getpid(), 50)
	if err != nil || got.Before <= 0 || got.After <= 0 || got.Connections != 50 {
		t.Errorf("%+v, %v", got, err)
	}
}
