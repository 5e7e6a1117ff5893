package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
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
	for algorithm, parameters := range map[auth.Algorithm][]string{
		auth.ES256: {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		auth.RS256: {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		auth.PS256: {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"},
		auth.EdDSA: {"-algorithm", "ED25519"},
	} {
		text := openssl(t, append([]string{"genpkey"}, parameters...)...)
		id := w.register(t, auth.Client{
			Name: "keyed " + string(algorithm), AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: keySet(t, text), SigningAlg: algorithm},
		})
		w.keys[algorithm] = keyed{ID: id, PEM: string(text)}
	}
	w.bound = w.Client(t, "bound", []string{jwtAPI, opaqueAPI}, nil)
	err := w.Registry.Store.Update(t.Context(), func(tx auth.Tx) error {
		stored, err := tx.Clients().Client(t.Context(), clientID(t, w.bound))
		if err != nil {
			return err
		}
		stored.Proofs.DPoPBound = true
		return tx.Clients().PutClient(t.Context(), stored)
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// keySet is the JWK set of a private key's public part, which names no algorithm, as most tools write it.
func keySet(t *testing.T, pem []byte) json.RawMessage {
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
	set, err := json.Marshal(map[string]any{"keys": []any{members}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// register makes a client that may call both APIs, and returns its id.
func (w *keyedWorld) register(t *testing.T, c auth.Client) string {
	t.Helper()
	made, err := w.Registry.CreateClient(t.Context(), w.Actor, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		w.grant(t, credential{ID: made.ID.String()}, audience)
	}
	return made.ID.String()
}

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", args...)
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return printed
}

// Code that knows nothing of Countersign authenticates by keys and binds tokens by DPoP.
func TestForeignClientsWithKeys(t *testing.T) {
	w := newKeyedWorld(t)
	folder := npmInstall(t, "foreign")
	for _, nonces := range []bool{false, true} {
		t.Run(fmt.Sprintf("nonces %t", nonces), func(t *testing.T) {
			world := w.describe(startServer(t, w.Settings(fmt.Sprintf("dpop-nonce-required=%t", nonces))...).Issuer)
			world["keys"], world["nonces"], world["services"] = w.keys, nonces, map[string]string{}
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
