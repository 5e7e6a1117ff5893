package sdk_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Both sides of the SDK, and an authorization server that asks for nonces as the service does: the caller's code is that of a plain token.
func TestWithDPoP_BothSides(t *testing.T) {
	issuer := sdktest.New(sdktest.WithDPoPNonces())
	s := serviceOf(t, issuer, sdk.WithBoundTokensOnly(), sdk.WithDPoPNonces(bytes.Repeat([]byte{7}, 32)))
	called := 0
	server := httptest.NewServer(s.Middleware(sdk.Policy{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called++
		body, _ := io.ReadAll(r.Body)
		caller, _ := sdk.FromContext(r.Context())
		_, _ = w.Write(append(body, caller.ClientID()...))
	})))
	defer server.Close()
	client := newClient(t, issuer, nil, sdk.WithDPoP(nil))
	calls := client.HTTPClient(api)
	for n := range 3 {
		resp, err := calls.Post(server.URL+"/orders?of=me", "text/plain", bytes.NewBufferString("for "))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != "for "+issuer.ClientID() {
			t.Errorf("call %d: %d %s %v", n, resp.StatusCode, body, resp.Header)
		}
	}
	if n := issuer.Requests(sdktest.TokenEndpoint); n != 2 || called != 3 {
		t.Errorf("%d token requests for %d calls", n, called)
	}
	plain := newClient(t, issuer, nil)
	resp, err := plain.HTTPClient(api).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 401 || called != 3 {
		t.Errorf("a token for any bearer: %d", resp.StatusCode)
	}
}

// A token that is bound to the client's certificate is good on connections that show it, which Client.Transport makes by itself.
func TestClientCertificate_BothSides(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	issuer := sdktest.Start(t, sdktest.WithTLS())
	issuer.AddCertificate(issuer.ClientID(), writeCertificate(t, certFile, keyFile))
	s := serviceOf(t, issuer, sdk.WithBoundTokensOnly())
	server := httptest.NewUnstartedServer(s.Middleware(sdk.Policy{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	auth := sdk.ClientCertificate(certFile, keyFile)
	client := newClient(t, issuer, auth)
	config := &tls.Config{RootCAs: roots, GetClientCertificate: auth.GetClientCertificate, MinVersion: tls.VersionTLS12}
	with := &http.Client{Transport: client.Transport(&http.Transport{TLSClientConfig: config}, api)}
	without := &http.Client{Transport: client.Transport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, api)}
	for want, calls := range map[int]*http.Client{200: with, 401: without} {
		resp, err := calls.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("got %d, want %d", resp.StatusCode, want)
		}
		calls.CloseIdleConnections()
	}
}
