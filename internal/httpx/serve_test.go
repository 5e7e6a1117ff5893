package httpx_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
)

// serving is a listener under test.
type serving struct {
	addr string
	end  func() error // begins the end and waits for it
}

func serve(t *testing.T, c httpx.ServeConfig) serving {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Listener, c.Log = listener, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpx.Serve(ctx, c) }()
	s := serving{addr: listener.Addr().String(), end: func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}}
	t.Cleanup(func() { _ = s.end() })
	return s
}

func hello(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }

// raw sends text as it is and returns all that comes back.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the server may have closed half-way
	got, _ := io.ReadAll(conn)        // a reset ends an answer as well
	return string(got)
}

func TestRawRequests(t *testing.T) {
	e := &httpx.Edge{Log: slog.New(slog.DiscardHandler), Now: time.Now, Write: httpx.OAuth(docs)}
	s := serve(t, httpx.ServeConfig{
		ReadHeaderTimeout: 200 * time.Millisecond,
		Handler: e.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "<"+r.Header.Get("X-A")+">")
		})),
	})
	const end = "Host: a\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct{ name, send, want, body string }{
		{"H01 content length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nX-A: smuggled\r\n" + end, "HTTP/1.1 400 ", ""},
		{"H02 two content lengths", "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n" + end + "abc", "HTTP/1.1 400 ", ""},
		{"H03 folded header", "GET / HTTP/1.1\r\nX-A: b\r\n c\r\n" + end, "HTTP/1.1 400 ", ""},
		{"H04 no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", ""},
		{"H04 two hosts", "GET / HTTP/1.1\r\nHost: b\r\n" + end, "HTTP/1.1 400 ", ""},
		{"H05 slow header", "GET / HTTP/1.1\r\nHost: a\r\n", "", ""},
		{"H06 huge header", "GET / HTTP/1.1\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n" + end, "HTTP/1.1 431 ", ""},
		{"transfer encoding in disguise", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" + end, "HTTP/1.1 400 ", ""},
		{"space before the colon", "GET / HTTP/1.1\r\nX-A : b\r\n" + end, "HTTP/1.1 400 ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := raw(t, s.addr, tt.send)
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" || strings.Count(got, "HTTP/1.1 ") > 1 {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !strings.HasSuffix(got, tt.body) {
				t.Errorf("got %q, want a body of %q", got, tt.body)
			}
		})
	}
}

func TestHTTP2InPlainText(t *testing.T) {
	s := serve(t, httpx.ServeConfig{Handler: http.HandlerFunc(hello)})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	if got := fetch(t, &http.Client{Transport: transport}, "http://"+s.addr); got != "HTTP/2.0" {
		t.Errorf("got %s", got)
	}
}

func fetch(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Do(outgoing(t, url))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return string(body)
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var draining atomic.Bool
	s := serve(t, httpx.ServeConfig{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			if r.Context().Err() != nil {
				w.WriteHeader(http.StatusTeapot)
			}
			_, _ = io.WriteString(w, "whole")
		}),
		Draining: func() { draining.Store(true); close(release) },
	})
	got := make(chan string, 1)
	transport := &http.Transport{DisableKeepAlives: true}
	go func() { got <- fetch(t, &http.Client{Transport: transport}, "http://"+s.addr) }()
	<-entered
	if err := s.end(); err != nil {
		t.Errorf("the drain failed: %v", err)
	}
	if answer := <-got; answer != "whole" || !draining.Load() {
		t.Errorf("got %q, draining %t", answer, draining.Load())
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr); err == nil {
		_ = conn.Close()
		t.Error("the listener is still open")
	}
}

func TestRequestsAreAcceptedDuringTheDelay(t *testing.T) {
	begun := make(chan struct{})
	s := serve(t, httpx.ServeConfig{
		Handler: http.HandlerFunc(hello), Draining: func() { close(begun) }, DrainDelay: 300 * time.Millisecond,
	})
	ended := make(chan error, 1)
	go func() { ended <- s.end() }()
	<-begun
	if got := fetch(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+s.addr); got != "HTTP/1.1" {
		t.Errorf("got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDrainIsBounded(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s := serve(t, httpx.ServeConfig{
		Handler:      http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-release }),
		DrainTimeout: 50 * time.Millisecond,
	})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	if err := s.end(); err == nil {
		t.Error("a request was cut off without a word")
	}
}

func TestServeReturnsWhenItsListenerBreaks(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	err = httpx.Serve(t.Context(), httpx.ServeConfig{Listener: listener, Handler: http.HandlerFunc(hello), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Error("got no error")
	}
}

// pair writes a certificate for a name, with its key, and returns the certificate.
func pair(t *testing.T, certFile, keyFile, name string, until time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLSReload(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	year := time.Now().Add(365 * 24 * time.Hour)
	pair(t, certFile, keyFile, "first.test", year)
	var clock atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(clock.Load())) }
	certificates, err := httpx.LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler), now)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, httpx.ServeConfig{Handler: http.HandlerFunc(hello), Certificates: certificates})
	served := func() string {
		clock.Add(int64(2 * time.Second))
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}} // which one is served is what is tested
		conn, err := dialer.DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		state := conn.(*tls.Conn).ConnectionState()
		if state.NegotiatedProtocol != "h2" {
			t.Errorf("HTTP/2 was not negotiated: %q", state.NegotiatedProtocol)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	steps := []struct {
		name   string
		change func()
		want   string
	}{
		{"at first", func() {}, "first.test"},
		{"replaced", func() { pair(t, certFile, keyFile, "second.test", year) }, "second.test"},
		{"broken", func() { write(t, certFile, []byte("nonsense")) }, "second.test"},
		{"of another key", func() { pair(t, certFile, filepath.Join(t.TempDir(), "other.pem"), "third.test", year) }, "second.test"},
		{"expired", func() { pair(t, certFile, keyFile, "fourth.test", start.Add(-time.Minute)) }, "second.test"},
		{"gone", func() { _ = os.Remove(keyFile) }, "second.test"},
		{"replaced again", func() { pair(t, certFile, keyFile, "fifth.test", year) }, "fifth.test"},
	}
	for _, step := range steps {
		step.change()
		if got := served(); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
}

// What cannot be read takes no authority away, and is said once.
func TestAuthoritiesReload(t *testing.T) {
	folder := t.TempDir()
	file, keyFile := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "key.pem")
	if _, err := httpx.LoadAuthorities(file, slog.New(slog.DiscardHandler), time.Now); err == nil {
		t.Error("a missing file is no error")
	}
	write(t, file, []byte("nonsense"))
	if _, err := httpx.LoadAuthorities(file, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("got %v", err)
	}
	clock, year := time.Now(), time.Now().Add(365*24*time.Hour)
	believed := pair(t, file, keyFile, "first.test", year)
	var log bytes.Buffer
	authorities, err := httpx.LoadAuthorities(file, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"at first", func() {}},
		{"broken", func() { write(t, file, []byte("more nonsense")) }},
		{"still broken", func() {}},
		{"gone", func() { _ = os.Remove(file) }},
		{"still gone", func() {}},
		{"replaced", func() { believed = pair(t, file, keyFile, "second.test", year) }},
	} {
		step.change()
		clock = clock.Add(2 * time.Second)
		want := x509.NewCertPool()
		want.AddCert(believed)
		if !authorities.Pool().Equal(want) {
			t.Errorf("%s: others are believed than %s", step.name, believed.Subject)
		}
	}
	if said := strings.Count(log.String(), "not reloaded"); said != 2 {
		t.Errorf("trouble was said %d times, want 2: %s", said, log.String())
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	if _, err := httpx.LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler), time.Now); err == nil {
		t.Error("missing files are no error")
	}
	pair(t, certFile, keyFile, "old.test", time.Now().Add(-time.Minute))
	if _, err := httpx.LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
}

func TestStreamsCanBeFlushedThroughTheEdge(t *testing.T) {
	e := &httpx.Edge{Log: slog.New(slog.DiscardHandler), Now: time.Now, Write: httpx.OAuth(docs)}
	release := make(chan struct{})
	s := serve(t, httpx.ServeConfig{WriteTimeout: 50 * time.Millisecond, Handler: e.Wrap(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			if err := control.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "first\n")
			if err := control.Flush(); err != nil {
				t.Error(err)
			}
			<-release
			_, _ = io.WriteString(w, "second\n")
		}))})
	response, err := http.DefaultTransport.RoundTrip(outgoing(t, "http://"+s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || lines.Text() != "first" {
		t.Fatalf("got %q", lines.Text())
	}
	close(release)
	if !lines.Scan() || lines.Text() != "second" {
		t.Errorf("got %q, %v", lines.Text(), lines.Err())
	}
}

// HTTP/2 has room for a blank in a path; a request line that is made of it has not.
func TestHTTP2ThatHTTP1CouldNotSay(t *testing.T) {
	s := serve(t, httpx.ServeConfig{Handler: http.HandlerFunc(hello)})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	for _, row := range []struct {
		query string
		want  int
	}{{"a=b%20c|\"<>", 200}, {"a HTTP/1.0", 400}, {" ", 400}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = row.query
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != row.want {
			t.Errorf("%q: %d, want %d", row.query, resp.StatusCode, row.want)
		}
	}
}
