package sdk_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// presentation is a token and what has to come of it.
type presentation struct {
	name   string
	claims sdktest.Claims
	alter  func(i *sdktest.Issuer, token string) string
	want   string
	policy sdk.Policy
	opts   []sdk.VerifierOption
}

func header(members map[string]any) sdktest.Claims { return sdktest.Claims{Header: members} }

func claim(name string, value any) sdktest.Claims {
	return sdktest.Claims{Members: map[string]any{name: value}}
}

// ancestor is one of a token's, with other members.
func ancestor(members map[string]any) map[string]any {
	a := map[string]any{"jti": "01tRy6czI6jAOLpZvq3hw1", "client_id": "shop", "aud": "https://orders.test", "cs_rev": 0}
	maps.Copy(a, members)
	return a
}

// now is when every bubble begins.
const now = 946684800

func checklist() []presentation {
	legacy := []sdk.VerifierOption{sdk.WithLegacyTokens()}
	return []presentation{
		{name: "a good token", want: "ok"},
		{name: "S03 expired", claims: sdktest.Claims{Lifetime: -time.Hour}, want: "401"},
		{name: "S04 bad signature", claims: sdktest.Claims{Sign: sdktest.NewKey(sdktest.ES256, "").Sign}, want: "401"},
		{name: "S05 wrong aud", claims: claim("aud", "https://other.test"), want: "401"},
		{name: "S05 aud below ours", claims: claim("aud", api+"/v1"), want: "401"},
		{name: "S05 aud above ours", claims: claim("aud", "https://api"), want: "401"},
		{name: "S05 aud in other case", claims: claim("aud", "https://API.test"), want: "401"},
		{name: "S05 aud among others", claims: claim("aud", []string{"https://other.test", api}), want: "ok"},
		{name: "S05 no aud", claims: claim("aud", nil), want: "401"},
		{name: "S05 empty list", claims: claim("aud", []string{}), want: "401"},
		{name: "S05 list with a number", claims: claim("aud", []any{api, 1}), want: "401"},
		{name: "S05 aud an object", claims: claim("aud", map[string]any{"x": api}), want: "401"},
		{name: "S06 wrong iss", claims: claim("iss", "https://evil.test"), want: "401"},
		{name: "S06 iss with a slash", claims: claim("iss", "https://issuer.test/"), want: "401"},
		{name: "S06 no iss", claims: claim("iss", nil), want: "401"},
		{name: "S07 typ JWT", claims: header(map[string]any{"typ": "JWT"}), want: "401"},
		{name: "S07 no typ", claims: header(map[string]any{"typ": nil}), want: "401"},
		{name: "S07 ID token", claims: sdktest.Claims{Header: map[string]any{"typ": "JWT"}, Members: map[string]any{"nonce": "n"}}, want: "401"},
		{name: "S07 logout token", claims: header(map[string]any{"typ": "logout+jwt"}), want: "401"},
		{name: "S07 client assertion", claims: header(map[string]any{"typ": "client-authentication+jwt"}), want: "401"},
		{name: "S07 introspection JWT", claims: header(map[string]any{"typ": "token-introspection+jwt"}), want: "401"},
		{name: "S07 legacy lets typ JWT pass", claims: header(map[string]any{"typ": "JWT"}), opts: legacy, want: "ok"},
		{name: "S07 legacy lets no typ pass", claims: header(map[string]any{"typ": nil}), opts: legacy, want: "ok"},
		{name: "S07 legacy, logout token", claims: header(map[string]any{"typ": "logout+jwt"}), opts: legacy, want: "401"},
		{name: "S07 legacy, ID token", claims: sdktest.Claims{Header: map[string]any{"typ": "JWT"}, Members: map[string]any{"at_hash": "h"}}, opts: legacy, want: "401"},
		{name: "S07 legacy, logout token of typ JWT", claims: sdktest.Claims{Header: map[string]any{"typ": "JWT"}, Members: map[string]any{"events": map[string]any{}}}, opts: legacy, want: "401"},
		{name: "S05 legacy, wrong aud", claims: claim("aud", "https://other.test"), opts: legacy, want: "401"},
		{name: "S05 legacy, no aud", claims: claim("aud", nil), opts: legacy, want: "401"},
		{name: "S08 has the scope", claims: sdktest.Claims{Scopes: []string{"a", "b"}}, policy: sdk.RequireScope("b", "a"), want: "ok"},
		{name: "S08 lacks one", claims: sdktest.Claims{Scopes: []string{"a", "b"}}, policy: sdk.RequireScope("a", "c"), want: "403"},
		{name: "S08 one of several", claims: sdktest.Claims{Scopes: []string{"b"}}, policy: sdk.RequireAnyScope("a", "b"), want: "ok"},
		{name: "S08 none of several", claims: sdktest.Claims{Scopes: []string{"c"}}, policy: sdk.RequireAnyScope("a", "b"), want: "403"},
		{name: "S08 a scope's beginning", claims: sdktest.Claims{Scopes: []string{"inventory"}}, policy: sdk.RequireScope("inventory:read"), want: "403"},
		{name: "S17 exp a string", claims: claim("exp", "946688400"), want: "401"},
		{name: "S18 no exp", claims: claim("exp", nil), want: "401"},
		{name: "J01 typ in other case", claims: header(map[string]any{"typ": "AT+JWT"}), want: "ok"},
		{name: "J01 typ in full", claims: header(map[string]any{"typ": "application/at+jwt"}), want: "ok"},
		{name: "J01 typ of another tree", claims: header(map[string]any{"typ": "text/at+jwt"}), want: "401"},
		{name: "J02 no sub", claims: claim("sub", nil), want: "401"},
		{name: "J02 no client_id", claims: claim("client_id", nil), want: "401"},
		{name: "J02 no iat", claims: claim("iat", nil), want: "401"},
		{name: "J02 no jti", claims: claim("jti", nil), want: "401"},
		{name: "J02 empty jti", claims: claim("jti", ""), want: "401"},
		{name: "J02 jti a number", claims: claim("jti", 7), want: "401"},
		{name: "J02 legacy, no jti and iat", claims: sdktest.Claims{Members: map[string]any{"jti": nil, "iat": nil}}, opts: legacy, want: "ok"},
		{name: "J02 legacy, client_id from azp", claims: sdktest.Claims{Members: map[string]any{"client_id": nil, "azp": "x"}}, opts: legacy, want: "ok"},
		{name: "J02 legacy, nobody named", claims: sdktest.Claims{Members: map[string]any{"client_id": nil, "sub": nil}}, opts: legacy, want: "401"},
		{name: "ancestors", claims: claim("cs_anc", []any{ancestor(nil)}), want: "ok"},
		{name: "ancestors with what nobody knows", claims: claim("cs_anc", []any{ancestor(map[string]any{"x": 1})}), want: "ok"},
		{name: "eight ancestors", claims: claim("cs_anc", slices.Repeat([]any{ancestor(nil)}, 8)), want: "ok"},
		{name: "nine ancestors", claims: claim("cs_anc", slices.Repeat([]any{ancestor(nil)}, 9)), want: "401"},
		{name: "an empty list of ancestors", claims: claim("cs_anc", []any{}), want: "401"},
		{name: "an ancestor that is no list", claims: claim("cs_anc", ancestor(nil)), want: "401"},
		{name: "an ancestor that is text", claims: claim("cs_anc", []any{"x"}), want: "401"},
		{name: "an ancestor without jti", claims: claim("cs_anc", []any{ancestor(map[string]any{"jti": ""})}), want: "401"},
		{name: "an ancestor without client_id", claims: claim("cs_anc", []any{ancestor(map[string]any{"client_id": ""})}), want: "401"},
		{name: "an ancestor without aud", claims: claim("cs_anc", []any{ancestor(map[string]any{"aud": []string{}})}), want: "401"},
		{name: "an ancestor with a revision below zero", claims: claim("cs_anc", []any{ancestor(map[string]any{"cs_rev": -1})}), want: "401"},
		{name: "an ancestor whose secret is a number", claims: claim("cs_anc", []any{ancestor(map[string]any{"cs_sec": 1})}), want: "401"},
		{name: "J03 sub is another than the client", claims: sdktest.Claims{Subject: "alice"}, want: "ok"},
		{name: "J06 scope a list", claims: claim("scope", []string{"a"}), want: "401"},
		{name: "J06 scope a number", claims: claim("scope", 1), want: "401"},
		{name: "cs_rev negative", claims: claim("cs_rev", -1), want: "401"},
		{name: "cs_rev a fraction", claims: claim("cs_rev", 1.5), want: "401"},
		{name: "cs_rev too large", claims: claim("cs_rev", json.Number("18446744073709551616")), want: "401"},
		{name: "act a string", claims: claim("act", "x"), want: "401"},
		{name: "act without end", claims: claim("act", json.RawMessage(strings.Repeat(`{"act":`, 40)+"{}"+strings.Repeat("}", 40))), want: "401"},
		{name: "claims with text after them", claims: sdktest.Claims{RawPayload: []byte(`{"iss":"https://issuer.test"} {}`)}, want: "401"},
		{name: "claims that are a list", claims: sdktest.Claims{RawPayload: []byte(`[]`)}, want: "401"},
		{name: "no claims", claims: sdktest.Claims{RawPayload: []byte(`{}`)}, want: "401"},
		{name: "WithAlgorithms, another", opts: []sdk.VerifierOption{sdk.WithAlgorithms("RS256", "PS256")}, want: "401"},
		{name: "WithAlgorithms, this one", opts: []sdk.VerifierOption{sdk.WithAlgorithms("ES256")}, want: "ok"},
	}
}

// forged returns the token with another header, signed by sign.
func forged(members string, sign func(input []byte) []byte) sdktest.Claims {
	return sdktest.Claims{RawHeader: []byte(members), Sign: sign}
}

func hs256(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

func nothing([]byte) []byte { return nil }

// attacks are those of the forty that concern verification.
func attacks(i *sdktest.Issuer) []presentation {
	id, public := i.Key().ID(), i.Key().Public()
	der, _ := x509.MarshalPKIXPublicKey(public)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	mine := sdktest.NewKey(sdktest.ES256, "mine")
	point, _ := mine.Public().(*ecdsa.PublicKey)
	raw, _ := point.Bytes() // 4, x, y
	jwk := `{"kty":"EC","crv":"P-256","x":"` + encoded(raw[1:33]) + `","y":"` + encoded(raw[33:]) + `"}`
	named := func(alg string) string { return `{"typ":"at+jwt","alg":"` + alg + `","kid":"` + id + `"}` }
	with := func(member string) string {
		return `{"typ":"at+jwt","alg":"ES256","kid":"` + id + `",` + member + `}`
	}
	return []presentation{
		{name: "attack 1: none", claims: forged(named("none"), nothing), want: "401"},
		{name: "attack 1: none, with a signature", claims: forged(named("none"), i.Key().Sign), want: "401"},
		{name: "attack 1: none, without a last dot", claims: forged(named("none"), nothing), alter: trimDot, want: "401"},
		{name: "attack 2: HS256 by PEM", claims: forged(named("HS256"), hs256(text)), want: "401"},
		{name: "attack 2: HS256 by DER", claims: forged(named("HS256"), hs256(der)), want: "401"},
		{name: "attack 3: nOnE", claims: forged(named("nOnE"), nothing), want: "401"},
		{name: "attack 3: hs256", claims: forged(named("hs256"), hs256(text)), want: "401"},
		{name: "attack 3: es256", claims: forged(named("es256"), i.Key().Sign), want: "401"},
		{name: "attack 3: another algorithm of the key's kind", claims: forged(named("ES384"), i.Key().Sign), want: "401"},
		{name: "attack 4: kid a path", claims: header(map[string]any{"kid": "../../../../dev/null"}), want: "401"},
		{name: "attack 4: kid SQL", claims: header(map[string]any{"kid": "' OR 1=1 --"}), want: "401"},
		{name: "attack 4: kid an object", claims: header(map[string]any{"kid": map[string]any{}}), want: "401"},
		{name: "attack 5: jku", claims: forged(with(`"jku":"https://evil.test/jwks"`), mine.Sign), want: "401"},
		{name: "attack 5: x5u", claims: forged(with(`"x5u":"https://evil.test/x5u"`), mine.Sign), want: "401"},
		{name: "attack 6: jwk", claims: forged(with(`"jwk":`+jwk), mine.Sign), want: "401"},
		{name: "attack 6: jwk and its kid", claims: forged(`{"typ":"at+jwt","alg":"ES256","kid":"mine","jwk":`+jwk+`}`, mine.Sign), want: "401"},
		{name: "attack 6: x5c", claims: forged(with(`"x5c":["`+base64.StdEncoding.EncodeToString(der)+`"]`), mine.Sign), want: "401"},
		{name: "attack 7: b64 and crit", claims: forged(with(`"b64":false,"crit":["b64"]`), i.Key().Sign), want: "401"},
		{name: "attack 7: b64 alone", claims: forged(with(`"b64":true`), i.Key().Sign), want: "401"},
		{name: "attack 8: unknown crit", claims: forged(with(`"crit":["x"],"x":1`), i.Key().Sign), want: "401"},
		{name: "attack 8: empty crit", claims: forged(with(`"crit":[]`), i.Key().Sign), want: "401"},
		{name: "attack 9: JWE", alter: jwe, want: "401"},
		{name: "attack 10: zip", claims: forged(with(`"zip":"DEF"`), i.Key().Sign), want: "401"},
		{name: "attack 11: r and s zero", claims: sdktest.Claims{Sign: func([]byte) []byte { return make([]byte, 64) }}, want: "401"},
		{name: "attack 11: r and s the order", claims: sdktest.Claims{Sign: orderTwice(point)}, want: "401"},
		{name: "attack 12: DER", claims: sdktest.Claims{Sign: asDER(i.Key())}, want: "401"},
		{name: "attack 12: a zero in front", claims: sdktest.Claims{Sign: longer(i.Key())}, want: "401"},
		{name: "attack 13: spare bits", alter: spareBits, want: "401"},
		{name: "attack 13: padding", alter: func(_ *sdktest.Issuer, t string) string { return t + "=" }, want: "401"},
		{name: "attack 13: line end", alter: func(_ *sdktest.Issuer, t string) string { return t + "\n" }, want: "401"},
		{name: "attack 13: line end inside", alter: func(_ *sdktest.Issuer, t string) string { return t[:9] + "\r\n" + t[9:] }, want: "401"},
		{name: "attack 13: space", alter: func(_ *sdktest.Issuer, t string) string { return " " + t }, want: "401"},
		{name: "attack 13: a fourth part", alter: func(_ *sdktest.Issuer, t string) string { return t + ".e30" }, want: "401"},
		{name: "attack 13: two parts", alter: func(_ *sdktest.Issuer, t string) string { return t[:strings.LastIndexByte(t, '.')] }, want: "401"},
		{name: "attack 14: claim twice", claims: sdktest.Claims{RawPayload: twice("aud")}, want: "401"},
		{name: "attack 14: claim twice, escaped", claims: sdktest.Claims{RawPayload: twice(`\u0061ud`)}, want: "401"},
		{name: "attack 14: in a claim", claims: claim("act", json.RawMessage(`{"sub":"a","sub":"b"}`)), want: "401"},
		{name: "attack 14: header member twice", claims: forged(with(`"alg":"ES256"`), i.Key().Sign), want: "401"},
		{name: "attack 14: name in other case", claims: sdktest.Claims{Members: map[string]any{"iss": nil, "ISS": i.URL()}}, want: "401"},
		{name: "attack 17: ID token", claims: header(map[string]any{"typ": "JWT"}), want: "401"},
		{name: "attack 17: assertion", claims: header(map[string]any{"typ": "client-authentication+jwt"}), want: "401"},
		{name: "attack 17: introspection JWT", claims: header(map[string]any{"typ": "token-introspection+jwt"}), want: "401"},
		{name: "attack 30: bound to a DPoP key", claims: claim("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), want: "401"},
		{name: "attack 30: bound to a certificate", claims: claim("cnf", map[string]any{"x5t#S256": "x"}), want: "401"},
		{name: "attack 30: bound to nothing", claims: claim("cnf", json.RawMessage("null")), want: "401"},
		{name: "attack 36: CRLF and SQL", alter: func(*sdktest.Issuer, string) string { return "x'; DROP TABLE\r\nX: y" }, want: "401"},
		{name: "too long", alter: func(*sdktest.Issuer, string) string { return strings.Repeat("a", 16<<10+1) }, want: "401"},
		{name: "nothing", alter: func(*sdktest.Issuer, string) string { return "" }, want: "401"},
		{name: "dots", alter: func(*sdktest.Issuer, string) string { return ".." }, want: "401"},
	}
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func trimDot(_ *sdktest.Issuer, token string) string { return strings.TrimSuffix(token, ".") }

// jwe makes a token whose decryption would take long.
func jwe(*sdktest.Issuer, string) string {
	return encoded([]byte(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":1000000000,"p2s":"AAAA","zip":"DEF"}`)) + ".AAAA.AAAA.AAAA.AAAA"
}

// spareBits sets one of the bits of the signature's last character that do not count.
func spareBits(_ *sdktest.Issuer, token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

func asDER(k *sdktest.Key) func([]byte) []byte {
	return func(input []byte) []byte {
		raw := k.Sign(input)
		der, _ := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
		return der
	}
}

func longer(k *sdktest.Key) func([]byte) []byte {
	return func(input []byte) []byte {
		raw := k.Sign(input)
		return slices.Concat([]byte{0}, raw[:32], []byte{0}, raw[32:])
	}
}

func orderTwice(k *ecdsa.PublicKey) func([]byte) []byte {
	return func([]byte) []byte {
		order := k.Params().N.Bytes()
		return slices.Concat(order, order)
	}
}

func twice(name string) []byte {
	return []byte(`{"iss":"https://issuer.test","sub":"c","client_id":"c","jti":"j","iat":946684800,"exp":946688400,"aud":"` + api + `","` + name + `":"` + api + `"}`)
}

func (p *presentation) try(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, p.opts...)
		token := s.issuer.Mint(p.claims)
		if p.alter != nil {
			token = p.alter(s.issuer, token)
		}
		s.expect(t, "first", p.want, token, p.policy)
		s.expect(t, "again", p.want, token, p.policy)
		s.expect(t, "strict", p.want, token, p.policy.Strict())
	})
}

func TestChecklist(t *testing.T) {
	for _, p := range checklist() {
		t.Run(p.name, p.try)
	}
}

// No attack has any effect, nor makes the verifier ask anybody but its issuer.
func TestAttacks(t *testing.T) {
	names := len(attacks(sdktest.New()))
	for at := range names {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			p := attacks(s.issuer)[at]
			token := s.issuer.Mint(p.claims)
			if p.alter != nil {
				token = p.alter(s.issuer, token)
			}
			s.expect(t, "before", "ok", s.issuer.Token(api), sdk.Policy{})
			s.expect(t, p.name, p.want, token, p.policy)
			s.expect(t, p.name+", again", p.want, token, p.policy.Strict())
			s.expect(t, "after", "ok", s.issuer.Token(api), sdk.Policy{})
			if n := s.issuer.Requests(sdktest.Elsewhere) + s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 0 {
				t.Errorf("%s: %d requests that nothing calls for", p.name, n)
			}
		})
	}
}

// An ECDSA signature has a twin, so a token has two texts: taking back one takes back the other (attack 12).
func TestRevocationIsByTokenID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		token := s.issuer.Token(api)
		twin := twinOf(t, token)
		s.expect(t, "token", "ok", token, sdk.Policy{})
		s.expect(t, "twin", "ok", twin, sdk.Policy{})
		s.issuer.Revoke(token)
		time.Sleep(time.Second)
		s.expect(t, "token", "401", token, sdk.Policy{})
		s.expect(t, "twin", "401", twin, sdk.Policy{})
	})
}

// twinOf returns the token with signature (r, n−s) in place of (r, s).
func twinOf(t *testing.T, token string) string {
	t.Helper()
	end := strings.LastIndexByte(token, '.') + 1
	raw, err := base64.RawURLEncoding.DecodeString(token[end:])
	if err != nil {
		t.Fatal(err)
	}
	key, _ := sdktest.NewKey(sdktest.ES256, "").Public().(*ecdsa.PublicKey)
	new(big.Int).Sub(key.Params().N, new(big.Int).SetBytes(raw[32:])).FillBytes(raw[32:])
	return token[:end] + encoded(raw)
}

// numbers are what NumericDates may be like (S16, S17, S19; RFC 7519 §2), with a leeway of a minute.
func TestNumbers(t *testing.T) {
	number := func(text string) json.Number { return json.Number(text) }
	for _, tt := range []struct {
		name, claim string
		value       any
		want        string
	}{
		{"S16 exp at the end of the leeway", "exp", now - 60, "401"},
		{"S16 exp a second before it", "exp", now - 59, "ok"},
		{"S17 exp a moment before it", "exp", number("946684740.001"), "ok"},
		{"S17 exp with a fraction of nothing", "exp", number("946688400.0"), "ok"},
		{"S17 exp with exponent", "exp", number("9.466884e8"), "ok"},
		{"S17 exp in the year 9999", "exp", 253402300799, "ok"},
		{"S17 exp beyond", "exp", 253402300800, "401"},
		{"S17 exp more than 64 bits", "exp", number("18446744073709551616"), "401"},
		{"S17 exp 1e308", "exp", number("1e308"), "401"},
		{"S17 exp 1e309", "exp", number("1e309"), "401"},
		{"S17 exp many digits", "exp", number(strings.Repeat("9", 4000)), "401"},
		{"S17 exp negative", "exp", -1, "401"},
		{"S17 exp minus huge", "exp", number("-1e300"), "401"},
		{"S17 exp minus zero", "exp", number("-0"), "401"},
		{"S17 exp zero", "exp", 0, "401"},
		{"S17 exp tiny", "exp", number("1e-400"), "401"},
		{"S17 exp true", "exp", true, "401"},
		{"S17 exp null", "exp", json.RawMessage("null"), "401"},
		{"S17 exp a list", "exp", []int{now + 60}, "401"},
		{"S19 nbf at the end of the leeway", "nbf", now + 60, "ok"},
		{"S19 nbf beyond", "nbf", number("946684860.001"), "401"},
		{"S19 nbf past", "nbf", 1, "ok"},
		{"S19 nbf a string", "nbf", "1", "401"},
		{"S19 nbf 1e300", "nbf", number("1e300"), "401"},
		{"S19 nbf negative", "nbf", -5, "401"},
		{"iat at the end of the leeway", "iat", now + 60, "ok"},
		{"iat beyond", "iat", now + 61, "401"},
		{"iat a string", "iat", "946684800", "401"},
	} {
		t.Run(tt.name, (&presentation{claims: claim(tt.claim, tt.value), want: tt.want}).try)
	}
	for _, text := range []string{"NaN", "Infinity", "-Infinity", "0x3b9aca00", "1_000", "+946688400", "946688400.", ".5", "00946688400", "1e", "--1"} {
		raw := strings.Replace(string(twice("x")), "946688400", text, 1)
		t.Run("S17 exp "+text, (&presentation{claims: sdktest.Claims{RawPayload: []byte(raw)}, want: "401"}).try)
	}
	t.Run("S17 the same with a number", (&presentation{claims: sdktest.Claims{RawPayload: twice("x")}, want: "ok"}).try)
}

// The last moment of a token is the same whether it was seen before or not, and whether it is asked for in time or not.
func TestLeeway(t *testing.T) {
	for _, leeway := range []time.Duration{0, time.Minute, 5 * time.Minute} {
		for _, seen := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, sdk.WithLeeway(leeway))
				token := s.issuer.Mint(sdktest.Claims{Lifetime: 10 * time.Minute})
				if seen {
					s.expect(t, "young", "ok", token, sdk.Policy{})
				}
				time.Sleep(10*time.Minute + leeway - time.Nanosecond)
				s.expect(t, "last moment", "ok", token, sdk.Policy{Mode: sdk.Strict})
				if n := s.Describe().Tokens; n.Signatures != 1 {
					t.Errorf("%d signatures checked for one token", n.Signatures)
				}
				time.Sleep(time.Nanosecond)
				s.expect(t, "afterwards", "401", token, sdk.Policy{})
				s.expect(t, "afterwards, strict", "401", token, sdk.Policy{Mode: sdk.Strict})
			})
		}
	}
}
