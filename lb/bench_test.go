package lb_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// BenchmarkResponseTimeout is what it costs to wait for each answer with patience of its own, beside what net/http asks for one
// patience for all.
func BenchmarkResponseTimeout(b *testing.B) {
	u := startUpstream(b, hello)
	pool := newPool(b, lb.PoolConfig{}, u.addr)
	bare := func(limit time.Duration) http.RoundTripper {
		transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true, ResponseHeaderTimeout: limit}
		b.Cleanup(transport.CloseIdleConnections)
		return transport
	}
	ours := func(limit time.Duration) http.RoundTripper {
		return newTransport(b, lb.TransportConfig{Pool: pool, Overrides: lb.Overrides{ResponseTimeout: limit}})
	}
	for _, tt := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"net/http without", bare(0)},
		{"net/http", bare(time.Minute)},
		{"lb without", ours(-1)},
		{"lb", ours(time.Minute)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			load(b, tt.rt, "http://"+u.addr)
		})
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 200)) }

func benchmark(b *testing.B, handler http.Handler) {
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	load(b, transport, server.URL)
}

// load sends requests over rt and reports, beside the time, the processor time of the whole process: on a busy machine only that
// compares.
func load(b *testing.B, rt http.RoundTripper, address string) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(32)
	began := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(b.Context()) // as a server has for its requests
		defer cancel()
		for pb.Next() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				b.Error(err)
				return
			}
			resp, err := rt.RoundTrip(req)
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
	b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

type buffers struct{ pool sync.Pool }

func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *buffers) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
