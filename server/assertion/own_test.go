package assertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
)

// newOwn returns a client of private_key_jwt, its key, and the claims of a good assertion.
func newOwn(t testing.TB) (*world, signer, members) {
	t.Helper()
	w, key := newWorld(t, auth.PrivateKeyJWT), newSigner(t, "k1")
	w.client.Proofs.JWKS = set(key.jwk(t, nil))
	return w, key, members{
		"iss": w.id(), "sub": w.id(), "aud": issuer, "jti": "a1", "exp": start().Add(time.Minute).Unix(), "iat": start().Unix(),
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	at := func(d time.Duration) float64 { return float64(start().Add(d).UnixMilli()) / 1000 }
	attacker := newSigner(t, "k1")
	for _, tt := range []struct {
		name           string
		header, claims members
		reason, detail string
	}{
		{name: "A17 aud is the issuer"},
		{name: "A18 aud is an array of the issuer", claims: members{"aud": []string{issuer}}},
		{name: "A19 aud is the token endpoint", claims: members{"aud": issuer + "/oauth2/token"}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "A19 aud is the issuer with a slash", claims: members{"aud": issuer + "/"}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "A20 aud has a stranger", claims: members{"aud": []string{issuer, "https://other.example"}}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "A20 aud is the issuer twice", claims: members{"aud": []string{issuer, issuer}}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "attack 16: aud of another server", claims: members{"aud": "https://other.example"}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "no aud", claims: members{"aud": nil}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "aud is empty", claims: members{"aud": []string{}}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "aud is a number", claims: members{"aud": 1}, reason: auth.BadAssertion, detail: "claims: aud: "},
		{name: "A21 no exp", claims: members{"exp": nil}, reason: auth.BadAssertion, detail: "exp: "},
		{name: "exp is text", claims: members{"exp": "1795953660"}, reason: auth.BadAssertion, detail: "claims: exp: "},
		{name: "exp is negative", claims: members{"exp": -1}, reason: auth.BadAssertion, detail: "claims: exp: "},
		{name: "exp is huge", claims: members{"exp": json.Number("1e300")}, reason: auth.BadAssertion, detail: "claims: exp: "},
		{name: "exp is 0", claims: members{"exp": 0}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "exp has a fraction", claims: members{"exp": at(1500 * time.Millisecond)}},
		{name: "A22 exp is past", claims: members{"exp": at(-61 * time.Second)}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "A22 exp is past to the leeway", claims: members{"exp": at(-60 * time.Second)}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "exp is past within the leeway", claims: members{"exp": at(-59 * time.Second)}},
		{name: "A23 exp beyond an hour", claims: members{"exp": at(2 * time.Hour)}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "exp in an hour", claims: members{"exp": at(time.Hour)}},
		{name: "A24 nbf in an hour", claims: members{"nbf": at(time.Hour)}, reason: auth.ExpiredAssertion, detail: "nbf: "},
		{name: "nbf within the leeway", claims: members{"nbf": at(30 * time.Second)}},
		{name: "A25 iat 5 s ahead", claims: members{"iat": at(5 * time.Second)}},
		{name: "A26 iat 90 s ahead", claims: members{"iat": at(90 * time.Second)}, reason: auth.ExpiredAssertion, detail: "iat: "},
		{name: "iat two hours ago", claims: members{"iat": at(-2 * time.Hour)}, reason: auth.ExpiredAssertion, detail: "iat: "},
		{name: "no iat", claims: members{"iat": nil}},
		{name: "A27 no jti", claims: members{"jti": nil}, reason: auth.BadAssertion, detail: "jti: "},
		{name: "A27 jti is empty", claims: members{"jti": ""}, reason: auth.BadAssertion, detail: "jti: "},
		{name: "jti is too long", claims: members{"jti": strings.Repeat("a", 257)}, reason: auth.BadAssertion, detail: "jti: "},
		{name: "jti is as long as may be", claims: members{"jti": strings.Repeat("a", 256)}},
		{name: "jti is a number", claims: members{"jti": 1}, reason: auth.BadAssertion, detail: "claims: jti: "},
		{name: "A31 iss is not sub", claims: members{"iss": "https://issuer.example"}, reason: auth.BadAssertion, detail: "iss: "},
		{name: "A31 no iss", claims: members{"iss": nil}, reason: auth.BadAssertion, detail: "iss: "},
		{name: "A32 sub is another client", claims: members{"sub": auth.NewClientID(start()).String()}, reason: auth.BadAssertion, detail: "sub: "},
		{name: "no sub", claims: members{"sub": nil}, reason: auth.BadAssertion, detail: "sub: "},
		{name: "iss and sub are another client", claims: members{"iss": "cl_x", "sub": "cl_x"}, reason: auth.BadAssertion, detail: "iss: "},
		{name: "A37 crit", header: members{"crit": []string{"x"}, "x": 1}, reason: auth.BadAssertion, detail: "malformed token: header"},
		{name: "attack 7: b64", header: members{"crit": []string{"b64"}, "b64": false}, reason: auth.BadAssertion, detail: "malformed token: header"},
		{name: "A38 embedded jwk", header: members{"jwk": attacker.jwk(t, nil)}, reason: auth.BadAssertion, detail: "jwk: "},
		{name: "A38 embedded x5c", header: members{"x5c": []string{"MIIB"}}, reason: auth.BadAssertion, detail: "x5c: "},
		{name: "A39 jku", header: members{"jku": "https://attacker.example/jwks"}, reason: auth.BadAssertion, detail: "jku: "},
		{name: "A39 x5u", header: members{"x5u": "https://attacker.example/cert"}, reason: auth.BadAssertion, detail: "x5u: "},
		{name: "x5t is no address", header: members{"x5t": "e30", "x5t#S256": "e30"}},
		{name: "A40 kid is a path", header: members{"kid": "../../../dev/null"}, reason: auth.BadAssertion, detail: "kid: "},
		{name: "A40 kid is SQL", header: members{"kid": "' OR '1'='1"}, reason: auth.BadAssertion, detail: "kid: "},
		{name: "kid is no text", header: members{"kid": 1}, reason: auth.BadAssertion, detail: "malformed token"},
		{name: "no kid, one key", header: members{"kid": nil}},
		{name: "typ JWT", header: members{"typ": "JWT"}},
		{name: "typ client-authentication+jwt", header: members{"typ": "client-authentication+jwt"}},
		{name: "typ as a whole media type in other case", header: members{"typ": "application/Client-Authentication+JWT"}},
		{name: "attack 18: access token", header: members{"typ": "at+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "attack 18: access token, whole media type", header: members{"typ": "application/at+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "attack 17: DPoP proof", header: members{"typ": "dpop+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "attack 17: answer of introspection", header: members{"typ": "token-introspection+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "attack 17: logout token", header: members{"typ": "logout+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "typ of SPIFFE", header: members{"typ": "JOSE"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "more claims", claims: members{"scope": "admin", "client_id": "x", "n": members{"a": []any{1, nil}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, key, good := newOwn(t)
			w.judge(auth.JWTBearer, key.sign(t, tt.header, good.with(tt.claims)), tt.reason, tt.detail)
		})
	}
}

// Who has not the client's key gets nowhere by what he writes into the header.
func TestPrivateKeyJWTByAttackers(t *testing.T) {
	w, key, good := newOwn(t)
	attacker := newSigner(t, "k1")
	refused := func(name, text, detail string) {
		t.Run(name, func(t *testing.T) { w.judge(auth.JWTBearer, text, auth.BadAssertion, detail) })
	}
	refused("another key under the kid", attacker.sign(t, nil, good), "the signature")
	refused("A38 embedded jwk", attacker.sign(t, members{"jwk": attacker.jwk(t, nil)}, good), "jwk: ")
	refused("A39 jku", attacker.sign(t, members{"jku": "https://attacker.example/jwks"}, good), "jku: ")
	payload := good.json(t)
	unsigned := func(header string, signature []byte) string {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(header)) + "." + encode(payload) + "." + encode(signature)
	}
	for _, none := range []string{"none", "None", "nOnE", ""} {
		refused("A34 alg "+none, unsigned(`{"alg":"`+none+`"}`, []byte("x")), "algorithm not allowed")
		refused("A34 alg "+none+" without signature", unsigned(`{"alg":"`+none+`"}`, nil), "malformed token")
	}
	der, err := x509.MarshalPKIXPublicKey(key.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"A35 the public key as PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"A35 the public key as JWK": key.jwk(t, nil),
		"A43 client_secret_jwt":     []byte("the client's secret"),
	} {
		input := unsigned(`{"alg":"HS256","kid":"k1"}`, nil)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(strings.TrimSuffix(input, ".")))
		refused(name, unsigned(`{"alg":"HS256","kid":"k1"}`, mac.Sum(nil)), "algorithm not allowed")
	}
	token := key.sign(t, nil, good)
	refused("attack 13: padding", token+"=", "malformed token")
	refused("attack 9: JWE", token+".a.b", "malformed token")
	refused("too long", strings.Repeat("a", jose.MaxToken)+token, "malformed token")
	refused("nothing", "", "malformed token")
	header := []byte(`{"alg":"ES256","kid":"k1"}`)
	body := strings.TrimSuffix(string(payload), "}")
	refused("A42 member twice", key.signText(t, header, []byte(body+`,"aud":"https://other.example"}`)), "claims: not strict JSON")
	refused("A42 member twice, escaped", key.signText(t, header, []byte(body+`,"\u0073ub":"x"}`)), "claims: not strict JSON")
	refused("A42 header member twice", key.signText(t, []byte(`{"alg":"ES256","kid":"k1","kid":"k2"}`), payload), "malformed token")
	refused("claims are no object", key.signText(t, header, []byte(`[]`)), "claims: not strict JSON")
	refused("attack 35: deep JSON", key.signText(t, header, []byte(`{"a":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+"}")), "claims: not strict JSON")
}

func TestA28ToA30ReplayKey(t *testing.T) {
	w, key, good := newOwn(t)
	use := func(w *world, text string) auth.ProofUse {
		t.Helper()
		proven, err := w.check(auth.JWTBearer, text)
		if err != nil || proven.Use == nil || proven.Issuer != nil {
			t.Fatalf("%+v, %v", proven, err)
		}
		return *proven.Use
	}
	token := key.sign(t, nil, good)
	first := use(w, token)
	if end := start().Add(3 * time.Minute); !first.Expires.Equal(end) {
		t.Errorf("remembered until %v, want %v", first.Expires, end)
	}
	w.verifier = w.newVerifier() // another node, or the same after a restart
	if use(w, token) != first {
		t.Error("A29, A30: another node has another key for it")
	}
	if use(w, highS(t, token)) != first {
		t.Error("attack 12: the other form of the signature is another assertion")
	}
	if use(w, key.sign(t, nil, good.with(members{"x": 1}))).Key != first.Key {
		t.Error("A28: the same jti in another assertion is another use")
	}
	if use(w, key.sign(t, nil, good.with(members{"jti": "a2"}))).Key == first.Key {
		t.Error("another jti is the same use")
	}
	other, otherKey, otherGood := newOwn(t)
	if use(other, otherKey.sign(t, nil, otherGood)).Key == first.Key {
		t.Error("another client's jti is the same use")
	}
	w.now = first.Expires.Add(-time.Minute) // by a clock that is a minute behind
	if _, err := w.check(auth.JWTBearer, token); err == nil {
		t.Error("it is accepted when it is no longer remembered")
	}
}

// highS returns the token with the other signature that is as good, (r, n−s).
func highS(t *testing.T, token string) string {
	t.Helper()
	at := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[at:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:]))
	s.FillBytes(signature[32:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAlgorithms(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modular, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	bigger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		key        crypto.Signer
		alg        jose.Algorithm
		registered auth.Algorithm
		detail     string // empty: accepted
	}{
		{name: "ES256", key: newSigner(t, "").key, alg: jose.ES256},
		{name: "ES256, registered", key: newSigner(t, "").key, alg: jose.ES256, registered: auth.ES256},
		{name: "RS256", key: modular, alg: jose.RS256},
		{name: "PS256", key: modular, alg: jose.PS256},
		{name: "EdDSA", key: edwards, alg: jose.EdDSA},
		{name: "EdDSA by its other name", key: edwards, alg: jose.Ed25519, registered: auth.EdDSA},
		{name: "A36 RS256 where PS256 is registered", key: modular, alg: jose.RS256, registered: auth.PS256, detail: "alg: the client is registered for PS256"},
		{name: "A36 EdDSA where ES256 is registered", key: edwards, alg: jose.EdDSA, registered: auth.ES256, detail: "alg: the client is registered for ES256"},
		{name: "RS512", key: modular, alg: jose.RS512, detail: "alg: allowed are"},
		{name: "ES384", key: bigger, alg: jose.ES384, detail: "alg: allowed are"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _, good := newOwn(t)
			key := signer{tt.key, tt.alg, "k2"}
			w.client.Proofs.JWKS, w.client.Proofs.SigningAlg = set(key.jwk(t, nil)), tt.registered
			reason := ""
			if tt.detail != "" {
				reason = auth.BadAssertion
			}
			w.judge(auth.JWTBearer, key.sign(t, nil, good), reason, tt.detail)
		})
	}
}

// What the SDK makes is accepted.
func TestAssertionOfTheSDK(t *testing.T) {
	w := newWorld(t, auth.PrivateKeyJWT)
	w.now = time.Now()
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
		key, err := proof.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		w.client.Proofs.JWKS = set(key.PublicJWK())
		text, err := key.Assertion(w.id(), issuer)
		if err != nil {
			t.Fatal(err)
		}
		w.judge(auth.JWTBearer, text, "", "")
	}
}

func TestA33OtherType(t *testing.T) {
	w, key, good := newOwn(t)
	token := key.sign(t, nil, good)
	for _, kind := range []string{auth.SPIFFEBearer, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"} {
		w.judge(kind, token, auth.WrongMethod, "client_assertion_type: ")
	}
	for _, method := range []auth.Method{auth.SecretBasic, auth.TLSClientAuth, auth.SPIFFEX509} {
		w.client.AuthMethod = method
		w.judge(auth.JWTBearer, token, auth.WrongMethod, "client_assertion_type: ")
	}
}

func TestUnknownClient(t *testing.T) {
	w, key, good := newOwn(t)
	for _, text := range []string{key.sign(t, nil, good), key.sign(t, members{"typ": "at+jwt"}, good), "x"} {
		_, err := w.verifier.Check(t.Context(), nil, auth.PresentedAssertion(auth.JWTBearer, text))
		refusal, ok := errors.AsType[*auth.Refusal](err)
		if !ok || *refusal != (auth.Refusal{Reason: auth.UnknownClient}) {
			t.Errorf("got %v", err)
		}
	}
}

// The shortest of many times tells what has to be done at least, and the check of a signature takes thirty times as long as all else.
// They are taken in turns, so that all have the same good and bad moments of the machine.
func TestAttack21UnknownClientTakesAsLong(t *testing.T) {
	w, key, good := newOwn(t)
	known := &auth.ClientRecord{Client: w.client}
	kinds := []struct {
		name   string
		record *auth.ClientRecord
		text   string
		least  time.Duration
	}{
		{name: "wrong signature", record: known, text: newSigner(t, "k1").sign(t, nil, good)},
		{name: "unknown client", text: key.sign(t, nil, good)},
		{name: "unknown key", record: known, text: key.sign(t, members{"kid": "k2"}, good)},
		{name: "wrong audience", record: known, text: key.sign(t, nil, good.with(members{"aud": "x"}))},
	}
	for round := range 200 {
		for i := range kinds {
			kind := &kinds[i]
			began := time.Now()
			_, err := w.verifier.Check(t.Context(), kind.record, auth.PresentedAssertion(auth.JWTBearer, kind.text))
			if took := time.Since(began); round == 0 || took < kind.least {
				kind.least = took
			}
			if _, refused := errors.AsType[*auth.Refusal](err); !refused {
				t.Fatalf("%s: %v", kind.name, err)
			}
		}
	}
	for _, kind := range kinds[1:] {
		if usual := kinds[0].least; kind.least < usual/3 || kind.least > 3*usual {
			t.Errorf("%s: %v, and %v for a %s", kind.name, kind.least, usual, kinds[0].name)
		}
	}
}

func TestClientOf(t *testing.T) {
	w, key, good := newOwn(t)
	for _, tt := range []struct{ name, kind, text, want string }{
		{"its own", auth.JWTBearer, key.sign(t, nil, good), w.id()},
		{"of an issuer", auth.JWTBearer, key.sign(t, nil, good.with(members{"iss": "https://issuer.example"})), ""},
		{"neither", auth.JWTBearer, key.sign(t, nil, good.with(members{"iss": nil, "sub": nil})), ""},
		{"JWT-SVID", auth.SPIFFEBearer, key.sign(t, nil, good), ""},
		{"malformed", auth.JWTBearer, "x", ""},
	} {
		if got := w.verifier.ClientOf(auth.PresentedAssertion(tt.kind, tt.text)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// No keys is no verdict.
func TestKeysUnavailable(t *testing.T) {
	w, key, good := newOwn(t)
	w.keys = keysFunc(func(string) (*jose.Key, error) { return nil, jwks.ErrUnavailable })
	w.verifier = w.newVerifier()
	_, err := w.check(auth.JWTBearer, key.sign(t, nil, good))
	if !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.InvalidClient) {
		t.Errorf("got %v", err)
	}
	if _, refused := errors.AsType[*auth.Refusal](err); refused {
		t.Errorf("a verdict: %v", err)
	}
	// What is wrong without any key is refused without asking for one.
	w.keys = keysFunc(func(string) (*jose.Key, error) { t.Error("asked for a key"); return nil, jwks.ErrUnavailable })
	w.verifier = w.newVerifier()
	w.judge(auth.JWTBearer, key.sign(t, nil, good.with(members{"aud": "https://other.example"})), auth.WrongAudience, "aud: ")
}
