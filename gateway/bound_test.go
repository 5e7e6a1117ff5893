package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// holder has a key and a certificate.
type holder struct {
	t           testing.TB
	key         *proof.Key
	certificate tls.Certificate
}

func newHolder(t testing.TB) *holder {
	t.Helper()
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}}
}

// mint returns a JWT that is bound to the holder's key, or else to the certificate.
func (h *holder) mint(i *sdktest.Issuer, toKey bool) string {
	hash := proof.CertificateThumbprint(h.certificate.Leaf)
	cnf := map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(hash[:])}
	if toKey {
		cnf = map[string]any{"jkt": h.key.Thumbprint()}
	}
	return i.Mint(sdktest.Claims{Audience: []string{api}, Members: map[string]any{"cnf": cnf}})
}

// header is that of a request with a token that is bound to the key.
func (h *holder) header(method, uri, token, nonce string) http.Header {
	h.t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := h.key.DPoP(proof.Use{Method: method, URL: u, AccessToken: token, Nonce: nonce})
	if err != nil {
		h.t.Fatal(err)
	}
	return http.Header{"Authorization": {"DPoP " + token}, "Dpop": {text}}
}

// boundWorld is a gateway that asks its clients for certificates.
type boundWorld struct {
	t      testing.TB
	server *httptest.Server
	issuer *sdktest.Issuer
}

// startBound serves routes with this section bound_tokens. The proxies are trusted for X-Forwarded headers.
func startBound(t testing.TB, section string, proxies ...string) *boundWorld {
	t.Helper()
	return startBoundAt(t, sdktest.Start(t), section, proxies...)
}

func startBoundAt(t testing.TB, issuer *sdktest.Issuer, section string, proxies ...string) *boundWorld {
	t.Helper()
	w := &boundWorld{t: t, issuer: issuer}
	upstream := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(upstream.Close)
	g, err := assemble(t, `
issuers: {main: {url: `+w.issuer.URL()+`, client_id: `+w.issuer.ClientID()+`, client_secret: `+w.issuer.ClientSecret()+`}}
pools: {echo: {targets: [{url: "`+upstream.URL+`"}], health: {disabled: true}}}
bound_tokens: {`+section+`}
routes:
  - {name: orders, match: {prefix: /orders}, authentication: jwt, audience: "`+api+`", pool: echo, rewrite: {strip_prefix: /orders}}
  - {name: closed, match: {prefix: /closed}, authentication: introspect, audience: "`+api+`", pool: echo, sender_constrained: required, token: drop}
  - {name: open, match: {prefix: /open}, authentication: none, pool: echo}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := httpx.ParseProxies(proxies)
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: newLog(t), Proxies: trusted, Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	w.server = httptest.NewUnstartedServer(edge.Wrap(g))
	w.server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// send makes a GET request by a connection of its own, with the certificate of somebody, nil: without.
func (w *boundWorld) send(path string, header http.Header, by *holder) answer {
	w.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if by != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{by.certificate}
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.URL+path, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = header.Clone()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func TestBoundTokens(t *testing.T) {
	w := startBound(t, "")
	h, thief := newHolder(t), newHolder(t)
	keyed, certified, plain := h.mint(w.issuer, true), h.mint(w.issuer, false), w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
	at := w.server.URL + "/orders/7"
	with := func(header http.Header, name string, values ...string) http.Header {
		header[name] = values
		return header
	}
	for _, tt := range []struct {
		name   string
		path   string
		header http.Header
		by     *holder
		status int
		code   string
	}{
		{"D01: a proof for this request", "/orders/7?q=1", h.header("GET", at, keyed, ""), nil, 200, ""},
		{"D03: for another path", "/orders/8", h.header("GET", at, keyed, ""), nil, 401, "invalid_dpop_proof"},
		{"D03: for the upstream's path", "/orders/7", h.header("GET", w.server.URL+"/7", keyed, ""), nil, 401, "invalid_dpop_proof"},
		{"D03: for another host", "/orders/7", h.header("GET", "https://evil.test/orders/7", keyed, ""), nil, 401, "invalid_dpop_proof"},
		{"D05: for another method", "/orders/7", h.header("POST", at, keyed, ""), nil, 401, "invalid_dpop_proof"},
		{"D15: without ath", "/orders/7", with(h.header("GET", at, "", ""), "Authorization", "DPoP "+keyed), nil, 401, "invalid_dpop_proof"},
		{"D15: for another token", "/orders/7", with(h.header("GET", at, plain, ""), "Authorization", "DPoP "+keyed), nil, 401, "invalid_dpop_proof"},
		{"D16: as a bearer token", "/orders/7", with(h.header("GET", at, keyed, ""), "Authorization", "Bearer "+keyed), nil, 401, "invalid_token"},
		{"D17: by another key", "/orders/7", thief.header("GET", at, keyed, ""), nil, 401, "invalid_token"},
		{"D18: a plain token by DPoP", "/orders/7", h.header("GET", at, plain, ""), nil, 401, "invalid_token"},
		{"D19: two Authorization headers", "/orders/7", with(h.header("GET", at, keyed, ""), "Authorization", "Bearer "+keyed, "DPoP "+keyed), nil, 400, "invalid_request"},
		{"B01: the right certificate", "/orders/7", bearing(certified), h, 200, ""},
		{"B02: another one", "/orders/7", bearing(certified), thief, 401, "invalid_token"},
		{"B03: none", "/orders/7", bearing(certified), nil, 401, "invalid_token"},
		{"attack 31: in a header", "/orders/7", with(bearing(certified), "Client-Cert", clientCert(h)), thief, 401, "invalid_token"},
		{"a plain token", "/orders/7", bearing(plain), nil, 200, ""},
		{"required: a plain token", "/closed", bearing(plain), nil, 401, "invalid_token"},
		{"required: B01", "/closed", bearing(certified), h, 200, ""},
		{"required: D01", "/closed", h.header("GET", w.server.URL+"/closed", keyed, ""), nil, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.send(tt.path, tt.header, tt.by)
			if a.status != tt.status {
				t.Fatalf("%d %s, want %d", a.status, a.body, tt.status)
			}
			if tt.code != "" {
				if got := a.problem(t).Code; got != tt.code {
					t.Errorf("code %s, want %s", got, tt.code)
				}
				return
			}
			got := a.told(t).Header
			if got["Dpop"] != nil || got["Client-Cert"] != nil || (got["Authorization"] == nil) != strings.HasPrefix(tt.path, "/closed") {
				t.Errorf("the upstream got %v", got)
			}
		})
	}
	t.Run("D20", func(t *testing.T) {
		const bearer, dpop = `Bearer realm="https://inventory.test"`, `DPoP realm="https://inventory.test", algs="ES256 RS256 PS256 EdDSA"`
		for path, want := range map[string]string{"/closed": bearer + "\n" + dpop, "/orders": bearer} {
			if a := w.send(path, http.Header{}, nil); strings.Join(a.header["Www-Authenticate"], "\n") != want {
				t.Errorf("%s: %q", path, a.header["Www-Authenticate"])
			}
		}
		a := w.send("/orders/7", thief.header("GET", at, keyed, ""), nil)
		if got := a.header["Www-Authenticate"]; len(got) != 2 || got[0] != bearer || !strings.HasPrefix(got[1], dpop+`, error="invalid_token"`) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("D09", func(t *testing.T) {
		header := h.header("GET", at, keyed, "")
		if a := w.send("/orders/7", header, nil); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
		if a := w.send("/orders/7", header, nil); a.status != 401 || a.problem(t).Code != "invalid_dpop_proof" {
			t.Errorf("attack 29: %d %s", a.status, a.body)
		}
	})
	t.Run("who is not asked for leaves proofs to the upstream", func(t *testing.T) {
		got := w.send("/open", h.header("GET", at, keyed, ""), nil).told(t).Header
		if got["Dpop"] == nil || got["Authorization"] == nil {
			t.Errorf("the upstream got %v", got)
		}
	})
}

func clientCert(h *holder) string {
	return ":" + base64.StdEncoding.EncodeToString(h.certificate.Certificate[0]) + ":"
}

func TestBoundTokensBehindAProxy(t *testing.T) {
	const local = "127.0.0.1/32"
	w, h, proxy := startBound(t, "client_cert_from: ["+local+"]", local), newHolder(t), newHolder(t)
	keyed, certified := h.mint(w.issuer, true), h.mint(w.issuer, false)
	forwarded := func(header http.Header, more ...string) http.Header {
		header["X-Forwarded-Proto"], header["X-Forwarded-Host"] = []string{"http"}, []string{"api.test"}
		if more != nil {
			header["Client-Cert"] = more
		}
		return header
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"D01: as the proxy was called", forwarded(h.header("GET", "http://api.test/orders/7", keyed, "")), 200},
		{"D03: as the gateway was called", forwarded(h.header("GET", w.server.URL+"/orders/7", keyed, "")), 401},
		{"B01: as the proxy says", forwarded(bearing(certified), clientCert(h)), 200},
		{"B02: as the proxy says", forwarded(bearing(certified), clientCert(proxy)), 401},
		{"B03: the proxy says nothing", forwarded(bearing(certified)), 401},
		{"two from the proxy", forwarded(bearing(certified), clientCert(h), clientCert(h)), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := w.send("/orders/7", tt.header, proxy); a.status != tt.status {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestDPoPNonces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(strings.Repeat("k", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, other, h := startBound(t, "dpop_nonce_key_file: "+file), startBound(t, "dpop_nonce_key_file: "+file), newHolder(t)
	token := h.mint(w.issuer, true)
	a := w.send("/orders/7", h.header("GET", w.server.URL+"/orders/7", token, ""), nil)
	nonce := a.header.Get("DPoP-Nonce")
	if a.status != 401 || a.problem(t).Code != "use_dpop_nonce" || nonce == "" {
		t.Fatalf("D13: %d %s, nonce %q", a.status, a.body, nonce)
	}
	if a = w.send("/orders/7", h.header("GET", w.server.URL+"/orders/7", token, nonce), nil); a.status != 200 || len(a.header["Dpop-Nonce"]) != 1 {
		t.Errorf("D13: %d %s, %v", a.status, a.body, a.header)
	}
	if a = w.send("/orders/7", h.header("GET", w.server.URL+"/orders/7", token, nonce[1:]+"A"), nil); a.status != 401 || a.problem(t).Code != "use_dpop_nonce" {
		t.Errorf("D14: %d %s", a.status, a.body)
	}
	token = h.mint(other.issuer, true)
	if a = other.send("/orders/7", h.header("GET", other.server.URL+"/orders/7", token, nonce), nil); a.status != 200 {
		t.Errorf("at a gateway with the same key: %d %s", a.status, a.body)
	}
	if a = w.send("/open", http.Header{}, nil); a.header.Get("DPoP-Nonce") != "" {
		t.Error("a nonce where no token is asked for")
	}
}

// Proxies that ask say which request it is about.
func TestDecisionsAboutBoundTokens(t *testing.T) {
	issuer, h := sdktest.Start(t), newHolder(t)
	g, err := assemble(t, `
listeners: [{name: a, address: "127.0.0.1:0", serves: authorization}]
bound_tokens: {client_cert_from: [192.0.2.1]}
issuers: {main: {url: `+issuer.URL()+`, client_id: `+issuer.ClientID()+`, client_secret: `+issuer.ClientSecret()+`, sender_constrained: required}}
routes: [{name: r, match: {prefix: /items}, authentication: jwt, audience: "`+api+`"}]
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: newLog(t), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	handler := edge.Wrap(http.HandlerFunc(g.Authorize))
	keyed, certified := h.mint(issuer, true), h.mint(issuer, false)
	question := func(header http.Header, peer string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "https://gateway.test/authorize", nil)
		r.RemoteAddr = peer
		r.Header = header
		for name, value := range map[string]string{"Method": "PUT", "Uri": "/items/7?q=1", "Host": "api.test", "Proto": "https"} {
			r.Header["X-Forwarded-"+name] = []string{value}
		}
		return r
	}
	withCert := bearing(certified)
	withCert["Client-Cert"] = []string{clientCert(h)}
	over := question(bearing(certified), "192.0.2.9:1")
	over.TLS.PeerCertificates = []*x509.Certificate{h.certificate.Leaf}
	for _, tt := range []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"D01", question(h.header("PUT", "https://api.test/items/7", keyed, ""), "192.0.2.9:1"), 200},
		{"D05: for the question", question(h.header("GET", "https://gateway.test/authorize", keyed, ""), "192.0.2.9:1"), 401},
		{"B01: from the proxy", question(withCert, "192.0.2.1:1"), 200},
		{"attack 31: from another", question(withCert.Clone(), "192.0.2.9:1"), 401},
		{"attack 31: the proxy's own certificate", over, 401},
		{"a plain token", question(bearing(issuer.Mint(sdktest.Claims{Audience: []string{api}})), "192.0.2.1:1"), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, tt.r)
			if recorder.Code != tt.status {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
		})
	}
}

func TestMistakesAboutBoundTokens(t *testing.T) {
	short := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for section, says := range map[string]string{
		"client_cert_from: [proxy.test]":        "bound_tokens.client_cert_from",
		"dpop_nonce_key_file: " + short:         "bound_tokens.dpop_nonce_key_file",
		"dpop_nonce_key_file: " + short + ".no": "bound_tokens.dpop_nonce_key_file",
		"redis: \"http://127.0.0.1\"":           "bound_tokens.redis",
		"redis_file: " + short + ".no":          "bound_tokens.redis",
	} {
		_, err := assemble(t, "bound_tokens: {"+section+"}\nroutes: [{name: r, match: {prefix: /}, authentication: none, pool: echo}]\n", nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", section, err)
		}
	}
	_, err := assemble(t, "routes: [{name: r, match: {prefix: /}, authentication: none, sender_constrained: required, pool: echo}]\n", nil)
	if err == nil || !strings.Contains(err.Error(), "sender_constrained") {
		t.Error(err)
	}
}

// Gateways that share a Redis take a proof once among them.
func TestGatewaysShareUsedProofs(t *testing.T) {
	redis, issuer, h := testbed.Redis(t), sdktest.Start(t), newHolder(t)
	one, other := startBoundAt(t, issuer, "redis: \""+redis.URL()+"\"", "127.0.0.1/32"), startBoundAt(t, issuer, "redis: \""+redis.URL()+"\"", "127.0.0.1/32")
	header := h.header("GET", "https://api.test/orders/7", h.mint(issuer, true), "")
	header["X-Forwarded-Proto"], header["X-Forwarded-Host"] = []string{"https"}, []string{"api.test"}
	if a := one.send("/orders/7", header, nil); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	if a := other.send("/orders/7", header, nil); a.status != 401 || !strings.Contains(a.body, "used before") {
		t.Errorf("D09: at the other gateway: %d %s", a.status, a.body)
	}
}

// A changed document has verifiers be made anew, which must not forget what was used.
func TestAReloadForgetsNoProof(t *testing.T) {
	issuer, h := sdktest.Start(t), newHolder(t)
	upstream := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(upstream.Close)
	document := func(from string) string {
		return "bound_tokens: {client_cert_from: [" + from + "]}\nissuers: {main: {url: " + issuer.URL() + ", client_id: " + issuer.ClientID() + ", client_secret: " + issuer.ClientSecret() + "}}\n" +
			"pools: {p: {targets: [{url: \"" + upstream.URL + "\"}], health: {disabled: true}}}\n" +
			"routes: [{name: r, match: {prefix: /}, authentication: jwt, audience: \"" + api + "\", pool: p}]"
	}
	p := run(t, document("192.0.2.1"))
	header := h.header("GET", p.url, h.mint(issuer, true), "")
	if status, text, err := fetch(p.url, header); status != 200 {
		t.Fatal(status, text, err)
	}
	p.change(t, document("192.0.2.2"), "configuration reloaded")
	if status, text, err := fetch(p.url, header); status != 401 || !strings.Contains(text, "used before") {
		t.Errorf("D09: %d %s %v", status, text, err)
	}
	if status, text, err := fetch(p.url, h.header("GET", p.url, h.mint(issuer, true), "")); status != 200 {
		t.Errorf("a new one: %d %s %v", status, text, err)
	}
}
