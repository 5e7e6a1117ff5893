package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
)

// members are those of a JSON object. A nil one is left out.
type members map[string]any

func (m members) with(changes members) members {
	all := maps.Clone(m)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

func (m members) json(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// testKey signs whatever it is given.
type testKey struct {
	crypto.Signer

	alg jose.Algorithm
	kid string
}

func newTestKey(t *testing.T, kid string) *testKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &testKey{private, jose.ES256, kid}
}

// jwk is the public key as a client registers it.
func (k *testKey) jwk(t *testing.T) members {
	t.Helper()
	text, err := jose.PublicJWK(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	var key members
	if err := json.Unmarshal(text, &key); err != nil {
		t.Fatal(err)
	}
	return key.with(members{"kid": k.kid})
}

func setOf(t *testing.T, keys ...*testKey) json.RawMessage {
	t.Helper()
	var all []members
	for _, key := range keys {
		all = append(all, key.jwk(t))
	}
	return members{"keys": all}.json(t)
}

func (k *testKey) sign(t *testing.T, header, payload []byte) string {
	t.Helper()
	text, err := jose.Sign(k, k.alg, header, payload)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// assertion is a good client assertion of a client but for the changes.
func (k *testKey) assertion(t *testing.T, client string, header, claims members) string {
	t.Helper()
	return k.sign(t, members{"alg": k.alg, "kid": k.kid}.with(header).json(t), goodClaims(client).with(claims).json(t))
}

func goodClaims(client string) members {
	return members{"iss": client, "sub": client, "aud": sharedIssuer, "jti": rand.Text(), "exp": inSeconds(60), "iat": inSeconds(0)}
}

func inSeconds(n int64) int64 { return time.Now().Unix() + n }

// asserted is the part of a form that has an assertion.
func asserted(assertion string) url.Values {
	return url.Values{"client_assertion_type": {auth.JWTBearer}, "client_assertion": {assertion}}
}

// base64url encodes a part of a token.
func base64url(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

// keyServer publishes key sets, on https.
type keyServer struct {
	*httptest.Server

	ca string // PEM file

	mu    sync.Mutex
	set   []byte
	asked map[string]int // by path
}

func startKeyServer(t *testing.T) *keyServer {
	t.Helper()
	k := &keyServer{ca: filepath.Join(t.TempDir(), "keys.pem"), asked: map[string]int{}}
	k.Server = httptest.NewTLSServer(k)
	t.Cleanup(k.Close)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	if err := os.WriteFile(k.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked[r.URL.Path]++
	switch r.URL.Path {
	case "/jwks", "/moved":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(k.set)
	case "/redirect":
		http.Redirect(w, r, "/moved", http.StatusFound)
	case "/page":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>"))
	default:
		http.NotFound(w, r)
	}
}

// times is how often a path was asked for.
func (k *keyServer) times(path string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[path]
}

// register makes a client that may call both APIs and serves them.
func (w *strong) register(t *testing.T, name string, method auth.Method, proofs auth.Proofs) string {
	t.Helper()
	made, err := w.Registry.CreateClient(t.Context(), w.Actor, auth.Client{Name: name, AuthMethod: method, Proofs: proofs})
	if err != nil {
		t.Fatal(err)
	}
	c := credential{ID: made.ID.String()}
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		w.Grant(t, c, audience, "read", "write")
		if _, err := w.Registry.SetServer(t.Context(), w.Actor, w.API(t, audience).ID, made.ID, true); err != nil {
			t.Fatal(err)
		}
	}
	return c.ID
}

// registerKeys makes the clients that have keys.
func (w *strong) registerKeys(t *testing.T) {
	t.Helper()
	modular, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, wide := newTestKey(t, "k1"), &testKey{modular, jose.PS256, "k2"}
	set := setOf(t, curve, wide)
	w.keys.set = set
	w.bySet = keyClient{w.register(t, "keys by value", auth.PrivateKeyJWT, auth.Proofs{JWKS: set}), curve}
	w.byPS256 = keyClient{w.register(t, "keys for PS256", auth.PrivateKeyJWT, auth.Proofs{JWKS: set, SigningAlg: auth.PS256}), wide}
	w.byURL = keyClient{w.register(t, "keys by address", auth.PrivateKeyJWT, auth.Proofs{JWKSURI: w.keys.URL + "/jwks"}), curve}
	w.badKeys = map[string]keyClient{}
	for name, address := range map[string]string{
		"a redirect": w.keys.URL + "/redirect", "a page": w.keys.URL + "/page", "nothing": w.keys.URL + "/nothing",
		"a machine inside": "https://10.0.0.1/jwks", "a machine's metadata": "https://169.254.169.254/latest/meta-data",
		"loopback by another name": "https://[::1]/jwks",
	} {
		w.badKeys[name] = keyClient{w.register(t, name, auth.PrivateKeyJWT, auth.Proofs{JWKSURI: address}), curve}
	}
	w.dpopOnly = w.Client(t, "DPoP only", []string{jwtAPI, opaqueAPI, auth.ServerAPI}, []string{jwtAPI, opaqueAPI})
	w.changeProofs(t, w.dpopOnly, func(p *auth.Proofs) { p.DPoPBound = true })
}

// changeProofs edits what a client is bound to.
func (w *strong) changeProofs(t *testing.T, c credential, edit func(*auth.Proofs)) {
	t.Helper()
	err := w.Registry.Store.Update(t.Context(), func(tx auth.Tx) error {
		stored, err := tx.Clients().Client(t.Context(), clientID(t, c))
		if err != nil {
			return err
		}
		edit(&stored.Proofs)
		return tx.Clients().PutClient(t.Context(), stored)
	})
	if err != nil {
		t.Fatal(err)
	}
}
