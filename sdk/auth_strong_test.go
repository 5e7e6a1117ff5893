package sdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func proofKey(t testing.TB, signer crypto.Signer) *proof.Key {
	t.Helper()
	key, err := proof.NewKey(signer, proof.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writePEM writes a block to a file in place of what is there.
func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeKey(t testing.TB, path string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, path, "PRIVATE KEY", der)
}

func TestPrivateKey(t *testing.T) {
	issuer, key := sdktest.New(), proofKey(t, newECKey(t))
	issuer.AddKey(issuer.ClientID(), key.PublicJWK())
	client := newClient(t, issuer, sdk.PrivateKey(key))
	token := tokenOf(t, client.TokenSource(warehouse))
	if err := client.Revoke(t.Context(), token.AccessToken()); err != nil {
		t.Errorf("revocation: %v", err)
	}
	s := serviceOf(t, issuer, sdk.WithCredentials(issuer.ClientID(), sdk.PrivateKey(key)))
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
		t.Errorf("introspection: %v", err)
	}
	for _, at := range []sdktest.Endpoint{sdktest.TokenEndpoint, sdktest.RevocationEndpoint} {
		log := issuer.Log(at)
		if len(log) == 0 {
			t.Errorf("%s was not asked", at)
		}
		for _, r := range log {
			if r.Status != 200 || r.Method != http.MethodPost || r.Header.Get("Authorization") != "" || r.Form.Get("client_id") != issuer.ClientID() ||
				r.Form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				t.Errorf("%s: %d to %s %v", at, r.Status, r.Method, r.Form)
			}
		}
	}
}

// A server remembers the jti of an assertion: sent again it is refused.
func TestEveryAttemptHasAnAssertionOfItsOwn(t *testing.T) {
	key := proofKey(t, newECKey(t))
	issuer := sdktest.New()
	issuer.AddKey(issuer.ClientID(), key.PublicJWK())
	issuer.Fail(sdktest.Failure{Status: http.StatusServiceUnavailable, Times: 1}, sdktest.TokenEndpoint)
	client := newClient(t, issuer, sdk.PrivateKey(key), sdk.WithDPoP(key))
	tokenOf(t, client.TokenSource(warehouse))
	seen := map[string]bool{}
	log := issuer.Log(sdktest.TokenEndpoint)
	for _, r := range log {
		seen[r.Form.Get("client_assertion")], seen[r.Header.Get("DPoP")] = true, true
	}
	if len(log) != 2 || len(seen) != 4 {
		t.Errorf("%d requests with %d assertions and proofs", len(log), len(seen))
	}
}

func TestPrivateKeyFileIsReadAgain(t *testing.T) {
	issuer, path := sdktest.New(), filepath.Join(t.TempDir(), "key.pem")
	first, second := newECKey(t), newECKey(t)
	issuer.AddKey(issuer.ClientID(), proofKey(t, first).PublicJWK())
	writeKey(t, path, first)
	client := newClient(t, issuer, sdk.PrivateKeyFile(path))
	tokenOf(t, client.TokenSource(warehouse))
	writeKey(t, path, second)
	if _, err := client.TokenSource(warehouse, "a").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("by a key that is not registered: %v", err)
	}
	issuer.AddKey(issuer.ClientID(), proofKey(t, second).PublicJWK())
	tokenOf(t, client.TokenSource(warehouse, "b"))
}

func TestAssertionOfAnotherIssuer(t *testing.T) {
	const cluster, account = "https://kubernetes.test", "system:serviceaccount:shop:orders"
	issuer := sdktest.New()
	foreign := sdktest.New(sdktest.WithURL(cluster))
	jwk := fmt.Sprintf(`{"kid":%q,"kty":"EC","crv":"P-256","x":%q,"y":%q}`, foreign.Key().ID(), foreign.Key().JWK()["x"], foreign.Key().JWK()["y"])
	issuer.AddWorkload(issuer.ClientID(), cluster, account, []byte(jwk))
	mint := func(audience string) string {
		return foreign.Mint(sdktest.Claims{Subject: account, Audience: []string{audience}})
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(mint(issuer.URL())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(_ context.Context, audience string) (string, error) { return mint(audience), nil }
	for name, tt := range map[string]struct {
		auth sdk.ClientAuth
		kind string
	}{
		"file": {sdk.AssertionFile(path), "jwt-bearer"}, "function": {sdk.AssertionFunc(get), "jwt-bearer"},
		"SPIFFE file": {sdk.SPIFFEFile(path), "jwt-spiffe"}, "SPIFFE function": {sdk.SPIFFEFunc(get), "jwt-spiffe"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, issuer, tt.auth)
			tokenOf(t, client.TokenSource(warehouse))
			log := issuer.Log(sdktest.TokenEndpoint)
			form := log[len(log)-1].Form
			if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:"+tt.kind || form.Get("client_id") != issuer.ClientID() {
				t.Errorf("sent %v", form)
			}
		})
	}
	away := newClient(t, issuer, sdk.AssertionFunc(func(context.Context, string) (string, error) { return "", errors.New("the agent is away") }),
		sdk.WithMaxWait(time.Millisecond))
	if _, err := away.TokenSource(warehouse).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "the agent is away") {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheServerWillNotHaveIsNotSent(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, certificate, key)
	jwt := filepath.Join(dir, "jwt")
	if err := os.WriteFile(jwt, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		auth sdk.ClientAuth
		opts []sdk.ClientOption
		says string
	}{
		"private key":    {auth: sdk.PrivateKeyFile(key), says: "does not list private_key_jwt among"},
		"certificate":    {auth: sdk.ClientCertificate(certificate, key), says: "does not list tls_client_auth or self_signed_tls_client_auth or spiffe_x509 among"},
		"assertion":      {auth: sdk.AssertionFile(jwt), says: "does not list private_key_jwt among"},
		"SPIFFE":         {auth: sdk.SPIFFEFile(jwt), says: "does not list spiffe_jwt or private_key_jwt among"},
		"no file":        {auth: sdk.AssertionFile(filepath.Join(dir, "none")), says: "does not list private_key_jwt among"},
		"no key":         {auth: sdk.PrivateKeyFile(filepath.Join(dir, "none")), says: "read private key: "},
		"no certificate": {auth: sdk.ClientCertificate(certificate, filepath.Join(dir, "none")), says: "read client certificate: "},
		"DPoP":           {auth: sdk.Secret("s"), opts: []sdk.ClientOption{sdk.WithDPoP(nil)}, says: "does not say that it supports DPoP"},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := sdktest.Start(t, sdktest.WithTLS(), sdktest.WithAuthMethods("client_secret_basic"), sdktest.WithoutDPoP())
			client := newClient(t, issuer, tt.auth, append(tt.opts, sdk.WithLogger(slog.New(slog.DiscardHandler)))...)
			began := time.Now()
			_, err := client.TokenSource(warehouse).Token(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.says) || time.Since(began) > 5*time.Second {
				t.Errorf("got %v after %s", err, time.Since(began))
			}
			if n := issuer.Requests(sdktest.TokenEndpoint); n != 0 {
				t.Errorf("the server was asked %d times", n)
			}
		})
	}
}

func TestCredentialsThatCannotBe(t *testing.T) {
	for name, auth := range map[string]sdk.ClientAuth{
		"no key": sdk.PrivateKey(nil), "no path": sdk.PrivateKeyFile(""), "no assertion path": sdk.AssertionFile(""),
		"no function": sdk.AssertionFunc(nil), "no certificate path": sdk.ClientCertificate("", "x"), "no certificate function": sdk.ClientCertificateFunc(nil),
	} {
		if _, err := sdk.New("https://auth.test", "cl_1", auth); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	users := &http.Client{Transport: &resource{}}
	if _, err := sdk.New("https://auth.test", "cl_1", sdk.ClientCertificate("a", "b"), sdk.WithHTTPClient(users)); err == nil ||
		!strings.Contains(err.Error(), "*http.Transport") {
		t.Errorf("a certificate by a transport that cannot show it: %v", err)
	}
}

// writeCertificate writes a certificate that vouches for itself, and its key.
func writeCertificate(t testing.TB, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	writeKey(t, keyFile, key)
	return certificate
}

func TestClientCertificate(t *testing.T) {
	for name, auth := range map[string]func(certFile, keyFile string) *sdk.Certificate{
		"files": sdk.ClientCertificate,
		"function": func(certFile, keyFile string) *sdk.Certificate {
			return sdk.ClientCertificateFunc(func(context.Context) (*tls.Certificate, error) {
				pair, err := tls.LoadX509KeyPair(certFile, keyFile)
				pair.Leaf = nil
				return &pair, err
			})
		},
	} {
		t.Run(name, func(t *testing.T) { showsCertificate(t, auth) })
	}
}

func showsCertificate(t *testing.T, from func(certFile, keyFile string) *sdk.Certificate) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writeCertificate(t, certFile, keyFile)
	issuer := sdktest.Start(t, sdktest.WithTLS())
	issuer.AddCertificate(issuer.ClientID(), first)
	auth := from(certFile, keyFile)
	client := newClient(t, issuer, auth)
	token := tokenOf(t, client.TokenSource(warehouse))
	if got := confirmed(t, token, "x5t#S256"); got != x5t(first) {
		t.Errorf("bound to %s", got)
	}
	second := writeCertificate(t, certFile, keyFile)
	issuer.AddCertificate(issuer.ClientID(), second)
	token = tokenOf(t, client.TokenSource(warehouse, "a"))
	if got := confirmed(t, token, "x5t#S256"); got != x5t(second) {
		t.Errorf("after a change bound to %s", got)
	}
	for _, r := range issuer.Log(sdktest.TokenEndpoint) {
		if r.Form.Get("client_id") != issuer.ClientID() || len(r.Header.Values("Authorization")) > 0 || r.Form.Has("client_secret") {
			t.Errorf("sent %v", r.Form)
		}
	}
	s := serviceOf(t, issuer, sdk.WithCredentials(issuer.ClientID(), auth))
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
		t.Errorf("introspection: %v", err)
	}
}

// What the function returns is not believed to be a certificate.
func TestClientCertificateFuncWithoutCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, certFile, keyFile)
	good, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		certificate *tls.Certificate
		err         error
		says        string
	}{
		"error":     {nil, errors.New("the agent is gone"), "the agent is gone"},
		"nothing":   {nil, nil, "no client certificate"},
		"empty":     {&tls.Certificate{PrivateKey: good.PrivateKey}, nil, "no client certificate"},
		"no key":    {&tls.Certificate{Certificate: good.Certificate}, nil, "no key"},
		"malformed": {&tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: good.PrivateKey}, nil, "cannot be read"},
	} {
		auth := sdk.ClientCertificateFunc(func(context.Context) (*tls.Certificate, error) { return tt.certificate, tt.err })
		if _, err := auth.GetClientCertificate(&tls.CertificateRequestInfo{}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token that is bound to the certificate is of no use on connections that do not show it.
func TestCallsShowTheCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate := writeCertificate(t, certFile, keyFile)
	client, err := sdk.New("https://auth.test", "cl_1", sdk.ClientCertificate(certFile, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := client.Base().TLSClientConfig.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || !bytes.Equal(shown.Certificate[0], certificate.Raw) {
		t.Errorf("shows %v, %v", shown, err)
	}
	plain, err := sdk.New("https://auth.test", "cl_1", sdk.Secret("s"))
	if err != nil {
		t.Fatal(err)
	}
	if config := plain.Base().TLSClientConfig; config != nil && config.GetClientCertificate != nil {
		t.Error("a client with a secret shows a certificate")
	}
}

func x5t(certificate *x509.Certificate) string {
	sum := proof.CertificateThumbprint(certificate)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// confirmed returns a member of the token's claim cnf.
func confirmed(t testing.TB, token *sdk.Token, member string) string {
	t.Helper()
	signed, err := jose.Parse(token.AccessToken())
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Confirmation map[string]string `json:"cnf"`
	}
	if err := json.Unmarshal(signed.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Confirmation[member]
}

// The aliases of RFC 8705 §5 are asked in place of the endpoints by who shows a certificate, and by nobody else.
func TestEndpointAliases(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate := writeCertificate(t, certFile, keyFile)
	issuer, alias := sdktest.Start(t, sdktest.WithTLS()), 0
	issuer.AddCertificate(issuer.ClientID(), certificate)
	issuer.Alter(sdktest.MetadataEndpoint, func(m map[string]any) {
		m["mtls_endpoint_aliases"] = map[string]any{"token_endpoint": issuer.URL() + "/mtls/token"}
	})
	issuer.Replace(sdktest.Elsewhere, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mtls/token" && len(r.TLS.PeerCertificates) == 1 {
			alias++
			_, _ = io.WriteString(w, goodToken)
		}
	}))
	tokenOf(t, newClient(t, issuer, nil).TokenSource(warehouse))
	if n := issuer.Requests(sdktest.TokenEndpoint); n != 1 || alias != 0 {
		t.Errorf("by a secret: %d requests at the endpoint, %d at the alias", n, alias)
	}
	tokenOf(t, newClient(t, issuer, sdk.ClientCertificate(certFile, keyFile)).TokenSource(warehouse))
	if n := issuer.Requests(sdktest.TokenEndpoint); n != 1 || alias != 1 {
		t.Errorf("by a certificate: %d requests at the endpoint, %d at the alias", n, alias)
	}
}

func TestAttack37NoAssertionInErrorsAndLogs(t *testing.T) {
	key := proofKey(t, newECKey(t))
	for _, status := range []int{200, 302, 400, 401, 429, 503} {
		var sent []string
		w := newWire(t, func(rw http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			sent = append(sent, r.PostForm.Get("client_assertion"), r.Header.Get("DPoP"))
			answers(status, fmt.Sprintf(`{"error":"invalid_client","error_description":"%s %s"}`, sent[len(sent)-2], sent[len(sent)-1]))(rw, r)
		})
		w.methods = `["private_key_jwt"]`
		a := w.authority(t, sdk.PrivateKey(key))
		_, asked := a.RequestBoundToken(t.Context(), warehouse, key)
		told := fmt.Sprintf("%v %+v %s", asked, errors.Unwrap(asked), w.logged())
		if refusal := (*sdk.TokenError)(nil); errors.As(asked, &refusal) {
			told += refusal.Description
		}
		for _, secret := range sent {
			if secret == "" || strings.Contains(told, secret) || strings.Contains(told, strings.Split(secret, ".")[2]) {
				t.Errorf("%d: %s", status, told)
			}
		}
		if status >= 400 && !strings.Contains(told, "[redacted]") {
			t.Errorf("%d: the test does not echo: %s", status, told)
		}
	}
	for _, auth := range []any{sdk.PrivateKey(key), sdk.AssertionFile("x"), sdk.ClientCertificate("x", "y"), sdk.ClientCertificateFunc(nil)} {
		if text := fmt.Sprintf("%v %+v %#v", auth, auth, auth); text != "[redacted] [redacted] [redacted]" {
			t.Errorf("printed %s", text)
		}
	}
}
