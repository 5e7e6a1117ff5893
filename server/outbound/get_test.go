package outbound_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/server/outbound"
)

var errNoNetwork = errors.New("no network")

func refuse(string, string, syscall.RawConn) error { return errNoNetwork }

// counting is a server that counts who connects.
type counting struct {
	*httptest.Server
	connections atomic.Int64
}

func startServer(t *testing.T, answer http.HandlerFunc) *counting {
	t.Helper()
	s := &counting{Server: httptest.NewUnstartedServer(answer)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// caFile writes the certificate of the server, by which it is believed.
func (s *counting) caFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *counting) port() string {
	_, port, _ := strings.Cut(s.Listener.Addr().String(), ":")
	return port
}

func keySet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=600")
	_, _ = w.Write([]byte(`{"keys":[]}`))
}

func TestGet(t *testing.T) {
	var got *http.Request
	server := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		keySet(w, r)
	})
	client := newClient(t, outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: server.caFile(t)})
	for range 2 {
		answer, err := client.Get(t.Context(), server.URL+"/jwks?tenant=a")
		if err != nil || string(answer.Body) != `{"keys":[]}` || answer.MaxAge != 10*time.Minute {
			t.Fatalf("%q, %v, %v", answer.Body, answer.MaxAge, err)
		}
	}
	if got.URL.String() != "/jwks?tenant=a" || got.Header.Get("Cookie") != "" || got.Header.Get("Accept-Encoding") != "" {
		t.Errorf("asked %s with %v", got.URL, got.Header)
	}
	if n := server.connections.Load(); n != 2 {
		t.Errorf("%d connections for 2 questions", n)
	}
}

func TestGetByPlainHTTPAtAllowedLoopback(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(keySet))
	defer server.Close()
	if _, err := newClient(t, outbound.Config{Allow: []string{"127.0.0.0/8"}}).Get(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
}

// A name that had a good address when it was registered has that of the machine itself when it is asked.
func TestAttack38RebindingAtDial(t *testing.T) {
	server := startServer(t, keySet)
	dns, resolver := startNames(t)
	client := newClient(t, outbound.Config{Resolver: resolver, CAFile: server.caFile(t)})
	keys := "https://example.com:" + server.port() + "/jwks" // the certificate of httptest is for example.com
	dns.set("example.com", "93.184.215.14")
	if err := client.CheckURL(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"} {
		dns.set("example.com", address)
		if _, err := client.Get(t.Context(), keys); err == nil || !strings.Contains(err.Error(), "address that is refused") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if n := server.connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	dns.set("example.com", "127.0.0.1")
	allowing := newClient(t, outbound.Config{Resolver: resolver, CAFile: server.caFile(t), Allow: []string{"example.com"}})
	if _, err := allowing.Get(t.Context(), keys); err != nil {
		t.Errorf("the same with the host allowed: %v", err)
	}
}

// The name localhost is the machine itself, whatever the name server says.
func TestLocalhostElsewhereIsRefused(t *testing.T) {
	dns, resolver := startNames(t)
	dns.set("a.localhost", "93.184.215.14")
	client := newClient(t, outbound.Config{Resolver: resolver, Allow: []string{"a.localhost"}})
	if _, err := client.Get(t.Context(), "http://a.localhost:1/"); err == nil || !strings.Contains(err.Error(), "address that is refused") {
		t.Errorf("got %v", err)
	}
}

func TestAttack38And32Redirect(t *testing.T) {
	inside := startServer(t, keySet)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := startServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, status) })
		client := newClient(t, outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: server.caFile(t)})
		if _, err := client.Get(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "want 200") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := inside.connections.Load(); n != 0 {
		t.Errorf("%d redirects followed", n)
	}
}

func TestAttack32Answers(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"HTML", "media type", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }},
		{"no media type", "media type", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil }},
		{"malformed media type", "media type", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/json;;=") }},
		{"error", "status 500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); keySet(w, r) }},
		{"204", "status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
		{"compressed though not asked", "content encoding", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			keySet(w, r)
		}},
		{"too long", "more than 262144", func(w http.ResponseWriter, r *http.Request) {
			keySet(w, r)
			_, _ = w.Write(make([]byte, outbound.MaxBody))
		}},
		{"says to be too long", "more than 262144", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			keySet(w, r)
		}},
		{"huge header", "header", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Padding", strings.Repeat("a", 64<<10))
			keySet(w, r)
		}},
		{"body cut off", "unexpected EOF", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			keySet(w, r)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := startServer(t, tt.answer)
			client := newClient(t, outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: server.caFile(t)})
			_, err := client.Get(t.Context(), server.URL+"/?secret=s3cr3t")
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// An endless body costs no more than the time that is given to it.
func TestSlowBody(t *testing.T) {
	server := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	client := newClient(t, outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: server.caFile(t), Timeout: 200 * time.Millisecond})
	_, err := client.Get(t.Context(), server.URL+"/?secret=s3cr3t")
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownAuthority(t *testing.T) {
	server := startServer(t, keySet)
	server.Config.ErrorLog = nil
	_, err := newClient(t, outbound.Config{Allow: []string{"127.0.0.1"}}).Get(t.Context(), server.URL)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	for _, file := range []string{filepath.Join(t.TempDir(), "none.pem"), "get_test.go"} {
		if _, err := outbound.New(outbound.Config{CAFile: file}); err == nil || !strings.HasPrefix(err.Error(), "outbound_ca: ") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// FuzzCheckURL has no name server, so that nothing but addresses of the internet can be accepted.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://keys.example.com/jwks", "https://8.8.8.8/", "https://[2606:4700::1]:8443/a?b", "https://127.0.0.1/", "http://[::1]:80/",
		"https://[fe80::1%25eth0]/", "https://0x7f.1/", "https://a@8.8.8.8/", "HTTPS://8.8.8.8",
	} {
		f.Add(seed)
	}
	client := newClient(f, outbound.Config{Resolver: &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: refuse}).DialContext}})
	f.Fuzz(func(t *testing.T, text string) {
		if client.CheckURL(t.Context(), text) != nil {
			return
		}
		read, err := url.Parse(text)
		if err != nil || read.Scheme != "https" || read.User != nil {
			t.Fatalf("%q is accepted", text)
		}
		address, err := netip.ParseAddr(read.Hostname())
		if err != nil || !address.IsGlobalUnicast() || address.IsPrivate() || address.Is4In6() {
			t.Errorf("%q is accepted", text)
		}
	})
}
