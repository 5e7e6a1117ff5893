package issuer_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

const identifier = "https://auth.example.com"

// network stands for everything that can be reached, without a connection, so that it works in a bubble of synctest.
type network struct {
	mu    sync.Mutex
	asked []string // "GET https://host/path" in order
	serve http.HandlerFunc
}

// RoundTrip implements http.RoundTripper. A handler that panics with an error is a connection that failed with it.
func (n *network) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	n.mu.Lock()
	n.asked = append(n.asked, r.Method+" "+r.URL.String())
	n.mu.Unlock()
	defer func() {
		if failed, ok := recover().(error); ok {
			resp, err = nil, failed
		}
	}()
	recorder := httptest.NewRecorder()
	n.serve(recorder, r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return recorder.Result(), nil
}

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.asked)
}

// hang is a server that takes the request and says nothing.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// open returns an Issuer that reaches serve under every address.
func open(t *testing.T, serve http.HandlerFunc, change func(*issuer.Config)) (*issuer.Issuer, *network) {
	t.Helper()
	n := &network{serve: serve}
	c := issuer.Config{Identifier: identifier, HTTP: &http.Client{Transport: n}}
	if change != nil {
		change(&c)
	}
	i, err := issuer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i, n
}

// ask is the plainest request.
func ask(ctx context.Context, i *issuer.Issuer) (*issuer.Answer, error) {
	return i.Do(ctx, issuer.Request{Method: http.MethodPost, URL: identifier + "/token", Limit: 1 << 10})
}

func say(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}
