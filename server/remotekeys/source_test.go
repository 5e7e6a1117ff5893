package remotekeys_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/remotekeys"
)

func TestDiscovery(t *testing.T) {
	const issuer = "https://issuer.example.com/tenant"
	for _, tt := range []struct {
		name, metadata string
		found          bool
	}{
		{"good", `{"issuer":"` + issuer + `","jwks_uri":"` + url + `","x":[1]}`, true},
		{"another issuer", `{"issuer":"https://evil.example.com","jwks_uri":"` + url + `"}`, false},
		{"issuer with a slash more", `{"issuer":"` + issuer + `/","jwks_uri":"` + url + `"}`, false},
		{"no issuer", `{"jwks_uri":"` + url + `"}`, false},
		{"no jwks_uri", `{"issuer":"` + issuer + `"}`, false},
		{"jwks_uri twice", `{"issuer":"` + issuer + `","jwks_uri":"` + url + `","jwks_uri":"` + url + `"}`, false},
		{"no text", `{"issuer":"` + issuer + `","jwks_uri":["` + url + `"]}`, false},
		{"HTML", `<html>`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, remotekeys.Config{}, func(w *world) {
				w.internet.set(issuer+"/.well-known/openid-configuration", tt.metadata)
				w.internet.set(url, document("a"))
				want := jwks.ErrUnavailable
				if tt.found {
					want = nil
				}
				w.expect(remotekeys.Source{Kind: remotekeys.Discovery, URL: issuer}, "a", want)
				if asked := w.internet.count(url) > 0; asked != tt.found {
					t.Errorf("key set asked for: %v", asked)
				}
			})
		})
	}
}

func TestBundle(t *testing.T) {
	bundle := `{"spiffe_sequence":1,"spiffe_refresh_hint":300,"keys":[` + strings.Join([]string{
		key("jwt", `"use":"jwt-svid",`), key("x509", `"use":"x509-svid","x5c":["MIIB"],`), key("sig", `"use":"sig",`), key("none", ""),
		key("", `"use":"jwt-svid",`), key("with \\\"quotes", `"use":"jwt-svid","a\"b":{"c":[1]},`),
	}, ",") + `]}`
	for _, source := range []remotekeys.Source{{Kind: remotekeys.Bundle, URL: url}, {Kind: remotekeys.Bundle, Inline: bundle}} {
		inBubble(t, remotekeys.Config{}, func(w *world) {
			w.internet.set(url, bundle)
			w.expect(source, "jwt", nil)
			w.expect(source, "with \\\"quotes", nil)
			for _, kid := range []string{"x509", "sig", "none"} {
				w.expect(source, kid, jwks.ErrUnknownKey)
			}
		})
	}
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.expect(remotekeys.Source{Kind: remotekeys.Set, Inline: bundle}, "jwt", jwks.ErrUnknownKey) // no JWK set has such a use
		for _, malformed := range []string{"{}", "[]", `{"keys":[1]}`, `{"keys":[{"use":1,"kid":"a"}]}`, bundle + "x"} {
			if err := w.find(remotekeys.Source{Kind: remotekeys.Bundle, Inline: malformed}, "jwt"); err == nil || errors.Is(err, jwks.ErrUnknownKey) {
				t.Errorf("%q: %v", malformed, err)
			}
		}
	})
}

func TestBundleSaysHowOftenItIsAskedFor(t *testing.T) {
	for hint, want := range map[string][2]int{ // fetches in an hour
		`"spiffe_refresh_hint":600,`:  {7, 9},
		`"spiffe_refresh_hint":1,`:    {70, 87},
		`"spiffe_refresh_hint":-1,`:   {14, 18},
		`"spiffe_refresh_hint":1e99,`: {14, 18},
		``:                            {14, 18},
	} {
		inBubble(t, remotekeys.Config{}, func(w *world) {
			w.internet.set(url, `{`+hint+`"keys":[`+key("a", `"use":"jwt-svid",`)+`]}`)
			w.expect(remotekeys.Source{Kind: remotekeys.Bundle, URL: url}, "a", nil)
			time.Sleep(time.Hour)
			if n := w.internet.count(url); n < want[0] || n > want[1] {
				t.Errorf("%s: asked for %d times in an hour, want %v", hint, n, want)
			}
		})
	}
}

// What metadata names is refused as what is registered.
func TestAttack38ByMetadata(t *testing.T) {
	var server *httptest.Server
	keys := "https://169.254.169.254/jwks"
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/jwks" {
			_, _ = w.Write([]byte(document("a")))
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","jwks_uri":"` + keys + `"}`))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		held, err := remotekeys.New(remotekeys.Config{Client: client})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { held.Run(ctx); close(ended) }()
		defer func() { cancel(); <-ended }()
		_, err = held.Key(t.Context(), remotekeys.Source{Kind: remotekeys.Discovery, URL: server.URL}, "a", jose.EdDSA)
		return err
	}
	for _, keys = range []string{"https://169.254.169.254/jwks", "https://10.0.0.1/jwks", "file:///etc/passwd", "http://keys.example.com/", "/jwks"} {
		if err := ask(); !errors.Is(err, jwks.ErrUnavailable) || !strings.Contains(err.Error(), "must ") {
			t.Errorf("%s: %v", keys, err)
		}
	}
	keys = server.URL + "/jwks"
	if err := ask(); err != nil {
		t.Errorf("good ones: %v", err)
	}
}
