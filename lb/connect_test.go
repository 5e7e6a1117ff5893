package lb_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/lb"
)

// A handshake that fails comes before the request, so that even a POST goes on.
func TestHandshakeFailureIsAFailureToConnect(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(secure.Close)
	plain := startUpstream(t, nil) // does not speak TLS
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	f := startFront(t, lb.TransportConfig{TLS: &tls.Config{RootCAs: roots}}, "https://"+plain.addr, secure.URL)
	resp, got := f.do(t, http.MethodPost, "/", strings.NewReader("payload"), nil)
	if resp.StatusCode != http.StatusOK || got != "payload" {
		t.Errorf("status %d, body %q", resp.StatusCode, got)
	}
	if s := f.pool.Upstreams(); s[0].Healthy || !s[1].Healthy {
		t.Errorf("states %+v", s)
	}
}

func TestUntrustedCertificateIsNotAccepted(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(secure.Close)
	f := startFront(t, lb.TransportConfig{}, secure.URL)
	if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.StatusCode)
	}
}
