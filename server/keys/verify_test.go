package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// forge makes a key of ours whose private part the test holds too, so that it can sign what the server never would.
type forge struct {
	row    *auth.Key
	signer crypto.Signer
}

func newForge(t testing.TB, alg auth.Algorithm) forge {
	t.Helper()
	row := generate(t, alg, start())
	identity := append([]byte("signing_key\x00"+string(alg)+"\x00"), row.ID[:]...)
	plain, err := masterKey(t, masterText).Open(row.Sealed, identity)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	return forge{row, private.(crypto.Signer)}
}

// integers returns r and s over the two segments.
func (f forge) integers(t testing.TB, header, claims string) (message string, r, s *big.Int) {
	t.Helper()
	message = encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(message))
	r, s, err := ecdsa.Sign(rand.Reader, f.signer.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return message, r, s
}

func (f forge) token(t testing.TB, header, claims string) string {
	t.Helper()
	message, r, s := f.integers(t, header, claims)
	return message + "." + encode(raw(r, s))
}

func (f forge) header() string {
	return `{"alg":"ES256","kid":"` + f.row.ID.String() + `","typ":"at+jwt"}`
}

func raw(r, s *big.Int) string {
	both := make([]byte, 64)
	r.FillBytes(both[:32])
	s.FillBytes(both[32:])
	return string(both)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func goodClaims() string {
	c := sample()
	return `{"iss":"` + issuer + `","sub":"` + c.Client.String() + `","client_id":"` + c.Client.String() +
		`","aud":"` + c.Audience + `","exp":1795179600,"iat":1795176000,"jti":"` + c.ID.String() +
		`","scope":"` + c.Scope + `","cs_rev":42,"cs_sec":"` + c.Credential.String() + `"}`
}

// TestForgeWorks proves that the forged tokens below fail for what is wrong with them.
func TestForgeWorks(t *testing.T) {
	f := newForge(t, auth.ES256)
	claims, err := newRing(t, start, f.row).Verify(f.token(t, f.header(), goodClaims()))
	if err != nil || claims.ID != sample().ID {
		t.Fatalf("Verify: %v", err)
	}
}

func refused(t *testing.T, ring *keys.Ring, token string) {
	t.Helper()
	began := time.Now()
	if claims, err := ring.Verify(token); !errors.Is(err, fault.InvalidToken) {
		t.Errorf("Verify: %+v, %v", claims, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %s", took)
	}
}

// TestHeaderAttacks are attacks 1 to 10 and 17: nothing but our own header is ever looked at.
func TestHeaderAttacks(t *testing.T) {
	f, rsaForge := newForge(t, auth.ES256), newForge(t, auth.RS256)
	ring := newRing(t, start, f.row, rsaForge.row)
	kid := f.row.ID.String()
	claims := goodClaims()
	none := func(alg string) string {
		return encode(`{"alg":"`+alg+`","kid":"`+kid+`","typ":"at+jwt"}`) + "." + encode(claims) + "."
	}
	hs := func(alg, kid string, key []byte) string {
		message := encode(`{"alg":"`+alg+`","kid":"`+kid+`","typ":"at+jwt"}`) + "." + encode(claims)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(message))
		return message + "." + encode(string(mac.Sum(nil)))
	}
	signed := func(header string) string { return f.token(t, header, claims) }
	for _, tt := range []struct{ name, token string }{
		{"1 alg none", none("none")},
		{"1 alg none under our header", encode(f.header()) + "." + encode(claims) + "."},
		{"2 HS256 keyed with the EC key", hs("HS256", kid, f.row.Public)},
		{"2 HS256 keyed with the RSA key", hs("HS256", rsaForge.row.ID.String(), rsaForge.row.Public)},
		{"3 alg nOnE", none("nOnE")},
		{"3 alg es256", signed(`{"alg":"es256","kid":"` + kid + `","typ":"at+jwt"}`)},
		{"3 alg of another key", signed(`{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt"}`)},
		{"4 kid is a path", signed(`{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`)},
		{"4 kid is SQL", signed(`{"alg":"ES256","kid":"' OR 1=1 --","typ":"at+jwt"}`)},
		{"4 no kid", signed(`{"alg":"ES256","typ":"at+jwt"}`)},
		{"4 kid of another key", f.token(t, strings.Replace(f.header(), kid, rsaForge.row.ID.String(), 1), claims)},
		{"5 jku", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt","jku":"http://127.0.0.1:1/"}`)},
		{"5 x5u", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt","x5u":"http://127.0.0.1:1/"}`)},
		{"6 jwk", signed(`{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},"kid":"` + kid + `","typ":"at+jwt"}`)},
		{"7 b64 false", signed(`{"alg":"ES256","b64":false,"crit":["b64"],"kid":"` + kid + `","typ":"at+jwt"}`)},
		{"8 crit", signed(`{"alg":"ES256","crit":["x"],"kid":"` + kid + `","typ":"at+jwt","x":1}`)},
		{"9 JWE", encode(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":1000000000}`) + ".AA.AA.AA.AA"},
		{"10 zip", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt","zip":"DEF"}`)},
		{"14 doubled header member", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt","typ":"at+jwt"}`)},
		{"17 typ JWT", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`)},
		{"17 introspection answer, with the claims of an access token", signed(`{"alg":"ES256","kid":"` + kid + `","typ":"token-introspection+jwt"}`)},
		{"17 no typ", signed(`{"alg":"ES256","kid":"` + kid + `"}`)},
		{"header with white space", signed(strings.ReplaceAll(f.header(), ",", ", "))},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, ring, tt.token) })
	}
}

// TestSignatureAttacks are attacks 11 to 13.
func TestSignatureAttacks(t *testing.T) {
	f := newForge(t, auth.ES256)
	ring := newRing(t, start, f.row)
	message, r, s := f.integers(t, f.header(), goodClaims())
	order := elliptic.P256().Params().N
	zero := big.NewInt(0)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	good := encode(raw(r, s))
	spare := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])|1])
	parts := strings.Split(message, ".")
	for _, tt := range []struct{ name, token string }{
		{"11 r and s are 0", message + "." + encode(raw(zero, zero))},
		{"11 r is 0", message + "." + encode(raw(zero, s))},
		{"11 s is 0", message + "." + encode(raw(r, zero))},
		{"11 r and s are the order", message + "." + encode(raw(order, order))},
		{"11 r and s are 1", message + "." + encode(raw(big.NewInt(1), big.NewInt(1)))},
		{"12 DER", message + "." + encode(string(der))},
		{"12 a byte more", message + "." + encode(raw(r, s)+"\x00")},
		{"12 a byte less", message + "." + encode(raw(r, s)[1:])},
		{"12 empty", message + "."},
		{"13 padded", message + "." + good + "=="},
		{"13 spare bits", message + "." + spare},
		{"13 line break", message + "." + good + "\n"},
		{"13 line break inside", message + "." + good[:10] + "\r\n" + good[10:]},
		{"13 standard alphabet", message + "." + strings.NewReplacer("-", "+", "_", "/").Replace(good+"--")},
		{"13 line break in the claims", parts[0] + "." + parts[1] + "\n." + good},
		{"13 line break in the header", parts[0] + "\n." + parts[1] + "." + good},
		{"two segments", message},
		{"four segments", message + "." + good + "."},
		{"empty", ""},
		{"dots", ".."},
		{"a header alone", parts[0]},
		{"space in front", " " + message + "." + good},
		{"too long", message + "." + good + strings.Repeat("A", auth.MaxTokenLength)},
		{"opaque", "cs_at_0000000000000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, ring, tt.token) })
	}
	t.Run("12 high s is the same token", func(t *testing.T) {
		claims, err := ring.Verify(message + "." + encode(raw(r, new(big.Int).Sub(order, s))))
		if err != nil || claims.ID != sample().ID {
			t.Fatalf("Verify: %v", err)
		}
	})
}

// TestClaimAttacks has claims signed by our own key that our own code cannot have written, attack 14 among them.
func TestClaimAttacks(t *testing.T) {
	f := newForge(t, auth.ES256)
	ring := newRing(t, start, f.row)
	good := goodClaims()
	replace := func(old, fresh string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the claims", old)
		}
		return strings.Replace(good, old, fresh, 1)
	}
	other := auth.ClientID{7}.String()
	for _, tt := range []struct{ name, claims string }{
		{"14 doubled claim at the end", strings.TrimSuffix(good, "}") + `,"exp":1995179600}`},
		{"14 doubled claim in place", replace(`"exp":1795179600`, `"exp":1795179600,"exp":1995179600`)},
		{"unknown claim", strings.TrimSuffix(good, "}") + `,"admin":true}`},
		{"another issuer", replace(issuer, "https://evil.example.test")},
		{"sub is not client_id", replace(`"sub":"`+sample().Client.String(), `"sub":"`+other)},
		{"exp is a string", replace("1795179600", `"1795179600"`)},
		{"exp is a fraction", replace("1795179600", "1795179600.5")},
		{"exp has an exponent", replace("1795179600", "1e9")},
		{"exp is negative", replace("1795179600", "-1")},
		{"exp has a leading zero", replace("1795179600", "01795179600")},
		{"exp overflows", replace("1795179600", "99999999999999999999")},
		{"exp is beyond any date", replace("1795179600", "9999999999999999")},
		{"no exp", replace(`"exp":1795179600,`, "")},
		{"aud is an array", replace(`"aud":"https://inventory.demo.internal"`, `"aud":["https://inventory.demo.internal"]`)},
		{"no jti", replace(`"jti":"`+sample().ID.String()+`",`, "")},
		{"jti of another kind", replace(sample().ID.String(), "x")},
		{"scope is empty", replace(sample().Scope, "")},
		{"scope is an array", replace(`"`+sample().Scope+`"`, `["a"]`)},
		{"escapes", replace("inventory:read", `inventory\u003aread`)},
		{"cs_rev is a string", replace(":42", `:"42"`)},
		{"cs_sec is empty", replace(sample().Credential.String(), "")},
		{"white space", replace(",", ", ")},
		{"text after the end", good + " "},
		{"not JSON", "hello"},
		{"empty", ""},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, ring, f.token(t, f.header(), tt.claims)) })
	}
}

func TestRevokedKeyVerifiesNothing(t *testing.T) {
	key := generate(t, auth.ES256, start())
	ring := newRing(t, start, key)
	token, _, err := ring.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}
	revoked := *key
	revoked.RevokedAt = start()
	if err := ring.Load([]*auth.Key{&revoked}); err != nil {
		t.Fatal(err)
	}
	refused(t, ring, token)
	if _, _, err := ring.Sign(auth.ES256, sample()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Sign: %v", err)
	}
}

// TestUnknownKey tells tokens that another instance may have signed from those that nobody of us did.
func TestUnknownKey(t *testing.T) {
	f := newForge(t, auth.ES256)
	ring := newRing(t, start)
	for _, tt := range []struct {
		name, header string
		unknown      bool
	}{
		{"ours", f.header(), true},
		{"another algorithm of ours", strings.Replace(f.header(), "ES256", "EdDSA", 1), true},
		{"no algorithm of ours", strings.Replace(f.header(), "ES256", "HS256", 1), false},
		{"no id of a key", `{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`, false},
		{"another type", strings.Replace(f.header(), "at+jwt", "JWT", 1), false},
		{"more", strings.Replace(f.header(), `"typ"`, `"jku":"https://a","typ"`, 1), false},
	} {
		_, err := ring.Verify(f.token(t, tt.header, goodClaims()))
		if !errors.Is(err, fault.InvalidToken) || errors.Is(err, keys.ErrUnknownKey) != tt.unknown {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestAlgorithmIsPartOfTheKey signs with an RSA key by the algorithm that its row does not name.
func TestAlgorithmIsPartOfTheKey(t *testing.T) {
	f := newForge(t, auth.PS256)
	ring := newRing(t, start, f.row)
	token, _, err := ring.Sign(auth.PS256, sample())
	if err != nil {
		t.Fatal(err)
	}
	message := token[:strings.LastIndexByte(token, '.')]
	digest := sha256.Sum256([]byte(message))
	for _, tt := range []struct {
		name    string
		options crypto.SignerOpts
	}{
		{"RS256 under a PS256 header", crypto.SHA256},
		{"a salt of another length", &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signature, err := f.signer.Sign(rand.Reader, digest[:], tt.options)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, ring, message+"."+encode(string(signature)))
		})
	}
}

// FuzzVerify changes tokens of every algorithm: whatever is accepted must say what was signed.
func FuzzVerify(f *testing.F) {
	var all []*auth.Key
	for _, alg := range auth.Algorithms() {
		all = append(all, generate(f, alg, start()))
	}
	ring := newRing(f, start, all...)
	signed := map[string]bool{}
	for _, alg := range auth.Algorithms() {
		token, _, err := ring.Sign(alg, sample())
		if err != nil {
			f.Fatal(err)
		}
		signed[token[:strings.LastIndexByte(token, '.')]] = true
		f.Add(token)
	}
	f.Add("..")
	f.Add(encode(`{"alg":"none"}`) + "." + encode(goodClaims()) + ".")
	f.Fuzz(func(t *testing.T, presented string) {
		claims, err := ring.Verify(presented)
		switch {
		case err == nil && !signed[presented[:strings.LastIndexByte(presented, '.')]]:
			t.Errorf("accepted as %+v", claims)
		case err != nil && !errors.Is(err, fault.InvalidToken):
			t.Errorf("Verify: %v", err)
		}
	})
}
