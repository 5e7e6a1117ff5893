package generator_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
)

// serve returns the address of a server. Who has not wrk cannot measure, nor test that.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skip("no wrk: scripts/prerequisites bench installs it")
	}
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func good(body []byte) error {
	if string(body) != "good" {
		return errors.New("not good")
	}
	return nil
}

func TestLoad(t *testing.T) {
	t.Parallel()
	var served, wrong atomic.Int64
	var paths sync.Map
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		paths.Store(r.URL.Path, true)
		client, secret, ok := r.BasicAuth()
		if !ok || client != "id" || secret != "secret" || r.FormValue("a") != "b c" {
			wrong.Add(1)
		}
		_, _ = io.WriteString(w, "good")
	})
	checked := 0
	load := generator.Load{
		Address: address, Connections: 4, Duration: time.Second,
		Requests: [][]byte{
			generator.Post("/x", address, "Basic aWQ6c2VjcmV0", "a=b+c"), generator.Post("/y", address, "Basic aWQ6c2VjcmV0", "a=b+c"),
			generator.Post("/z", address, "Basic aWQ6c2VjcmV0", "a=b+c"),
		},
		Body: func(body []byte) error {
			checked++
			return good(body)
		},
	}
	got, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What was on its way at the end was served, and not counted.
	if over := int(served.Load()) - got.Answers; over < 0 || over > load.Connections || wrong.Load() != 0 {
		t.Errorf("%d answers, %d requests, %d of them wrong", got.Answers, served.Load(), wrong.Load())
	}
	if checked < got.Answers/64 || checked > got.Answers/64+2 {
		t.Errorf("%d of %d answers looked at", checked, got.Answers)
	}
	if got.P50 <= 0 || got.P90 < got.P50 || got.P99 < got.P90 || got.P999 < got.P99 || got.Max < got.P999 || got.Rate() <= 0 || got.CPU <= 0 {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"/x", "/y", "/z"} {
		if _, ok := paths.Load(path); !ok {
			t.Errorf("%s was not asked for", path)
		}
	}
}

// At a fixed rate no connection sends as soon as it could.
func TestLoadAtARate(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		_, _ = io.WriteString(w, "good")
	})
	load := generator.Load{
		Address: address, Connections: 16, Rate: 200, Duration: time.Second, Requests: [][]byte{generator.Get("/", address, "t")}, Body: good,
	}
	got, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	due := int(float64(load.Rate) * got.Took.Seconds())
	if got.Answers < due/2 || int(served.Load()) > due+2*load.Connections {
		t.Errorf("%d answers, %d requests served in %v, though %d were due", got.Answers, served.Load(), got.Took, due)
	}
}

// A server that stalls for a moment lets the requests queue up that come meanwhile, and each of them is seen to have waited; when every connection
// waits, the next are late.
func TestLoadShowsQueueing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		connections int
		late        bool
	}{{128, false}, {8, true}} {
		stalled := make(chan struct{})
		stall := sync.OnceFunc(func() { time.AfterFunc(300*time.Millisecond, func() { close(stalled) }) })
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			stall()
			<-stalled
			_, _ = io.WriteString(w, "good")
		})
		load := generator.Load{
			Address: address, Connections: tt.connections, Rate: 200, Duration: 2 * time.Second, Requests: [][]byte{generator.Get("/", address, "t")}, Body: good,
		}
		got, err := load.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Max < 290*time.Millisecond {
			t.Errorf("%+v", got)
		}
		if tt.late && (got.Late == 0 || got.Latest < 200*time.Millisecond) {
			t.Errorf("all %d connections waited, and %d requests were late, by %v at most", tt.connections, got.Late, got.Latest)
		}
	}
}

// A request that is to be sent once is not sent again, by no connection and in no later run; and all are sent.
func TestLoadSendsOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	served := map[string]int{}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		served[r.Header.Get("Authorization")]++
		_, _ = io.WriteString(w, "good")
	})
	load := generator.Load{Address: address, Connections: 4, Duration: 2 * time.Second, Once: &generator.Once{PerRun: 41}, Body: good}
	for n := range 82 {
		load.Requests = append(load.Requests, generator.Get("/", "host", strconv.Itoa(n)))
	}
	for range 2 {
		got, err := load.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Answers < 41-4 || got.Answers > 41 || got.Took >= load.Duration {
			t.Errorf("%d answers in %v, though they end when there is nothing left to send", got.Answers, got.Took)
		}
	}
	for token, times := range served {
		if times != 1 {
			t.Errorf("%s was sent %d times", token, times)
		}
	}
	if len(served) != 82 {
		t.Errorf("%d of 82 were sent", len(served))
	}
	if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "every request was sent") {
		t.Errorf("a load without requests left: %v", err)
	}
}

func TestLoadFails(t *testing.T) {
	t.Parallel()
	var answers atomic.Int64
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too \"much\"\x01", http.StatusServiceUnavailable)
		}, "503: too \"much\"\x01"},
		{"one status", func(w http.ResponseWriter, _ *http.Request) {
			if answers.Add(1) == 100 {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			_, _ = io.WriteString(w, "good")
		}, "1 of "},
		{"body", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bad") }, "not good: bad"},
		{"end", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "reads"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, tt.handle)
			load := generator.Load{
				Address: address, Connections: 2, Duration: time.Second, Requests: [][]byte{generator.Post("/", address, "Basic x", "")}, Body: good,
			}
			if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		load := generator.Load{Address: strings.TrimPrefix(s.URL, "http://"), Connections: 2, Duration: time.Second, Requests: [][]byte{generator.Get("/", "h", "t")}, Body: good}
		if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Error(err)
		}
	})
}
