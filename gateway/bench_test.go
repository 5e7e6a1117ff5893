package gateway_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk/sdktest"
)

// BenchmarkBare is the measure for BenchmarkGateway: a ReverseProxy with a transport and buffers that are tuned, and nothing else. Both
// are without network, so that what is left is what they do themselves.
func BenchmarkBare(b *testing.B) {
	target := &url.URL{Scheme: "http", Host: "upstream.test"}
	measure(b, &httputil.ReverseProxy{
		Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.SetXForwarded() },
		Transport:  instant{},
		BufferPool: lb.NewBuffers(),
	}, "token")
}

func BenchmarkGateway(b *testing.B) {
	for _, log := range []string{"with access log", "without"} {
		b.Run(log, func(b *testing.B) {
			issuer := sdktest.Start(b)
			g, err := assemble(b, "issuers: {main: {url: "+issuer.URL()+", client_id: "+issuer.ClientID()+", client_secret: "+issuer.ClientSecret()+"}}\n"+
				"routes: [{name: r, match: {prefix: /items, methods: [GET]}, authentication: jwt, audience: \"https://inventory.test\", all_of: [inventory:read], mode: strict, pool: echo}]", nil)
			if err != nil {
				b.Fatal(err)
			}
			g.ReplaceTransports(instant{})
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = null.Close() }()
			level := slog.LevelInfo
			if log == "without" {
				level = slog.LevelWarn
			}
			edge := &httpx.Edge{Log: slog.New(slog.NewJSONHandler(null, &slog.HandlerOptions{Level: level})), Now: time.Now, Write: httpx.Problems("")}
			measure(b, edge.Wrap(g), issuer.Mint(sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}}))
		})
	}
}

var _ http.Handler = (*gateway.Gateway)(nil)

// instant answers at once.
type instant struct{}

func (instant) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: 200,
		Header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"200"}, "Date": {"Sat, 28 Nov 2026 00:00:00 GMT"}},
		Body:   io.NopCloser(strings.NewReader(strings.Repeat("x", 200))),
	}, nil
}

func measure(b *testing.B, handler http.Handler, token string) {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, "/items/4711?x=1", nil)
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "User-Agent": {"wrk"}, "Accept": {"*/*"}}
	r.RemoteAddr = "127.0.0.1:1234"
	b.ReportAllocs()
	for b.Loop() {
		w := &sink{header: http.Header{}}
		handler.ServeHTTP(w, r.Clone(b.Context()))
		if w.status.Load() != http.StatusOK {
			b.Fatal(w.status.Load())
		}
	}
}

// sink is a ResponseWriter that keeps the status alone.
type sink struct {
	header http.Header
	status atomic.Int64
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status.Store(int64(status)) }
func (s *sink) Flush()                      {}
