package server_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// BenchmarkExchange is what an exchange costs the server beside a token that a client asks for in its own name, both without the database. The
// subject token is known from before.
func BenchmarkExchange(b *testing.B) {
	m := newMiddle(b)
	m.log.forget()
	subject := m.issue(m.caller, jwtAPI, "")
	derived := m.swapped(m.first, subject, opaqueAPI)
	m.ledger.Ledger = atOnce{m.ledger.Ledger}
	for _, bench := range []struct {
		name, form string
		by         credential
	}{
		{"own name, JWT", url.Values{"grant_type": {"client_credentials"}, "resource": {jwtAPI}}.Encode(), m.caller},
		{"own name, opaque", url.Values{"grant_type": {"client_credentials"}, "resource": {opaqueAPI}}.Encode(), m.caller},
		{"exchange, opaque for JWT", asks(derived, jwtAPI), m.second},
		{"exchange, JWT for opaque", asks(subject, opaqueAPI), m.first},
	} {
		b.Run(bench.name, func(b *testing.B) {
			handler, body := m.server.Public(), strings.NewReader("")
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/oauth2/token", io.NopCloser(body))
			m.check(err)
			r.RemoteAddr, r.ContentLength = "192.0.2.1:1234", int64(len(bench.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			basic(bench.by)(r)
			answer := &plainWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(bench.form)
				clear(answer.header)
				answer.status, answer.body = 0, answer.body[:0]
				handler.ServeHTTP(answer, r)
				if answer.status != http.StatusOK {
					b.Fatalf("%d %s", answer.status, answer.body)
				}
			}
		})
	}
}
