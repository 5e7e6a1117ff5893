package proof_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

// The proofs of RFC 9449 §4.1 and §7.1.
const (
	proof41 = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	proof71 = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	token71 = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	key6    = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestExamplesOfTheRFC(t *testing.T) {
	asked, err := proof.ReadDPoP([]string{proof41}, "POST", "https://server.example.com/token")
	if err != nil {
		t.Fatal(err)
	}
	if asked.Thumbprint != key6 || asked.ID != "-BwC3ESc6acc2lTc" || asked.Issued.Unix() != 1562262616 || asked.Nonce != "" || asked.Algorithm != jose.ES256 {
		t.Errorf("got %+v", asked)
	}
	called, err := proof.ReadDPoP([]string{proof71}, "GET", "https://resource.example.org/protectedresource")
	if err != nil {
		t.Fatal(err)
	}
	if err := called.Covers(token71); err != nil || called.Thumbprint != key6 {
		t.Errorf("%v, %s", err, called.Thumbprint)
	}
	if err := asked.Covers(token71); !errors.Is(err, proof.ErrDPoP) {
		t.Errorf("D15: without ath: %v", err)
	}
	if err := called.Covers(token71 + "x"); !errors.Is(err, proof.ErrDPoP) {
		t.Errorf("D15: of another token: %v", err)
	}
}

func TestRefusedProofs(t *testing.T) {
	h, other := newHolder(t), newHolder(t)
	type members = map[string]any
	claim := func(name string, value any) []string { return []string{h.sign(nil, members{name: value})} }
	header := func(name string, value any) []string { return []string{h.sign(members{name: value}, nil)} }
	right := h.sign(nil, nil)
	for _, tt := range []struct {
		name    string
		headers []string
		detail  string
	}{
		{"D03: htu of another path", claim("htu", "https://server.example/introspect"), "htu"},
		{"D03: htu of another host", claim("htu", "https://attacker.example/token"), "htu"},
		{"D03: htu of another scheme", claim("htu", "http://server.example/token"), "htu"},
		{"D03: htu of another port", claim("htu", "https://server.example:8443/token"), "htu"},
		{"D03: htu with a user", claim("htu", "https://server.example@attacker.example/token"), "htu"},
		{"D03: htu in another case of the path", claim("htu", "https://server.example/Token"), "htu"},
		{"D03: htu with an encoded slash", claim("htu", "https://server.example%2ftoken"), "htu"},
		{"D03: htu relative", claim("htu", "/token"), "htu"},
		{"D03: no htu", claim("htu", nil), "htu"},
		{"D03: htu is a list", claim("htu", []string{"https://server.example/token"}), "htu"},
		{"D05: htm is another", claim("htm", "GET"), "htm"},
		{"D05: htm in lower case", claim("htm", "post"), "htm"},
		{"D05: no htm", claim("htm", nil), "htm"},
		{"D06: typ JWT", header("typ", "JWT"), "typ"},
		{"D06: typ of access tokens", header("typ", "at+jwt"), "typ"},
		{"D06: typ in capitals", header("typ", "DPOP+JWT"), "typ"},
		{"D06: no typ", header("typ", nil), "typ"},
		{"D07: no iat", claim("iat", nil), "iat"},
		{"D07: iat is text", claim("iat", "1800000000"), "iat"},
		{"D07: iat is negative", claim("iat", -1), "iat"},
		{"D08: no jti", claim("jti", nil), "jti"},
		{"D08: jti is empty", claim("jti", ""), "jti"},
		{"D08: jti is a number", claim("jti", 1), "jti"},
		{"D08: jti is too long", claim("jti", strings.Repeat("j", proof.MaxID+1)), "jti"},
		{"D10: private jwk", header("jwk", h.jwk(members{"d": h.private()})), "private key"},
		{"D10: jwk with a secret", header("jwk", members{"kty": "oct", "k": base64url("secret")}), "private key"},
		{"D10: no jwk", header("jwk", nil), "jwk"},
		{"D10: jwk is text", header("jwk", "{}"), "object"},
		{"D10: jwk for encryption", header("jwk", h.jwk(members{"use": "enc"})), "checking"},
		{"D10: jwk of another", header("jwk", other.jwk(nil)), "signature"},
		{"D11: none", header("alg", "none"), "algorithm"},
		{"D11: HS256", header("alg", "HS256"), "algorithm"},
		{"D11: one that is not taken", []string{signES384(t)}, "alg"},
		{"D11: not the key's", header("alg", "RS256"), "algorithm"},
		{"D12: two headers", []string{right, right}, "more than one"},
		{"D12: two in one header", []string{right + "," + right}, "malformed"},
		{"D13: nonce is a number", claim("nonce", 1), "nonce"},
		{"D15: ath is a number", claim("ath", 1), "ath"},
		{"attack 29: claims were changed", []string{strings.Replace(right, ".", ".e30", 1)}, "malformed"},
		{"attack 14: jti twice", []string{h.signText(`{"jti":"a","jti":"b"}`)}, "second member"},
		{"empty", []string{""}, "malformed"},
		{"too long", []string{h.sign(nil, members{"x": strings.Repeat("x", proof.MaxDPoP)})}, "longer"},
		{"crit", header("crit", []string{"x"}), "crit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, err := proof.ReadDPoP(tt.headers, "POST", "https://server.example/token")
			if !errors.Is(err, proof.ErrDPoP) || read != nil {
				t.Fatalf("got %v, %v", read, err)
			}
			if !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("got %q, which does not name %s", err, tt.detail)
			}
			if strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "attacker") {
				t.Errorf("%q holds of the proof", err)
			}
		})
	}
	if _, err := proof.ReadDPoP(nil, "POST", "https://server.example/token"); !errors.Is(err, proof.ErrNoDPoP) {
		t.Errorf("D02: without proof: %v", err)
	}
}

func TestSameURI(t *testing.T) {
	h := newHolder(t)
	for _, tt := range []struct {
		htu, uri string
		differ   bool
	}{
		{htu: "https://a.example/x?q=1#f", uri: "https://a.example/x"},
		{htu: "https://a.example/x", uri: "https://a.example/x?q=1"},
		{htu: "HTTPS://A.Example:443/x", uri: "https://a.example/x"},
		{htu: "http://a.example:80/x", uri: "http://a.example/x"},
		{htu: "https://a.example:/x", uri: "https://a.example/x"},
		{htu: "https://a.example", uri: "https://a.example/"},
		{htu: "https://[::1]:443/x", uri: "https://[::1]/x"},
		{htu: "https://a.example/%7ex/%c3%bc", uri: "https://a.example/~x/%C3%BC"},
		{htu: "https://a.example/ü", uri: "https://a.example/%C3%BC"},
		{htu: "https://a.example:80/x", uri: "https://a.example/x", differ: true},
		{htu: "http://a.example:443/x", uri: "http://a.example/x", differ: true},
		{htu: "https://a.example/a%2fb", uri: "https://a.example/a/b", differ: true},
		{htu: "https://a.example/x/", uri: "https://a.example/x", differ: true},
		{htu: "https://a.example//x", uri: "https://a.example/x", differ: true},
		{htu: "https://a.example/y/../x", uri: "https://a.example/x", differ: true},
		{htu: "https://a.example/a%253f", uri: "https://a.example/a%3f", differ: true},
		{htu: "ftp://a.example/x", uri: "ftp://a.example/x", differ: true},
		{htu: "https:///x", uri: "https:///x", differ: true},
	} {
		t.Run("D04: "+tt.htu, func(t *testing.T) {
			text := h.sign(nil, map[string]any{"htu": tt.htu})
			if _, err := proof.ReadDPoP([]string{text}, "POST", tt.uri); (err != nil) != tt.differ {
				t.Errorf("beside %s: %v", tt.uri, err)
			}
		})
	}
}

func TestFresh(t *testing.T) {
	read, err := proof.ReadDPoP([]string{newHolder(t).sign(nil, map[string]any{"iat": 1_800_000_000.5})}, "POST", "https://server.example/token")
	if err != nil {
		t.Fatal(err)
	}
	const past, future = time.Minute, 5 * time.Second
	for _, tt := range []struct {
		name  string
		age   time.Duration
		stale bool
	}{
		{"made now", 0, false},
		{"just old enough", past, false},
		{"D07: too old", past + 1, true},
		{"just ahead enough", -future, false},
		{"D07: too far ahead", -future - 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := read.Fresh(read.Issued.Add(tt.age), past, future); errors.Is(err, proof.ErrDPoP) != tt.stale {
				t.Error(err)
			}
		})
	}
	if expires := read.Expires(past, future); read.Fresh(expires, past, future) == nil || !expires.Equal(read.Issued.Add(past+future)) {
		t.Errorf("fresh when it is forgotten, at %s", expires)
	}
}

func TestKey(t *testing.T) {
	h, other := newHolder(t), newHolder(t)
	keys := map[[32]byte]string{}
	for name, text := range map[string]string{
		"one": h.sign(nil, nil), "another jti": h.sign(nil, map[string]any{"jti": "j2"}), "another key": other.sign(nil, nil),
		"a dot": h.sign(nil, map[string]any{"jti": ".j1"}),
	} {
		read, err := proof.ReadDPoP([]string{text}, "POST", "https://server.example/token")
		if err != nil {
			t.Fatal(err)
		}
		if known, ok := keys[read.Key()]; ok {
			t.Errorf("%s and %s share a key", name, known)
		}
		keys[read.Key()] = name
	}
	again, err := proof.ReadDPoP([]string{h.sign(nil, map[string]any{"iat": 1_800_000_001})}, "POST", "https://server.example/token")
	if err != nil || keys[again.Key()] != "one" {
		t.Errorf("D09: the same jti in another proof: %v, %s", err, keys[again.Key()])
	}
}

// FuzzReadDPoP sees to it that nothing panics, and that what is read was signed for this request by a key that was not made up.
func FuzzReadDPoP(f *testing.F) {
	h := newHolder(f)
	for _, seed := range []string{
		proof41, proof71, "", "..", h.sign(nil, nil), h.sign(nil, map[string]any{"nonce": "n", "ath": "a"}), h.sign(map[string]any{"jwk": nil}, nil),
	} {
		f.Add(seed, "https://server.example.com/token")
	}
	f.Fuzz(func(t *testing.T, text, uri string) {
		read, err := proof.ReadDPoP([]string{text}, "POST", uri)
		if err != nil {
			if read != nil || !errors.Is(err, proof.ErrDPoP) {
				t.Fatalf("%q: %v, %v", text, read, err)
			}
			return
		}
		if len(read.Thumbprint) != 43 || read.ID == "" || len(read.ID) > proof.MaxID || read.Issued.IsZero() {
			t.Fatalf("%q: %+v", text, read)
		}
		if input := text[:strings.LastIndexByte(text, '.')]; read.Thumbprint == key6 && !strings.HasPrefix(proof41, input) && !strings.HasPrefix(proof71, input) {
			t.Fatalf("%q is forged", text)
		}
	})
}
