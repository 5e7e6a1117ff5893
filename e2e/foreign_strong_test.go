package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
)

// keyedWorld is a foreignWorld with clients that have keys, which OpenSSL made, in place of secrets.
type keyedWorld struct {
	*foreignWorld

	keys  map[auth.Algorithm]keyed
	bound credential // its tokens are bound by DPoP
}

// keyed is a client with a key.
type keyed struct {
	ID  string `json:"id"`
	PEM string `json:"pem"` // PKCS #8
}

func newKeyedWorld(t *testing.T) *keyedWorld {
	t.Helper()
	w := &keyedWorld{foreignWorld: newForeignWorld(t), keys: map[auth.Algorithm]keyed{}}
	o := w.office(t)
	for algorithm, parameters := range map[auth.Algorithm][]string{
		auth.ES256: {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		auth.RS256: {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		auth.PS256: {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"},
		auth.EdDSA: {"-algorithm", "ED25519"},
	} {
		text := openssl(t, append([]string{"genpkey"}, parameters...)...)
		id := w.register(o, map[string]any{
			"name": "keyed " + string(algorithm), "token_endpoint_auth_method": "private_key_jwt", "jwks": keySet(t, text), "token_endpoint_auth_signing_alg": algorithm,
		})
		w.keys[algorithm] = keyed{ID: id, PEM: string(text)}
	}
	w.bound = w.Client(t, "bound", []string{jwtAPI, opaqueAPI}, nil)
	o.call(http.StatusOK, http.MethodPatch, "/clients/"+w.bound.ID, `{"dpop_bound_access_tokens":true}`, "Content-Type", "application/merge-patch+json", "If-Match", "*")
	return w
}

// office administers the world, by a server of its own.
func (w *foreignWorld) office(t *testing.T) *office {
	t.Helper()
	made, err := seed.Client(t.Context(), w.Registry, seed.Admin())
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, w.Settings()...)
	return &office{T: t, base: s.AdminURL + "/admin/v1", token: adminToken(t, s.Issuer, credential{ID: made.ID.String(), Secret: made.Secret.Reveal()})}
}

// register makes a client, by its metadata of RFC 7591, that may call both APIs. It returns the client's id.
func (w *foreignWorld) register(o *office, metadata map[string]any) string {
	o.Helper()
	text, err := json.Marshal(metadata)
	if err != nil {
		o.Fatal(err)
	}
	id := o.call(http.StatusCreated, http.MethodPost, "/clients", string(text)).Text("client_id")
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		w.grant(o.T, credential{ID: id}, audience)
	}
	return id
}

// services are the addresses, by audience, of services that take bound tokens, and answer with the client's id.
func (w *keyedWorld) services(t *testing.T, issuer string, nonces bool) map[string]string {
	t.Helper()
	var options []sdk.VerifierOption
	if nonces {
		options = append(options, sdk.WithDPoPNonces([]byte("a key that all instances of it share")))
	}
	addresses := map[string]string{}
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		verifier := newSDKVerifier(t, issuer, audience, w.Server, options...)
		server := httptest.NewServer(verifier.HandlerFunc(sdk.RequireScope("read"), func(rw http.ResponseWriter, r *http.Request) {
			caller, _ := sdk.FromContext(r.Context())
			_, _ = io.WriteString(rw, caller.ClientID())
		}))
		t.Cleanup(server.Close)
		addresses[audience] = server.URL + "/items?of=all"
	}
	return addresses
}

// keySet is the JWK set of a private key's public part, which names no algorithm, as most tools write it, and of its certificates (x5c).
func keySet(t *testing.T, pem []byte, certificates ...string) json.RawMessage {
	t.Helper()
	key, err := proof.ParseKey(pem, proof.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(key.PublicJWK(), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "alg")
	if len(certificates) > 0 {
		members["x5c"] = certificates
	}
	set, err := json.Marshal(map[string]any{"keys": []any{members}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Code that knows nothing of Countersign authenticates by keys and binds tokens by DPoP.
func TestForeignClientsWithKeys(t *testing.T) {
	w := newKeyedWorld(t)
	folder := testbed.NPMInstall(t, "foreign")
	for _, nonces := range []bool{false, true} {
		t.Run(fmt.Sprintf("nonces %t", nonces), func(t *testing.T) {
			issuer := startServer(t, w.Settings(fmt.Sprintf("dpop-nonce-required=%t", nonces))...).Issuer
			world := w.describe(issuer)
			world["keys"], world["nonces"], world["services"] = w.keys, nonces, w.services(t, issuer, nonces)
			world["bound"] = map[string]string{"id": w.bound.ID, "secret": w.bound.Secret}
			for _, library := range []string{"oauth4webapi", "openid-client", "jose"} {
				t.Run(library, func(t *testing.T) {
					script := exec.CommandContext(t.Context(), "node", "strong-"+library+".mjs")
					script.Dir = folder
					runScript(t, script, world)
				})
			}
			if !nonces { // Authlib has no DPoP
				t.Run("Authlib", func(t *testing.T) { runScript(t, authlib(t, "authlib_keys.py"), world) })
			}
		})
	}
}
