package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// newPEM makes a private key as OpenSSL writes it.
func newPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// strongWorld is an issuer that knows a client by a key and by a foreign token, and the files for both.
type strongWorld struct {
	*testing.T
	issuer *sdktest.Issuer
	dir    string
	key    *proof.Key
}

func newStrongWorld(t *testing.T, opts ...sdktest.Option) *strongWorld {
	t.Helper()
	w := &strongWorld{T: t, issuer: sdktest.Start(t, opts...), dir: t.TempDir()}
	private := newPEM(t)
	w.write("key.pem", private)
	w.write("secret", w.issuer.ClientSecret()+"\n")
	var err error
	if w.key, err = proof.ParseKey([]byte(private), proof.KeyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.issuer.AddKey(w.issuer.ClientID(), w.key.PublicJWK())
	foreign := sdktest.New(sdktest.WithURL("https://cluster.test"))
	jwk, err := json.Marshal(foreign.Key().JWK())
	if err != nil {
		t.Fatal(err)
	}
	w.issuer.AddWorkload(w.issuer.ClientID(), foreign.URL(), "orders", jwk)
	w.write("jwt", foreign.Mint(sdktest.Claims{Subject: "orders", Audience: []string{w.issuer.URL()}}))
	return w
}

func (w *strongWorld) file(name string) string { return filepath.Join(w.dir, name) }

func (w *strongWorld) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(w.file(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// get runs `token get` for the client; FILE: stands before names of files.
func (w *strongWorld) get(flags string) result {
	w.Helper()
	args := append([]string{"token", "get", "--issuer", w.issuer.URL(), "--client-id", w.issuer.ClientID()}, strings.Fields(flags)...)
	for n := range args {
		if name, ok := strings.CutPrefix(args[n], "FILE:"); ok {
			args[n] = w.file(name)
		}
	}
	return run(w.T, call{args: args})
}

func TestTokenGetWithoutASecret(t *testing.T) {
	w := newStrongWorld(t, sdktest.WithDPoPNonces())
	for name, tt := range map[string]struct {
		flags string
		kind  string // of the assertion
		bound bool
	}{
		"key":              {flags: "--key-file FILE:key.pem", kind: "jwt-bearer"},
		"key, bound":       {flags: "--key-file FILE:key.pem --dpop-key-file FILE:key.pem", kind: "jwt-bearer", bound: true},
		"assertion":        {flags: "--assertion-file FILE:jwt", kind: "jwt-bearer"},
		"SPIFFE":           {flags: "--assertion-file FILE:jwt --assertion-type jwt-spiffe", kind: "jwt-spiffe"},
		"secret, bound":    {flags: "--client-secret-file FILE:secret --dpop-key-file FILE:key.pem", bound: true},
		"in a body, bound": {flags: "--client-secret-file FILE:secret --auth-method client_secret_post --dpop-key-file FILE:key.pem", bound: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.get(tt.flags + " --resource https://api.test --scope read")
			signed, err := jose.Parse(strings.TrimSpace(got.out))
			if got.code != 0 || err != nil {
				t.Fatalf("%+v", got)
			}
			if bound := strings.Contains(string(signed.Payload), w.key.Thumbprint()); bound != tt.bound {
				t.Errorf("says %s", signed.Payload)
			}
			log := w.issuer.Log(sdktest.TokenEndpoint)
			form := log[len(log)-1].Form
			if kind := strings.TrimPrefix(form.Get("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:"); kind != tt.kind || form.Get("scope") != "read" {
				t.Errorf("sent %v", form)
			}
			got = w.get(tt.flags + " -o json")
			var answer map[string]any
			if err := json.Unmarshal([]byte(got.out), &answer); err != nil || answer["expires_in"] != 3600.0 || answer["access_token"] == "" {
				t.Errorf("%v: %+v", err, got)
			}
		})
	}
}

func TestTokenGetRefuses(t *testing.T) {
	w := newStrongWorld(t)
	other, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w.write("jwk", string(other.PublicJWK()))
	for flags, tt := range map[string]struct {
		code int
		says string
	}{
		"": {cli.ExitUsage, "the secret of client"},
		"--key-file FILE:key.pem --assertion-file FILE:jwt":                          {cli.ExitUsage, "--key-file and --assertion-file exclude each other"},
		"--key-file FILE:key.pem --client-secret-file FILE:secret":                   {cli.ExitUsage, "exclude each other"},
		"--client-cert FILE:key.pem":                                                 {cli.ExitUsage, "--client-cert and --client-key go together"},
		"--client-cert FILE:none --client-key FILE:key.pem":                          {cli.ExitUsage, "no such file"},
		"--key-file FILE:key.pem --assertion-type jwt-spiffe":                        {cli.ExitUsage, "--assertion-type goes with --assertion-file"},
		"--key-file FILE:none":                                                       {cli.ExitUsage, "no such file"},
		"--key-file FILE:jwk":                                                        {cli.ExitUsage, "it is a public key"},
		"--key-file FILE:key.pem --dpop-key-file FILE:secret":                        {cli.ExitUsage, "neither a PEM block nor a JWK"},
		"--assertion-file FILE:secret":                                               {cli.ExitUsage, "is no JWT"},
		"--assertion-file FILE:jwt --issuer http://auth.example":                     {cli.ExitUsage, "issuer is"},
		"--assertion-file FILE:jwt --issuer http://127.0.0.1:1 --request-timeout 1s": {cli.ExitUnavailable, "gives no token"},
	} {
		if got := w.get(flags); got.code != tt.code || !strings.Contains(got.errors, tt.says) || got.out != "" {
			t.Errorf("%s: %+v", flags, got)
		}
	}
	if n := w.issuer.Requests(sdktest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests", n)
	}
	w.issuer.Fail(sdktest.Failure{Status: http.StatusUnauthorized}, sdktest.TokenEndpoint)
	if got := w.get("--key-file FILE:key.pem"); got.code != cli.ExitNotAllowed || !strings.Contains(got.errors, "invalid_client") || !strings.Contains(got.errors, "audit failures") {
		t.Errorf("%+v", got)
	}
}

func TestTokenProof(t *testing.T) {
	w := newStrongWorld(t)
	key := w.file("key.pem")
	got := run(t, call{stdin: "abc\n", args: []string{"token", "proof", "GET", "https://api.test/x?y", "--dpop-key-file", key, "--nonce", "n"}})
	given, err := proof.ReadDPoP([]string{strings.TrimSpace(got.out)}, "GET", "https://api.test/x")
	if err != nil || given.Nonce != "n" || given.Covers("abc") != nil || given.Thumbprint != w.key.Thumbprint() {
		t.Errorf("%v: %+v", err, got)
	}
	for _, tt := range []struct {
		stdin, says string
		args        []string
	}{
		{"abc", "--dpop-key-file is missing", []string{"GET", "https://api.test/x"}},
		{"abc", "allowed is an absolute", []string{"GET", "/x", "--dpop-key-file", key}},
		{"\n", "is empty", []string{"GET", "https://api.test/x", "--dpop-key-file", key}},
		{"abc", "no such file", []string{"GET", "https://api.test/x", "--dpop-key-file", w.file("none")}},
	} {
		got := run(t, call{stdin: tt.stdin, args: append([]string{"token", "proof"}, tt.args...)})
		if got.code != cli.ExitUsage || !strings.Contains(got.errors, tt.says) {
			t.Errorf("%v: %+v", tt.args, got)
		}
	}
}
