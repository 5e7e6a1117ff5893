package issuer_test

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

func at(t *testing.T, address string, client *http.Client) *issuer.Issuer {
	t.Helper()
	i, err := issuer.New(issuer.Config{Identifier: address, HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func get(t *testing.T, i *issuer.Issuer, address string) (*issuer.Answer, error) {
	t.Helper()
	return i.Do(t.Context(), issuer.Request{Method: http.MethodGet, URL: address, Limit: 1 << 10})
}

func TestAttack32RedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/there?secret=1", code)
		}))
		follow := func(*http.Request, []*http.Request) error { return nil }
		for _, client := range []*http.Client{nil, {CheckRedirect: follow}} {
			i := at(t, server.URL, client)
			_, err := get(t, i, server.URL+"/x")
			check(t, err, "redirects are not followed")
			contains(t, err.Error(), "to "+elsewhere.URL+";")
			_, err = i.Metadata(t.Context())
			check(t, err, "redirects are not followed")
		}
		server.Close()
	}
}

func TestAnswersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var to io.Writer = w
		if r.URL.Path == "/bomb" {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			defer packed.Close()
			to = packed
		}
		for range map[string]int{"/1024": 1, "/large": 2}[r.URL.Path] {
			_, _ = to.Write(make([]byte, 1024))
		}
		for r.URL.Path == "/bomb" || r.URL.Path == "/endless" {
			if _, err := to.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	i := at(t, server.URL, nil)
	for path, want := range map[string]string{"/1024": "", "/large": "limit", "/bomb": "limit", "/endless": "limit"} {
		_, err := get(t, i, server.URL+path)
		check(t, err, want)
	}
}

func TestAnswersThatAreCut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			w.Header().Set("Content-Length", "100")
		}
		_, _ = io.WriteString(w, "half")
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	defer server.Close()
	_, err := get(t, at(t, server.URL, nil), server.URL+"/x")
	check(t, err, "read answer: unexpected EOF")
	if failure := (*issuer.Failure)(nil); !errors.As(err, &failure) || failure.Status != 200 {
		t.Errorf("got %#v", err)
	}
}

// A server that restarts closes connections that are kept, perhaps just when the next request is on its way.
func TestAKeptConnectionIsClosed(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["Idempotency-Key"]; sent || r.FormValue("token") != "x" {
			t.Errorf("got %v", r.Header)
		}
		if calls.Add(1) == 2 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
	}))
	defer server.Close()
	i := at(t, server.URL, nil)
	for range 2 {
		_, err := i.Do(t.Context(), issuer.Request{Method: http.MethodPost, URL: server.URL, Form: url.Values{"token": {"x"}}, Limit: 99})
		if err != nil {
			t.Error(err)
		}
	}
	if calls.Load() != 3 {
		t.Errorf("asked %d times", calls.Load())
	}
}

func TestCookiesAreNotKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 {
			t.Error("a cookie came back")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
	}))
	defer server.Close()
	jar, _ := cookiejar.New(nil)
	for _, client := range []*http.Client{nil, {Jar: jar}} {
		i := at(t, server.URL, client)
		for range 2 {
			if _, err := get(t, i, server.URL); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCertificates(t *testing.T) {
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	for _, tt := range []struct {
		name    string
		expires time.Duration
		host    string
		trusted bool
		want    []string
	}{
		{"good", time.Hour, "127.0.0.1", true, nil},
		{"expired", -time.Hour, "127.0.0.1", true, []string{"the server's certificate is good from", time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15")}},
		{"for another host", time.Hour, "10.1.1.1", true, []string{"valid for 10.1.1.1, not 127.0.0.1"}},
		{"of an unknown authority", time.Hour, "127.0.0.1", false, []string{"unknown authority", "give an HTTP client that trusts it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certificate := selfSigned(t, tt.host, time.Now().Add(tt.expires))
			server := httptest.NewUnstartedServer(status(200))
			server.Config.ErrorLog = quiet
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
			server.StartTLS()
			defer server.Close()
			client := (*http.Client)(nil)
			if tt.trusted {
				roots := x509.NewCertPool()
				roots.AddCert(certificate.Leaf)
				client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
				defer client.CloseIdleConnections()
			}
			_, err := get(t, at(t, server.URL, client), server.URL)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				contains(t, err.Error(), tt.want...)
			}
		})
	}
}

func TestTLSIsNew(t *testing.T) {
	server := httptest.NewUnstartedServer(status(200))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.StartTLS()
	defer server.Close()
	_, err := get(t, at(t, server.URL, nil), server.URL)
	check(t, err, "protocol version")
}

func TestHTTPWhereTLSIsSpoken(t *testing.T) {
	server := httptest.NewServer(status(200))
	defer server.Close()
	_, err := get(t, at(t, "https://"+server.Listener.Addr().String(), nil), "https://"+server.Listener.Addr().String())
	check(t, err, "HTTP response to HTTPS client")
}

func selfSigned(t *testing.T, host string, expires time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: expires.Add(-24 * time.Hour), NotAfter: expires,
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestAStreamHasNoEndButItsHeaderHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := streams{left: make(chan struct{})}
		i, err := issuer.New(issuer.Config{Identifier: identifier, HTTP: &http.Client{Transport: n, Timeout: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		r := issuer.Request{Method: http.MethodGet, URL: identifier + "/slow", Limit: 1 << 10, Stream: true}
		_, err = i.Do(t.Context(), r)
		check(t, err, "no answer in time, 5s")

		r.URL = identifier + "/events"
		answer, err := i.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		for range 3 {
			if k, err := answer.Stream.Read(buffer); string(buffer[:k]) != "event" || err != nil {
				t.Errorf("read %q, %v", buffer[:k], err)
			}
		}
		_ = answer.Stream.Close()
		<-n.left

		r.URL = identifier + "/refused"
		if answer, err := i.Do(t.Context(), r); err != nil || answer.Stream != nil || string(answer.Body) != "no" {
			t.Errorf("got %+v, %v", answer, err)
		}
	})
}

// streams is a server whose /events brings one an hour.
type streams struct{ left chan struct{} }

// RoundTrip implements http.RoundTripper.
func (s streams) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	switch r.URL.Path {
	case "/slow":
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	case "/refused":
		say(recorder, http.StatusForbidden, "no")
		return recorder.Result(), nil
	}
	in, out := io.Pipe()
	go func() {
		defer close(s.left)
		for {
			select {
			case <-time.After(time.Hour):
				_, _ = io.WriteString(out, "event")
			case <-r.Context().Done():
				_ = out.CloseWithError(r.Context().Err())
				return
			}
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: in}, nil
}
