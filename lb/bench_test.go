package lb_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/lb"
)

// BenchmarkBare is the measure for BenchmarkProxy: a ReverseProxy to one upstream with a transport
// and buffers that are tuned, and nothing else.
func BenchmarkBare(b *testing.B) {
	u := startUpstream(b, hello)
	target := &url.URL{Scheme: "http", Host: u.addr}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	benchmark(b, &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			pr.SetXForwarded()
		},
		Transport:  transport,
		BufferPool: &buffers{},
	})
}

func BenchmarkProxy(b *testing.B) {
	pool := newPool(b, lb.PoolConfig{}, startUpstream(b, hello).addr, startUpstream(b, hello).addr)
	handler, err := lb.New(lb.Config{Transport: newTransport(b, lb.TransportConfig{Pool: pool})})
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, handler)
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 200)) }

func benchmark(b *testing.B, handler http.Handler) {
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				b.Error(err)
				return
			}
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
			}
		}
	})
}

type buffers struct{ pool sync.Pool }

func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *buffers) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
