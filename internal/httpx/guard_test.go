package httpx_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
)

const smuggling = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /third HTTP/1.1\r\nHost: a\r\n\r\n"

// dial connects and bounds the test.
func dial(t *testing.T, addr string, secure *tls.Config) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	return conn
}

// all sends text and returns all that comes back.
func all(t *testing.T, conn net.Conn, text string) string {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("the connection did not end in order: %v", err)
	}
	return string(got)
}

func secureServer(t *testing.T, c httpx.ServeConfig) serving {
	t.Helper()
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pair(t, certFile, keyFile, "a.test", time.Now().Add(time.Hour))
	var err error
	if c.Certificates, err = httpx.LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler), time.Now); err != nil {
		t.Fatal(err)
	}
	return serve(t, c)
}

// What was sent before the fault is answered first; nothing behind it is served.
func TestAmbiguousRequests(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
		if r.TLS != nil {
			_, _ = io.WriteString(w, " by TLS")
		}
	})
	first := "GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
	long := strings.Repeat("a", 100<<10) // still unread when the answer is written
	insecure := &tls.Config{InsecureSkipVerify: true}
	for _, tt := range []struct {
		name, send, path string
		serve            func(*testing.T, httpx.ServeConfig) serving
		secure           *tls.Config
		answers          int
	}{
		{"alone", smuggling, "", serve, nil, 1},
		{"with much behind it", smuggling + long, "", serve, nil, 1},
		{"pipelined", first + smuggling, "/first", serve, nil, 2},
		{"pipelined with much behind it", first + smuggling + long, "/first", serve, nil, 2},
		{"by TLS", smuggling, "", secureServer, insecure, 1},
		{"pipelined by TLS", first + smuggling + long, "/first by TLS", secureServer, insecure, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.serve(t, httpx.ServeConfig{Handler: handler})
			got := all(t, dial(t, s.addr, tt.secure), tt.send)
			if strings.Count(got, "HTTP/1.1 ") != tt.answers || strings.Count(got, "HTTP/1.1 400 Bad Request\r\n") != 1 || strings.Contains(got, "/second") {
				t.Errorf("got %q", got)
			}
			if tt.path != "" && !strings.Contains(got, tt.path+"HTTP/1.1 400") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// watched tells of the reads of a listener's connections.
type watched struct {
	net.Listener
	reads atomic.Int64
	third chan struct{}
}

func (w *watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	return watchedConn{conn, w}, err
}

type watchedConn struct {
	net.Conn
	w *watched
}

func (c watchedConn) Read(p []byte) (int, error) {
	if c.w.reads.Add(1) == 3 {
		close(c.w.third)
	}
	return c.Conn.Read(p)
}

// While a request is answered, net/http reads ahead to see whether its client is still there.
func TestAFaultDoesNotCancelTheRequestBeforeIt(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Listener: listener, third: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- httpx.Serve(ctx, httpx.ServeConfig{
			Listener: w, Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-w.third: // the first two bring the preface of HTTP/2, which it is not, and all the rest
				case <-r.Context().Done():
					t.Error("canceled")
				}
			}),
		})
	}()
	got := all(t, dial(t, listener.Addr().String(), nil), "GET /first HTTP/1.1\r\nHost: a\r\n\r\n"+smuggling)
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "HTTP/1.1 400 ") {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestABrokenBodyIsToldFromABrokenConnection(t *testing.T) {
	read := make(chan error, 1)
	s := serve(t, httpx.ServeConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
		w.WriteHeader(http.StatusBadRequest)
	})})
	got := all(t, dial(t, s.addr, nil), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1 \r\na\r\n0\r\n\r\n"+smuggling)
	if err := <-read; !errors.Is(err, httpx.ErrFraming) {
		t.Errorf("got %v", err)
	}
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.Count(got, "HTTP/1.1 ") != 1 {
		t.Errorf("got %q", got)
	}
}

// What a connection becomes after an upgrade is not HTTP: neither the handler nor a proxy in front of it is disturbed.
func TestUpgrade(t *testing.T) {
	echo := serve(t, httpx.ServeConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	})})
	target, err := url.Parse("http://" + echo.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	for _, tt := range []struct {
		name   string
		serve  serving
		secure *tls.Config
	}{
		{"to the handler", echo, nil},
		{"through a proxy", serve(t, httpx.ServeConfig{Handler: proxy}), nil},
		{"through a proxy by TLS", secureServer(t, httpx.ServeConfig{Handler: proxy}), &tls.Config{InsecureSkipVerify: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, tt.serve.addr, tt.secure)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			reader := bufio.NewReader(conn)
			response, err := http.ReadResponse(reader, nil)
			if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %v, %v", response, err)
			}
			for _, message := range []string{noEnd + " \n", smuggling} {
				_, _ = io.WriteString(conn, message)
				got := make([]byte, len(message))
				if _, err := io.ReadFull(reader, got); err != nil || string(got) != message {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
}

func TestHandshakes(t *testing.T) {
	s := secureServer(t, httpx.ServeConfig{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 200 * time.Millisecond})
	if got := raw(t, s.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
		t.Errorf("HTTP in plain text: got %q", got)
	}
	if got := raw(t, s.addr, "nonsense"); strings.Contains(got, "HTTP") {
		t.Errorf("nonsense: got %q", got)
	}
	if got := raw(t, s.addr, ""); got != "" { // ends when the server has lost patience
		t.Errorf("nothing: got %q", got)
	}
	conn := dial(t, s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if got := all(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "HTTP/1.1") {
		t.Errorf("HTTP/1.1: got %q", got)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	if got := fetch(t, &http.Client{Transport: transport}, "https://"+s.addr); got != "HTTP/2.0" {
		t.Errorf("HTTP/2: got %q", got)
	}
}

// The end does not wait for a handshake that nobody goes on with.
func TestDrainBreaksOffHandshakes(t *testing.T) {
	s := secureServer(t, httpx.ServeConfig{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: time.Hour, DrainTimeout: 5 * time.Second})
	conn := dial(t, s.addr, nil)
	_, _ = io.WriteString(conn, "\x16\x03\x01")
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}
