package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/lb/http1"
)

// gathering is a connection that sends what is written together with what is written next, when told to.
type gathering struct {
	net.Conn

	held *bytes.Buffer // nil: it sends at once
}

func (g *gathering) Write(p []byte) (int, error) {
	if g.held == nil {
		return g.Conn.Write(p)
	}
	return g.held.Write(p)
}

// TLS takes more from the socket than the record that it is asked for, so what a server says behind its answer may be with TLS: neither in the
// buffer of the connection, nor in the kernel.
func TestNothingBehindAnAnswerIsTheNextOverTLS(t *testing.T) {
	t.Parallel()
	secured := httptest.NewTLSServer(nil)
	defer secured.Close()
	config := &tls.Config{Certificates: secured.TLS.Certificates, MinVersion: tls.VersionTLS12}
	server := startScript(t, func(conn net.Conn, _ *bufio.Reader) {
		under := &gathering{Conn: conn}
		over := tls.Server(under, config)
		for requests := bufio.NewReader(over); ; {
			req, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			under.held = new(bytes.Buffer)
			_, _ = io.WriteString(over, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			if req.URL.Path == "/evil" {
				_, _ = io.WriteString(over, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
			_, _ = conn.Write(under.held.Bytes())
			under.held = nil
		}
	})
	roots := secured.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}}
	transport := http1.New(http1.Config{
		Dial: dialer.DialContext, DialTLS: dialer.DialContext, IdleTimeout: time.Minute, MaxIdlePerHost: 4, MaxHeaderBytes: maxHeader,
	})
	defer transport.CloseIdleConnections()
	for n, path := range []string{"/", "/evil", "/", "/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+server.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := do(transport, req); got.Body != "hello" {
			t.Errorf("request %d: %+v", n, got)
		}
	}
	if n := server.conns.Load(); n != 2 {
		t.Errorf("%d connections, want one until it is spoilt and one from then on", n)
	}
}

// pausing is a connection that has the last byte of an answer when its deadline is set, and not before.
type pausing struct {
	fakeConn

	last    io.Reader
	reading chan struct{} // closed when the last byte is waited for
	due     chan struct{}
	once    sync.Once
}

func (p *pausing) Read(b []byte) (int, error) {
	if n, err := p.fakeConn.Read(b); err == nil {
		return n, nil
	}
	close(p.reading)
	<-p.due
	return p.last.Read(b)
}

func (p *pausing) SetDeadline(time.Time) error {
	p.once.Do(func() { close(p.due) })
	return nil
}

// A body that is closed while it is read may come to its end all the same; its connection has been interrupted.
func TestInterruptedConnectionIsNotKept(t *testing.T) {
	t.Parallel()
	slow := &pausing{
		fakeConn: fakeConn{said: bytes.NewReader([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"))}, last: bytes.NewReader([]byte("x")),
		reading: make(chan struct{}), due: make(chan struct{}),
	}
	conns := []net.Conn{slow, fakeConn{said: bytes.NewReader([]byte("HTTP/1.1 204 No Content\r\n\r\n"))}}
	dial := func(context.Context, string, string) (net.Conn, error) {
		next := conns[0]
		conns = conns[1:]
		return next, nil
	}
	transport := http1.New(http1.Config{Dial: dial, DialTLS: dial, IdleTimeout: time.Minute, MaxIdlePerHost: 4, MaxHeaderBytes: maxHeader})
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(newRequest(t.Context(), t, http.MethodGet, "a", nil))
	if err != nil {
		t.Fatal(err)
	}
	var read sync.WaitGroup
	read.Go(func() { _, _ = io.ReadAll(resp.Body) })
	<-slow.reading
	_ = resp.Body.Close()
	read.Wait()
	if got := do(transport, newRequest(t.Context(), t, http.MethodGet, "a", nil)); got.Code != http.StatusNoContent || len(conns) != 0 {
		t.Errorf("%+v, %d connections not made", got, len(conns))
	}
}
