package generator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
)

// open returns a load on a server. The tool is built from source if need be.
func open(t *testing.T, handle http.HandlerFunc) generator.Open {
	t.Helper()
	vegeta, err := generator.Vegeta(t.Context(), "../tools")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "http://")
	return generator.Open{
		Vegeta: vegeta, Address: address, Rate: 100, Duration: time.Second, Body: good,
		Requests: [][]byte{generator.Post("/x?q=1", address, "Basic aWQ6c2VjcmV0", "a=b+c"), generator.Get("/y", address, "t")},
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	var posted, got, wrong atomic.Int64
	load := open(t, func(w http.ResponseWriter, r *http.Request) {
		client, secret, ok := r.BasicAuth()
		switch {
		case r.Method == http.MethodPost && r.RequestURI == "/x?q=1" && ok && client == "id" && secret == "secret" && r.FormValue("a") == "b c":
			posted.Add(1)
		case r.Method == http.MethodGet && r.RequestURI == "/y" && r.Header.Get("Authorization") == "Bearer t":
			got.Add(1)
		default:
			wrong.Add(1)
		}
		_, _ = io.WriteString(w, "good")
	})
	result, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if wrong.Load() > 0 || posted.Load() < 40 || got.Load() < 40 || int(posted.Load()+got.Load()) != result.Answers {
		t.Errorf("%d posted, %d got, %d wrong, of %d", posted.Load(), got.Load(), wrong.Load(), result.Answers)
	}
	if result.P50 <= 0 || result.P99 < result.P50 || result.P999 < result.P99 || result.Max < result.P999 || result.Late < 0 || result.CPU <= 0 ||
		result.Sent < 90 || result.Sent > 110 {
		t.Errorf("%+v", result)
	}
}

// Without a rate it is a closed loop, of no more connections than it is given.
func TestOpenCloses(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	load := open(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		_, _ = io.WriteString(w, "good")
	})
	load.Rate, load.Connections = 0, 3
	result, err := load.Run(t.Context())
	if err != nil || result.Answers < 100 || most.Load() > 3 {
		t.Errorf("%+v, %d at once, %v", result, most.Load(), err)
	}
}

// A server that stalls for a moment lets the requests queue up that come meanwhile, and each of them is seen to have waited.
func TestOpenShowsQueueing(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	stalled := make(chan struct{})
	load := open(t, func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 50 {
			close(stalled)
		}
		<-stalled
		_, _ = io.WriteString(w, "good")
	})
	result, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The 50th comes half a second after the first: those in between wait for it from when they were sent.
	if result.Max < 400*time.Millisecond || result.P90 < 300*time.Millisecond {
		t.Errorf("%+v", result.Sample)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	var answers atomic.Int64
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"one status", func(w http.ResponseWriter, _ *http.Request) {
			if answers.Add(1) == 20 {
				http.Error(w, "too much", http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, "good")
		}, "status 503: 503 Service Unavailable: too much"},
		{"body", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bad") }, "not good: bad"},
		{"end", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "status 0: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := open(t, tt.handle).Run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
