package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// S13, attack 33: tokens of keys that nobody has heard of make at most one request for keys.
func TestConformanceOfUnknownKeys(t *testing.T) {
	w := startWire(t)
	const flood = 1000
	w.ask(t, "GET", "/items", bearer(w.issuer.Token(api, "inventory:read"))) // has the keys fetched
	w.upstream.taken()
	before := w.issuer.Requests(sdktest.JWKSEndpoint)
	conn := w.dial(t)
	go func() {
		key := sdktest.NewKey(sdktest.ES256, "stranger")
		for n := range flood {
			token := w.issuer.Mint(sdktest.Claims{Audience: []string{api}, Key: key, Header: map[string]any{"kid": fmt.Sprint("unknown ", n)}})
			end := ""
			if n == flood-1 {
				end = "Connection: close\r\n"
			}
			_, _ = io.WriteString(conn, "GET /items HTTP/1.1\r\nHost: gateway.test\r\n"+end+bearer(token)+"\r\n\r\n")
		}
	}()
	all := answers(t, bufio.NewReader(conn))
	for _, got := range all {
		if got.status != http.StatusUnauthorized {
			t.Fatalf("%+v", got)
		}
	}
	if n := w.issuer.Requests(sdktest.JWKSEndpoint) - before; len(all) != flood || n > 1 || len(w.upstream.taken()) > 0 {
		t.Errorf("%d answers, %d requests for keys", len(all), n)
	}
}

// S14: keys that are held go on being used.
func TestConformanceWhileKeysCannotBeHad(t *testing.T) {
	w := startWire(t)
	if got := w.ask(t, "GET", "/items", bearer(w.issuer.Token(api, "inventory:read"))); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	w.issuer.Fail(sdktest.Failure{}, sdktest.JWKSEndpoint, sdktest.MetadataEndpoint)
	t.Run("S14", func(t *testing.T) {
		w.ask(t, "GET", "/items", bearer(w.issuer.Mint(sdktest.Claims{Audience: []string{api}, Key: sdktest.NewKey(sdktest.ES256, "unknown")}))) // may have keys asked for
		if got := w.ask(t, "GET", "/items", bearer(w.issuer.Token(api, "inventory:read"))); got.status != 200 {
			t.Errorf("%+v", got)
		}
	})
}

// Attack 32: keys are taken from nobody but the issuer, and in no other way than it says.
func TestConformanceOfPoisonedKeys(t *testing.T) {
	evil := sdktest.NewKey(sdktest.ES256, "evil")
	set := fmt.Sprintf(`{"keys": [{"kty": "EC", "crv": "P-256", "x": %q, "y": %q, "kid": "evil", "alg": "ES256", "use": "sig"}]}`, evil.JWK()["x"], evil.JWK()["y"])
	var asked atomic.Int64
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, set)
	}))
	t.Cleanup(attacker.Close)
	unreachable := strings.Replace(attacker.URL, "127.0.0.1", "[::ffff:192.0.2.1]", 1)
	body := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	for name, poison := range map[string]func(*sdktest.Issuer){
		"a redirect": func(i *sdktest.Issuer) {
			i.Replace(sdktest.JWKSEndpoint, http.RedirectHandler(attacker.URL, http.StatusFound))
		},
		"a redirect of the metadata": func(i *sdktest.Issuer) {
			i.Replace(sdktest.MetadataEndpoint, http.RedirectHandler(attacker.URL, http.StatusTemporaryRedirect))
		},
		"http beyond loopback": func(i *sdktest.Issuer) {
			i.Alter(sdktest.MetadataEndpoint, func(m map[string]any) { m["jwks_uri"] = unreachable })
		},
		"another issuer's metadata": func(i *sdktest.Issuer) {
			i.Alter(sdktest.MetadataEndpoint, func(m map[string]any) { m["issuer"], m["jwks_uri"] = attacker.URL, attacker.URL })
		},
		"none":      func(i *sdktest.Issuer) { i.Replace(sdktest.JWKSEndpoint, body(set)) },
		"not JSON":  func(i *sdktest.Issuer) { i.Replace(sdktest.JWKSEndpoint, body("<html>"+set)) },
		"set twice": func(i *sdktest.Issuer) { i.Replace(sdktest.JWKSEndpoint, body(set+set)) },
		"symmetric": func(i *sdktest.Issuer) {
			i.Replace(sdktest.JWKSEndpoint, body(`{"keys": [{"kty": "oct", "k": "AAAA", "kid": "evil", "alg": "ES256"}]}`))
		},
		"endless": func(i *sdktest.Issuer) {
			i.Replace(sdktest.JWKSEndpoint, body(`{"keys": [`+strings.Repeat(" ", 8<<20)+set+`]}`))
		},
	} {
		t.Run("attack 32 "+name, func(t *testing.T) {
			t.Parallel() // each waits for keys in vain
			issuer := sdktest.Start(t)
			poison(issuer)
			w := startWireOf(t, issuer, guarded, nil)
			forged := bearer(issuer.Mint(sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}, Key: evil}))
			got := w.ask(t, "GET", "/items", forged)
			if name == "none" {
				if got.status != http.StatusOK {
					t.Errorf("the key is of no use anyway: %+v", got)
				}
				return
			}
			if got.status != http.StatusServiceUnavailable && got.status != http.StatusUnauthorized || len(w.upstream.taken()) > 0 {
				t.Errorf("%+v", got)
			}
			if asked.Load() > 0 {
				t.Error("the attacker was asked for keys")
			}
		})
	}
}
