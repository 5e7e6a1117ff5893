package bench

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	var served, wrong atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		client, secret, ok := r.BasicAuth()
		if !ok || client != "id" || secret != "secret" || r.FormValue("a") != "b c" {
			wrong.Add(1)
		}
		_, _ = io.WriteString(w, "good")
	}))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	var checked atomic.Int64
	load := Load{
		Address: address, Connections: 4, Duration: 100 * time.Millisecond,
		Requests: [][]byte{Post("/x", address, "Basic aWQ6c2VjcmV0", "a=b+c"), Post("/y", address, "Basic aWQ6c2VjcmV0", "a=b+c")},
		Body: func(body []byte) error {
			checked.Add(1)
			if string(body) != "good" {
				return errors.New("not good")
			}
			return nil
		},
	}
	got, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Answers != int(served.Load()) || wrong.Load() != 0 || checked.Load() == 0 || got.P50 <= 0 || got.P99 < got.P50 || got.Rate() <= 0 {
		t.Errorf("%+v for %d requests, %d of them wrong, %d answers checked", got, served.Load(), wrong.Load(), checked.Load())
	}
	served.Store(0)
	checked.Store(0)
	load.Count = 3
	if _, err := load.Run(t.Context()); err != nil || served.Load() != 12 || checked.Load() != 12 {
		t.Errorf("%d requests for 3 on each of 4 connections, %d answers checked, %v", served.Load(), checked.Load(), err)
	}
}

// A request that is to be sent once is not sent again, by no connection and in no later run.
func TestLoadSendsOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	served := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		served[r.Header.Get("Authorization")]++
		_, _ = io.WriteString(w, "good")
	}))
	defer s.Close()
	load := Load{
		Address: strings.TrimPrefix(s.URL, "http://"), Connections: 4, Count: 10, Once: new(atomic.Int64), Body: func([]byte) error { return nil },
	}
	for n := range 80 {
		load.Requests = append(load.Requests, Get("/", "host", strconv.Itoa(n)))
	}
	for range 2 {
		if _, err := load.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for token, times := range served {
		if times != 1 {
			t.Errorf("%s was sent %d times", token, times)
		}
	}
	if len(served) != 80 {
		t.Errorf("%d of 80 were sent", len(served))
	}
	if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "every request was sent") {
		t.Errorf("a load without requests left: %v", err)
	}
}

func TestLoadFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "too much", http.StatusServiceUnavailable) }, "503"},
		{"body", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bad") }, "not good: bad"},
		{"no length", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "good")
			_ = http.NewResponseController(w).Flush()
		}, "without a content length"},
		{"end", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(tt.handle)
			defer s.Close()
			address := strings.TrimPrefix(s.URL, "http://")
			load := Load{Address: address, Connections: 2, Count: 10, Requests: [][]byte{Post("/", address, "Basic x", "")}, Body: func(body []byte) error {
				if string(body) != "good" {
					return errors.New("not good")
				}
				return nil
			}}
			if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
