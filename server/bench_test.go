package server_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
)

// atOnce is a ledger that commits without any work.
type atOnce struct{ auth.Ledger }

func (atOnce) InsertTokens(context.Context, []*auth.Token, bool) error { return nil }

// plainWriter is a http.ResponseWriter that costs next to nothing.
type plainWriter struct {
	header http.Header
	status int
	body   []byte
}

func (w *plainWriter) Header() http.Header    { return w.header }
func (w *plainWriter) WriteHeader(status int) { w.status = status }
func (w *plainWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// BenchmarkEndpoints is what a request costs within the server: without network and database, log and metrics included.
// Allocations are those of the whole way of a request, the batch writer's among them. What is unlimited stands beside what has limits,
// as wide as they can be.
func BenchmarkEndpoints(b *testing.B) {
	limited := &abuse.Config{TokenBudget: abuse.MaxLimit, FailureLimit: abuse.DefaultFailureLimit, ScanLimit: abuse.DefaultScanLimit}
	for _, bench := range []struct {
		name, path, api string
		guard           *abuse.Config
	}{
		{"token/jwt, no limits", "/oauth2/token", jwtAPI, nil},
		{"token/jwt", "/oauth2/token", jwtAPI, limited},
		{"token/opaque, no limits", "/oauth2/token", opaqueAPI, nil},
		{"token/opaque", "/oauth2/token", opaqueAPI, limited},
		{"introspect/jwt", "/oauth2/introspect", jwtAPI, limited},
		{"introspect/opaque", "/oauth2/introspect", opaqueAPI, limited},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w := newWorldAt(b, issuer, bench.guard)
			w.log.forget()
			form := url.Values{"grant_type": {"client_credentials"}, "resource": {bench.api}}
			if bench.path == "/oauth2/introspect" {
				form = url.Values{"token": {w.issue(w.caller, bench.api, "")}}
			}
			w.ledger.Ledger = atOnce{w.ledger.Ledger}
			handler := w.server.Public()
			text := form.Encode()
			body := strings.NewReader("")
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, bench.path, io.NopCloser(body))
			w.check(err)
			r.RemoteAddr, r.ContentLength = "192.0.2.1:1234", int64(len(text))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			basic(w.caller)(r)
			answer := &plainWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(text)
				clear(answer.header)
				answer.status, answer.body = 0, answer.body[:0]
				handler.ServeHTTP(answer, r)
				if answer.status != http.StatusOK || len(answer.body) < 100 {
					b.Fatalf("%d %s", answer.status, answer.body)
				}
			}
		})
	}
}
