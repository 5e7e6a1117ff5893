package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// prove is a good DPoP proof for the token endpoint but for the changes.
func (k *testKey) prove(t *testing.T, header, claims members) string {
	t.Helper()
	jwk := k.jwk(t).with(members{"kid": nil})
	good := members{"htm": "POST", "htu": sharedIssuer + tokenPath, "iat": inSeconds(0), "jti": rand.Text()}
	return k.sign(t, members{"typ": "dpop+jwt", "alg": k.alg, "jwk": jwk}.with(header).json(t), good.with(claims).json(t))
}

// newProof is a proof by a key of its own.
func newProof(t *testing.T, header, claims members) string {
	t.Helper()
	return newTestKey(t, "").prove(t, header, claims)
}

func (k *testKey) thumbprint(t *testing.T) string {
	t.Helper()
	public, err := jose.FromPublic(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public.Thumbprint()
}

func dpop(proofs ...string) http.Header { return http.Header{"Dpop": proofs} }

// proofs is D01 to D12 at the token endpoint.
func (w *strong) proofs(t *testing.T) {
	ask := func(t *testing.T, audience string, header http.Header) answer {
		t.Helper()
		return w.send(t, shot{to: w.one.URL, header: join(basic(w.Caller), header), form: asking(audience, "read")})
	}
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		t.Run("D01 I13 "+audience, func(t *testing.T) {
			key := newTestKey(t, "")
			got := ask(t, audience, dpop(key.prove(t, nil, nil)))
			w.expect(t, got, http.StatusOK, "")
			found := introspect(t, w.other.URL, w.Server, got.Text("access_token"))
			cnf, _ := found.JSON["cnf"].(map[string]any)
			if got.Text("token_type") != "DPoP" || found.JSON["token_type"] != "DPoP" || cnf["jkt"] != key.thumbprint(t) || len(cnf) != 1 {
				t.Errorf("got %s, introspection says %s", got.Body, found.Body)
			}
		})
	}
	t.Run("D02", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.one.URL, header: basic(w.dpopOnly)}), http.StatusBadRequest, "invalid_dpop_proof")
		w.expect(t, w.send(t, shot{to: w.one.URL, header: join(basic(w.dpopOnly), dpop(newProof(t, nil, nil)))}), http.StatusOK, "")
	})
	private := members{"kty": "EC", "crv": "P-256", "d": "AAAA"}
	for _, tt := range []struct {
		name           string
		header, claims members
		good           bool
	}{
		{name: "D03", claims: members{"htu": "https://other.test.internal" + tokenPath}},
		{name: "D03 another endpoint", claims: members{"htu": sharedIssuer + introspectPath}},
		{name: "D03 where it came to", claims: members{"htu": w.one.URL + tokenPath}},
		{name: "D03 no htu", claims: members{"htu": nil}},
		{name: "D04", claims: members{"htu": "HTTPS://ISSUER.test.internal:443" + tokenPath}, good: true},
		{name: "D04 query and fragment", claims: members{"htu": sharedIssuer + tokenPath + "?a=b#c"}, good: true},
		{name: "D05", claims: members{"htm": "GET"}},
		{name: "D05 case", claims: members{"htm": "post"}},
		{name: "D06", header: members{"typ": "JWT"}},
		{name: "D06 no typ", header: members{"typ": nil}},
		{name: "D07 old", claims: members{"iat": inSeconds(-600)}},
		{name: "D07 future", claims: members{"iat": inSeconds(600)}},
		{name: "D07 none", claims: members{"iat": nil}},
		{name: "D08", claims: members{"jti": nil}},
		{name: "D10", header: members{"jwk": private}},
		{name: "D11 no jwk", header: members{"jwk": nil}},
		{name: "attack 8", header: members{"crit": []string{"x"}, "x": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ask(t, jwtAPI, dpop(newProof(t, tt.header, tt.claims))); tt.good {
				w.expect(t, got, http.StatusOK, "")
			} else {
				w.expect(t, got, http.StatusBadRequest, "invalid_dpop_proof")
			}
		})
	}
	key := newTestKey(t, "")
	good := key.prove(t, nil, nil)
	signed, signature := cutLast(good)
	_, claims, _ := strings.Cut(signed, ".")
	withKey := func(alg string) string {
		return base64url(members{"typ": "dpop+jwt", "alg": alg, "jwk": key.jwk(t)}.json(t)) + "." + claims + "."
	}
	for name, header := range map[string]http.Header{
		"D11 none": dpop(withKey("none")), "D11 HS256": dpop(withKey("HS256") + signature), "another key": dpop(withKey("ES256") + base64url(make([]byte, 64))),
		"D12": dpop(good, newProof(t, nil, nil)), "D12 the same": dpop(good, good), "D12 a list": dpop(good + ", " + good), "D12 with an empty one": dpop("", good),
		"empty": dpop(""), "an assertion": dpop(w.bySet.key.assertion(t, w.bySet.ID, nil, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			w.expect(t, ask(t, jwtAPI, header), http.StatusBadRequest, "invalid_dpop_proof")
		})
	}
	t.Run("D09", func(t *testing.T) {
		w.expect(t, ask(t, jwtAPI, dpop(good)), http.StatusOK, "")
		w.expect(t, ask(t, jwtAPI, dpop(good)), http.StatusBadRequest, "invalid_dpop_proof")
		w.expect(t, ask(t, opaqueAPI, dpop(good)), http.StatusBadRequest, "invalid_dpop_proof")
	})
	t.Run("who is not authenticated hears nothing of proofs", func(t *testing.T) {
		w.refused(t, w.send(t, shot{to: w.one.URL, header: join(basic(credential{w.Caller.ID, w.Stranger.Secret}), dpop("x"))}))
	})
	t.Run("at the second address", func(t *testing.T) {
		for htu, status := range map[string]int{w.mtls: http.StatusOK, sharedIssuer: http.StatusBadRequest} {
			got := w.send(t, shot{to: w.mtls, header: join(basic(w.Caller), dpop(newProof(t, nil, members{"htu": htu + tokenPath})))})
			if got.Status != status {
				t.Errorf("%s: %d %s", htu, got.Status, got.Body)
			}
		}
	})
}

// nonces is D13, D14 and, across instances, D09.
func (w *strong) nonces(t *testing.T) {
	ask := func(t *testing.T, s *serverProcess, text string) answer {
		t.Helper()
		return w.send(t, shot{to: s.URL, header: join(basic(w.Caller), dpop(text))})
	}
	first := ask(t, w.other, newProof(t, nil, nil))
	nonce := first.Header.Get("DPoP-Nonce")
	t.Run("D13", func(t *testing.T) {
		w.expect(t, first, http.StatusBadRequest, "use_dpop_nonce")
		if nonce == "" || !strings.Contains(first.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("header %v", first.Header)
		}
		w.expect(t, ask(t, w.other, newProof(t, nil, members{"nonce": nonce})), http.StatusOK, "")
	})
	t.Run("D13 nonces of another instance", func(t *testing.T) {
		w.expect(t, ask(t, w.one, newProof(t, nil, members{"nonce": nonce})), http.StatusOK, "")
		ones := ask(t, w.one, newProof(t, nil, nil)).Header.Get("DPoP-Nonce")
		w.expect(t, ask(t, w.other, newProof(t, nil, members{"nonce": ones})), http.StatusOK, "")
	})
	t.Run("D07 a nonce waives the iat", func(t *testing.T) {
		w.expect(t, ask(t, w.other, newProof(t, nil, members{"nonce": nonce, "iat": inSeconds(-3600)})), http.StatusOK, "")
	})
	t.Run("D14", func(t *testing.T) {
		strange, err := proof.NewNonces([]byte(rand.Text() + rand.Text()))
		if err != nil {
			t.Fatal(err)
		}
		own := w.nonceKey(t)
		for name, bad := range map[string]string{
			"made up": "x", "of another server": strange.Issue(time.Now()), "old": own.Issue(time.Now().Add(-time.Hour)), "of tomorrow": own.Issue(time.Now().Add(24 * time.Hour)),
		} {
			for _, s := range w.both() {
				got := ask(t, s, newProof(t, nil, members{"nonce": bad}))
				w.expect(t, got, http.StatusBadRequest, "use_dpop_nonce")
				if fresh := got.Header.Get("DPoP-Nonce"); fresh == "" || fresh == bad {
					t.Errorf("%s: the new nonce is %q", name, fresh)
				}
			}
		}
	})
	t.Run("D09 across instances", func(t *testing.T) {
		for i, s := range w.both() {
			used := newProof(t, nil, members{"nonce": nonce})
			w.expect(t, ask(t, s, used), http.StatusOK, "")
			w.expect(t, ask(t, w.both()[1-i], used), http.StatusBadRequest, "invalid_dpop_proof")
		}
	})
	t.Run("D13 without a proof there is no nonce", func(t *testing.T) {
		if got := w.send(t, shot{to: w.other.URL, header: basic(w.Caller)}); got.Status != http.StatusOK || got.Header.Get("DPoP-Nonce") != "" {
			t.Errorf("%d %v", got.Status, got.Header)
		}
	})
}

// nonceKey is what the instances make their nonces by.
func (w *strong) nonceKey(t *testing.T) *proof.Nonces {
	t.Helper()
	var opened map[uint32][]byte
	err := w.Registry.Store.View(t.Context(), func(tx auth.Tx) error {
		sealed, err := tx.Keys().SealedKeys(t.Context())
		if err == nil {
			opened, err = keys.OpenSealed(sealed, auth.PurposeNonce, w.Registry.Master)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	nonces, err := proof.NewNonces(opened[1])
	if err != nil {
		t.Fatal(err)
	}
	return nonces
}

// boundToKeys is attacks 29 and 30, and what D15 to D19 ask of a resource, at the endpoints that take access tokens.
func (w *strong) boundToKeys(t *testing.T) {
	key := newTestKey(t, "")
	got := w.send(t, shot{to: w.one.URL, header: join(basic(w.dpopOnly), dpop(key.prove(t, nil, nil))), form: asking(auth.ServerAPI, "")})
	w.expect(t, got, http.StatusOK, "")
	presented := got.Text("access_token")
	ask := func(t *testing.T, scheme, token string, proofs ...string) answer {
		t.Helper()
		header := http.Header{"Authorization": {scheme + " " + token}}
		if len(proofs) > 0 {
			header["Dpop"] = proofs
		}
		return w.send(t, shot{to: w.one.URL, path: introspectPath, header: header, form: url.Values{"token": {"x"}}})
	}
	its := members{"htu": sharedIssuer + introspectPath, "ath": hashOf(presented)}
	good := key.prove(t, nil, its)
	if got := ask(t, "DPoP", presented, good); got.Status != http.StatusOK {
		t.Errorf("a good proof: %d %s", got.Status, got.Body)
	}
	bearer := token(t, w.other.URL, w.Operator, asking(auth.ServerAPI, ""))
	for name, got := range map[string]answer{
		"D16 attack 30":        ask(t, "Bearer", presented),
		"D16 with a proof":     ask(t, "Bearer", presented, key.prove(t, nil, its)),
		"D17":                  ask(t, "DPoP", presented, newProof(t, nil, its)),
		"D18":                  ask(t, "DPoP", bearer, key.prove(t, nil, its.with(members{"ath": hashOf(bearer)}))),
		"D15 no ath":           ask(t, "DPoP", presented, key.prove(t, nil, its.with(members{"ath": nil}))),
		"D15 another ath":      ask(t, "DPoP", presented, key.prove(t, nil, its.with(members{"ath": hashOf(bearer)}))),
		"attack 29 replay":     ask(t, "DPoP", presented, good),
		"attack 29 htu":        ask(t, "DPoP", presented, key.prove(t, nil, its.with(members{"htu": sharedIssuer + revokePath}))),
		"attack 29 htm":        ask(t, "DPoP", presented, key.prove(t, nil, its.with(members{"htm": "GET"}))),
		"attack 29 no proof":   ask(t, "DPoP", presented),
		"attack 29 two proofs": ask(t, "DPoP", presented, key.prove(t, nil, its), key.prove(t, nil, its)),
	} {
		t.Run(name, func(t *testing.T) {
			if code := got.Text("error"); got.Status != http.StatusUnauthorized || code != "invalid_token" && code != "invalid_dpop_proof" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="`+got.Text("error")+`"`) {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
	t.Run("D13 at introspection", func(t *testing.T) {
		header := http.Header{"Authorization": {"DPoP " + presented}, "Dpop": {key.prove(t, nil, its)}}
		got := w.send(t, shot{to: w.other.URL, path: introspectPath, header: header, form: url.Values{"token": {"x"}}})
		w.expect(t, got, http.StatusUnauthorized, "use_dpop_nonce") // RFC 9449 §9
		if challenge := got.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "DPoP ") || got.Header.Get("DPoP-Nonce") == "" {
			t.Errorf("header %v", got.Header)
		}
		header["Dpop"] = []string{key.prove(t, nil, its.with(members{"nonce": got.Header.Get("DPoP-Nonce")}))}
		if got := w.send(t, shot{to: w.other.URL, path: introspectPath, header: header, form: url.Values{"token": {"x"}}}); got.Status != http.StatusOK {
			t.Errorf("with the nonce: %d %s", got.Status, got.Body)
		}
	})
	t.Run("a proof beside a secret is passed over where no token is asked for", func(t *testing.T) {
		for _, path := range []string{introspectPath, revokePath, feedPath} {
			got := w.send(t, shot{to: w.other.URL, path: path, header: join(basic(w.Server), dpop("x", "y")), form: url.Values{"token": {"x"}}})
			if got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", path, got.Status, got.Body)
			}
		}
	})
}

// hashOf is `ath`, RFC 9449 §4.2.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64url(sum[:])
}
