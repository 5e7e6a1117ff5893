package bench

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

func TestRace(t *testing.T) {
	t.Parallel()
	load := goodLoad(t)
	row, err := race(t.Context(), Rounds{Count: 3, Each: time.Second, WarmUp: time.Second}, []Side{
		{nothing, load, map[string]int{upstreamProcess: os.Getpid()}},
		{bareProxy, load, map[string]int{"proxy": os.Getpid()}},
		{"ours", load, map[string]int{"proxy": os.Getpid(), "authorizer": os.Getpid(), upstreamProcess: os.Getpid()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if row.Sides[0].Figure(cpuBetween) != nil {
		t.Error("nothing between client and upstream takes processor time")
	}
	for _, side := range row.Sides {
		if f := side.Figure(report.Rate); len(f.Rounds) != 3 || f.Value <= 0 || side.Requests <= 0 || side.CPU[loadProcess] <= 0 {
			t.Errorf("%+v", side)
		}
	}
	// What all rounds took together lies between the least and the most of them.
	for _, side := range row.Sides[1:] {
		var sum float64
		for name, each := range side.CPU {
			if name != loadProcess && name != upstreamProcess {
				sum += each
			}
		}
		if f := side.Figure(cpuBetween); len(f.Rounds) != 3 || f.Value <= 0 || sum < slices.Min(f.Rounds)*0.99 || sum > slices.Max(f.Rounds)*1.01 {
			t.Errorf("%s: %v between, of %v", side.Name, f, side.CPU)
		}
	}
}

// goodLoad is on a server that answers good. Who has not wrk cannot measure, nor test that.
func goodLoad(t *testing.T) generator.Load {
	t.Helper()
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skip("no wrk: scripts/prerequisites bench installs it")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("good")) }))
	t.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "http://")
	return generator.Load{
		Address: address, Connections: 2, Duration: time.Second, Requests: [][]byte{generator.Get("/", address, "t")}, Body: func([]byte) error { return nil },
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
	got, err := idle(t.Context(), Side{Name: "ours", Load: goodLoad(t)}, os.Getpid(), 50)
	if err != nil || got.Figure(perConnection) == nil {
		t.Errorf("%+v, %v", got, err)
	}
}
