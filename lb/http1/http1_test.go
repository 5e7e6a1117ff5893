package http1_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/lb/http1"
)

const maxHeader = 64 << 10

// newTransport returns a Transport that dials TCP.
func newTransport(t testing.TB) *http1.Transport {
	t.Helper()
	transport := http1.New(http1.Config{
		Dial: new(net.Dialer).DialContext, DialTLS: new(net.Dialer).DialContext,
		IdleTimeout: time.Minute, MaxIdlePerHost: 64, MaxHeaderBytes: maxHeader,
	})
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// script is a server that says the same on each connection as soon as a request has come.
type script struct {
	address string
	conns   atomic.Int64
}

// startScript serves connections by serve, one call for each.
func startScript(t testing.TB, serve func(conn net.Conn, requests *bufio.Reader)) *script {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{address: ln.Addr().String()}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			served.Go(func() {
				serve(conn, bufio.NewReader(conn))
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		served.Wait()
	})
	return s
}

// answering is a script of serve that answers each request by text; if hangUp, once.
func answering(text string, hangUp bool) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, requests *bufio.Reader) {
		for {
			req, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, text)
			if hangUp {
				return
			}
		}
	}
}

func newRequest(ctx context.Context, t testing.TB, method, address string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// outcome is what came of a request.
type outcome struct {
	Status           string
	Code             int
	Length           int64
	Close            bool
	Header, Trailer  http.Header
	Body             string
	Failed, HalfRead bool // no answer; no end of it
	Err              error
}

func do(transport http.RoundTripper, req *http.Request) outcome {
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return outcome{Failed: true, Err: err}
	}
	return read(resp)
}

func read(resp *http.Response) outcome {
	text, err := io.ReadAll(resp.Body)
	resp.Header.Del("Connection") // which http.Transport takes away where it says close
	_ = resp.Body.Close()
	return outcome{
		Status: resp.Status, Code: resp.StatusCode, Length: resp.ContentLength, Close: resp.Close,
		Header: resp.Header, Trailer: resp.Trailer, Body: string(text), HalfRead: err != nil, Err: err,
	}
}
