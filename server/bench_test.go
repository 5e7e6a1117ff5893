package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// What the server itself costs, without the network: the database is SQLite, one request at a time.
func BenchmarkEndpoints(b *testing.B) {
	for _, bench := range []struct{ name, path, api string }{
		{"introspect opaque", "/oauth2/introspect", opaqueAPI},
		{"introspect jwt", "/oauth2/introspect", jwtAPI},
		{"token", "/oauth2/token", opaqueAPI},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w := newWorld(b)
			form := url.Values{
				"token": {w.issue(w.caller, bench.api, "")}, "grant_type": {"client_credentials"}, "resource": {bench.api},
			}.Encode()
			handler := w.server.Public()
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, bench.path, strings.NewReader(form))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				basic(w.caller)(r)
				rec := httptest.NewRecorder()
				handler.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Body)
				}
			}
		})
	}
}
