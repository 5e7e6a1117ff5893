package e2e

import (
	"bytes"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
)

// assertions is A17 to A33 by what who has the key may write.
func (w *strong) assertions(t *testing.T) {
	c := w.bySet
	for _, tt := range []struct {
		name           string
		header, claims members
		refused        bool
	}{
		{name: "A17"},
		{name: "A18", claims: members{"aud": []string{sharedIssuer}}},
		{name: "A19", claims: members{"aud": sharedIssuer + tokenPath}, refused: true},
		{name: "A20", claims: members{"aud": []string{sharedIssuer, "https://other.test.internal"}}, refused: true},
		{name: "attack 16", claims: members{"aud": "https://other.test.internal"}, refused: true},
		{name: "A21", claims: members{"exp": nil}, refused: true},
		{name: "A22", claims: members{"exp": inSeconds(-90)}, refused: true},
		{name: "A23", claims: members{"exp": inSeconds(2 * 3600)}, refused: true},
		{name: "A24", claims: members{"nbf": inSeconds(3600)}, refused: true},
		{name: "A25", claims: members{"iat": inSeconds(5)}},
		{name: "A26", claims: members{"iat": inSeconds(90)}, refused: true},
		{name: "A27", claims: members{"jti": nil}, refused: true},
		{name: "A31", claims: members{"iss": "https://other.test.internal"}, refused: true},
		{name: "A31 sub", claims: members{"sub": w.Caller.ID}, refused: true},
		{name: "A31 nobody's", claims: members{"iss": "cl_x", "sub": "cl_x"}, refused: true},
		{name: "A37", header: members{"crit": []string{"x"}, "x": 1}, refused: true},
		{name: "attack 7", header: members{"crit": []string{"b64"}, "b64": false}, refused: true},
		{name: "A39 jku", header: members{"jku": w.keys.URL + "/stolen"}, refused: true},
		{name: "A39 x5u", header: members{"x5u": w.keys.URL + "/stolen"}, refused: true},
		{name: "A40 path", header: members{"kid": "../../../../dev/null"}, refused: true},
		{name: "A40 SQL", header: members{"kid": "k1' OR '1'='1"}, refused: true},
		{name: "attack 17 introspection", header: members{"typ": "token-introspection+jwt"}, refused: true},
		{name: "attack 18", header: members{"typ": "at+jwt"}, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.send(t, shot{to: w.one.URL, form: asserted(c.key.assertion(t, c.ID, tt.header, tt.claims))})
			if tt.refused {
				w.refused(t, got)
				return
			}
			w.expect(t, got, http.StatusOK, "")
		})
	}
	if asked := w.keys.times("/stolen"); asked != 0 {
		t.Errorf("A39: %d questions", asked)
	}
	t.Run("A32", func(t *testing.T) {
		for id, refused := range map[string]bool{c.ID: false, w.byPS256.ID: true, w.Caller.ID: true, auth.NewClientID(time.Now()).String(): true, "x": true} {
			form := asserted(c.key.assertion(t, c.ID, nil, nil))
			form.Set("client_id", id)
			if got := w.send(t, shot{to: w.one.URL, form: form}); refused {
				w.refused(t, got)
			} else {
				w.expect(t, got, http.StatusOK, "")
			}
		}
	})
	t.Run("A33", func(t *testing.T) {
		for _, kind := range []string{"", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", strings.ToUpper(auth.JWTBearer)} {
			form := asserted(c.key.assertion(t, c.ID, nil, nil))
			form.Set("client_assertion_type", kind)
			w.expect(t, w.send(t, shot{to: w.one.URL, form: form}), http.StatusBadRequest, "invalid_request")
		}
		form := asserted(c.key.assertion(t, c.ID, nil, nil))
		form.Set("client_assertion_type", auth.SPIFFEBearer) // which is not the client's method
		form.Set("client_id", c.ID)
		w.refused(t, w.send(t, shot{to: w.one.URL, form: form}))
	})
	t.Run("A36", func(t *testing.T) {
		ps256 := w.byPS256
		w.expect(t, w.send(t, shot{to: w.one.URL, form: asserted(ps256.key.assertion(t, ps256.ID, nil, nil))}), http.StatusOK, "")
		for _, other := range []*testKey{{ps256.key.Signer, jose.RS256, "k2"}, c.key} {
			w.refused(t, w.send(t, shot{to: w.one.URL, form: asserted(other.assertion(t, ps256.ID, nil, nil))}))
		}
	})
	t.Run("A41", func(t *testing.T) {
		form := asserted(c.key.assertion(t, c.ID, nil, nil))
		form.Add("client_assertion", c.key.assertion(t, c.ID, nil, nil))
		w.expect(t, w.send(t, shot{to: w.one.URL, form: form}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("A43", func(t *testing.T) {
		form := asserted(hmacOf(t, w.Caller.Secret, members{"alg": "HS256"}, w.Caller.ID))
		w.refused(t, w.send(t, shot{to: w.one.URL, form: form}))
	})
	t.Run("A14 the method is the registered one", func(t *testing.T) {
		w.refused(t, w.send(t, shot{to: w.one.URL, form: asserted(c.key.assertion(t, w.Caller.ID, nil, nil))}))
		w.refused(t, w.send(t, shot{to: w.one.URL, header: basic(credential{c.ID, w.Caller.Secret})}))
	})
}

// hmacOf is an assertion of a client that is signed by HMAC, client_secret_jwt if the key is its secret.
func hmacOf(t *testing.T, key string, header members, client string) string {
	t.Helper()
	signed := base64url(header.json(t)) + "." + base64url(goodClaims(client).json(t))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + base64url(mac.Sum(nil))
}

// forgedAssertions is A34 to A42 and attacks 1 to 18 by who has not the key.
func (w *strong) forgedAssertions(t *testing.T) {
	c, attacker := w.bySet, newTestKey(t, "k1")
	public, err := x509.MarshalPKIXPublicKey(c.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	good := c.key.assertion(t, c.ID, nil, nil)
	signed, signature := cutLast(good)
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(alg string) string {
		return base64url(members{"alg": alg}.json(t)) + "." + base64url(goodClaims(c.ID).json(t)) + "."
	}
	claims := goodClaims(c.ID).json(t)
	twice := bytes.Replace(claims, []byte("{"), []byte(`{"sub":"`+c.ID+`",`), 1)
	bomb := base64url([]byte(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":1000000000,"p2s":"AAAA","zip":"DEF"}`)) + ".AAAA.AAAA.AAAA.AAAA"
	header := members{"alg": "ES256", "kid": "k1"}.json(t)
	for name, text := range map[string]string{
		"A34":                             unsigned("none"),
		"attack 3 nOnE":                   unsigned("nOnE"),
		"A35":                             hmacOf(t, publicPEM, members{"alg": "HS256", "kid": "k1"}, c.ID),
		"attack 3 hs256":                  hmacOf(t, publicPEM, members{"alg": "hs256", "kid": "k1"}, c.ID),
		"A38 jwk":                         attacker.assertion(t, c.ID, members{"jwk": attacker.jwk(t).with(members{"kid": nil})}, nil),
		"A38 x5c":                         attacker.assertion(t, c.ID, members{"x5c": []string{base64.StdEncoding.EncodeToString(public)}}, nil),
		"A39":                             attacker.assertion(t, c.ID, members{"jku": w.keys.URL + "/stolen"}, nil),
		"A42":                             c.key.sign(t, header, twice),
		"another key":                     attacker.assertion(t, c.ID, nil, nil),
		"attack 9":                        bomb,
		"attack 11":                       signed + "." + base64url(make([]byte, 64)),
		"attack 12 DER":                   signed + "." + base64url(der),
		"attack 13 padding":               good + "=",
		"attack 13 spare bits":            good[:len(good)-1] + string(nextOf(good[len(good)-1])),
		"nothing":                         "x",
		"three dots":                      "..",
		"attack 18":                       token(t, w.other.URL, w.Caller, asking(jwtAPI, "read")),
		"attack 18 the client's own":      w.send(t, shot{to: w.one.URL, form: with(asserted(c.key.assertion(t, c.ID, nil, nil)), "resource", jwtAPI)}).Text("access_token"),
		"attack 17, a DPoP proof":         newProof(t, nil, nil),
		"attack 17, signed introspection": signedBy(t, w),
	} {
		t.Run(name, func(t *testing.T) {
			form := asserted(text)
			form.Set("client_id", c.ID)
			w.refused(t, w.send(t, shot{to: w.one.URL, form: form}))
		})
	}
	if asked := w.keys.times("/stolen"); asked != 0 {
		t.Errorf("A39: %d questions", asked)
	}
	t.Run("attack 12, the twin", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.one.URL, form: asserted(good)}), http.StatusOK, "")
		s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(raw[32:]))
		twin := signed + "." + base64url(append(raw[:32:32], s.FillBytes(make([]byte, 32))...))
		w.refused(t, w.send(t, shot{to: w.one.URL, form: asserted(twin)}))
	})
	t.Run("attack 17, as an access token", func(t *testing.T) {
		assertion := c.key.assertion(t, c.ID, nil, nil)
		if active(t, w.other.URL, w.Server, assertion) {
			t.Error("introspection takes an assertion for a token")
		}
		for _, text := range []string{assertion, newProof(t, nil, nil), signedBy(t, w)} {
			got := w.send(t, shot{to: w.one.URL, path: introspectPath, form: url.Values{"token": {"x"}}, header: http.Header{"Authorization": {"Bearer " + text}}})
			w.expect(t, got, http.StatusUnauthorized, "invalid_token")
		}
	})
}

func with(form url.Values, name, value string) url.Values {
	form.Set(name, value)
	return form
}

// nextOf is the letter that differs from this one in the last bit alone.
func nextOf(letter byte) byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return letters[strings.IndexByte(letters, letter)^1]
}

// signedBy is a signed introspection answer.
func signedBy(t *testing.T, w *strong) string {
	t.Helper()
	got, err := introspectAs(t.Context(), w.other, w.Server, "x", signedAnswer)
	if err != nil || got.Status != http.StatusOK {
		t.Fatalf("%d %s, %v", got.Status, got.Body, err)
	}
	return string(got.Body)
}

// assertionsOnce is A28 and A29: wherever an assertion was used, it is used up everywhere.
func (w *strong) assertionsOnce(t *testing.T) {
	c := w.bySet
	presented := token(t, w.other.URL, w.Caller, asking(jwtAPI, "read"))
	forms := map[string]url.Values{
		tokenPath: {}, introspectPath: {"token": {presented}}, revokePath: {"token": {"x"}}, feedPath: {},
	}
	for path, form := range forms {
		t.Run("A28 A29 "+path, func(t *testing.T) {
			assertion := c.key.assertion(t, c.ID, nil, nil)
			at := func(to *serverProcess, path string, form url.Values) answer {
				all := asserted(assertion)
				maps.Copy(all, form)
				return w.send(t, shot{to: to.URL, path: path, form: all})
			}
			if got := at(w.one, path, form); got.Status != http.StatusOK {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			for again, form := range forms {
				w.refused(t, at(w.one, again, form))
				w.refused(t, at(w.other, again, form))
			}
		})
	}
	if !active(t, w.other.URL, w.Server, presented) {
		t.Error("a token was taken back by somebody who was refused")
	}
	t.Run("A28 at once", func(t *testing.T) {
		assertion := c.key.assertion(t, c.ID, nil, nil)
		const tries = 16
		answers := make(chan answer, tries)
		for i := range tries {
			go func() {
				got, _ := post(t.Context(), w.other.URL+[]string{tokenPath, introspectPath}[i%2], credential{}, with(with(asserted(assertion), "grant_type", "client_credentials"), "token", "x"))
				answers <- got
			}()
		}
		let := 0
		for range tries {
			switch got := <-answers; got.Status {
			case http.StatusOK:
				let++
			case http.StatusUnauthorized:
			default:
				t.Errorf("%d %s", got.Status, got.Body)
			}
		}
		if let != 1 {
			t.Errorf("an assertion was good for %d requests", let)
		}
	})
	t.Run("A28 refused by the token endpoint for another reason", func(t *testing.T) {
		assertion := c.key.assertion(t, c.ID, nil, nil)
		for _, scope := range []string{"nothing-of-the-kind", "nothing-of-the-kind"} { // no token, and so no use
			w.expect(t, w.send(t, shot{to: w.one.URL, form: with(asserted(assertion), "scope", scope)}), http.StatusBadRequest, "invalid_scope")
		}
		w.expect(t, w.send(t, shot{to: w.one.URL, form: asserted(assertion)}), http.StatusOK, "")
	})
}

// fetchedKeys is A17 by jwks_uri, and attacks 32 and 38.
func (w *strong) fetchedKeys(t *testing.T) {
	for _, s := range w.both() {
		t.Run("A17", func(t *testing.T) {
			w.expect(t, w.send(t, shot{to: s.URL, form: asserted(w.byURL.key.assertion(t, w.byURL.ID, nil, nil))}), http.StatusOK, "")
			w.refused(t, w.send(t, shot{to: s.URL, form: asserted(newTestKey(t, "k1").assertion(t, w.byURL.ID, nil, nil))}))
		})
	}
	t.Run("attack 33", func(t *testing.T) {
		for range 5 {
			w.refused(t, w.send(t, shot{to: w.one.URL, form: asserted(w.byURL.key.assertion(t, w.byURL.ID, members{"kid": "k9"}, nil))}))
		}
		if asked := w.keys.times("/jwks"); asked > 4 {
			t.Errorf("%d fetches by two instances", asked)
		}
	})
	t.Run("attacks 32 and 38", func(t *testing.T) {
		for name, c := range w.badKeys {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got := w.send(t, shot{to: w.one.URL, form: asserted(c.key.assertion(t, c.ID, nil, nil))})
				if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
					t.Errorf("%d %s", got.Status, got.Body)
				}
			})
		}
	})
	if asked := w.keys.times("/moved"); asked != 0 {
		t.Errorf("a redirect was followed %d times", asked)
	}
}
