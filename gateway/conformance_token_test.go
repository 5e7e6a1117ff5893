package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

// tokenRow is a request with a token, and what becomes of it.
type tokenRow struct {
	name      string
	lines     []string
	status    []int
	challenge string // all of these words, by blanks; none of them with a ! before it
}

func (w *wire) checkTokens(t *testing.T, rows []tokenRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := w.ask(t, "GET", "/items/7", row.lines...)
			if !slices.Contains(row.status, got.status) {
				t.Errorf("status %d, want %v: %s", got.status, row.status, got.body)
			}
			challenge := got.header.Get("WWW-Authenticate")
			for word := range strings.FieldsSeq(row.challenge) {
				if plain, absent := strings.CutPrefix(word, "!"); strings.Contains(challenge, plain) == absent {
					t.Errorf("challenge %q, want %s", challenge, row.challenge)
				}
			}
			if passed := len(w.upstream.taken()) > 0; passed != (got.status == 200) {
				t.Errorf("status %d, and the upstream was asked: %t", got.status, passed)
			}
		})
	}
}

func TestConformanceOfCredentials(t *testing.T) {
	w := startWire(t)
	good := w.issuer.Token(api, "inventory:read")
	w.checkTokens(t, []tokenRow{
		{"S01 none", nil, []int{401}, "Bearer !error"},
		{"S01 another scheme", []string{"Authorization: Basic eDp5"}, []int{401}, "Bearer !error"},
		{"S01 an empty header", []string{"Authorization:"}, []int{401}, "Bearer !error"},
		{"S02 the scheme alone", []string{"Authorization: Bearer"}, []int{400}, `error="invalid_request"`},
		{"S02 two tokens", []string{"Authorization: Bearer a b"}, []int{400}, `error="invalid_request"`},
		{"S02 two tokens by a comma", []string{bearer(good) + ", Bearer " + good}, []int{400}, `error="invalid_request"`},
		{"S02 a quoted token", []string{`Authorization: Bearer "` + good + `"`}, []int{400}, `error="invalid_request"`},
		{"S02 a tab", []string{"Authorization: Bearer\t" + good}, []int{400, 401}, "Bearer"},
		{"S02 not a token", []string{bearer("abc")}, []int{401}, `error="invalid_token"`},
		{"S02 beyond ASCII", []string{bearer("é")}, []int{400}, `error="invalid_request"`},
		{"S11 two headers", []string{bearer(good), bearer(good)}, []int{400}, ""},
		{"S11 two schemes", []string{bearer(good), "authorization: Basic eDp5"}, []int{400}, ""},
		{"S11 an empty one first", []string{"Authorization:", bearer(good)}, []int{400}, ""},
		{"S12 lower case", []string{"authorization: bearer " + good}, []int{200}, ""},
		{"S12 any case", []string{"AUTHORIZATION: bEARER " + good}, []int{200}, ""},
	})
}

func TestConformanceOfTokens(t *testing.T) {
	w := startWire(t)
	mint := func(change func(*sdktest.Claims)) []string {
		c := sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}, Members: map[string]any{}, Header: map[string]any{}}
		change(&c)
		return []string{bearer(w.issuer.Mint(c))}
	}
	member := func(name string, value any) []string {
		return mint(func(c *sdktest.Claims) { c.Members[name] = value })
	}
	typ := func(value any) []string { return mint(func(c *sdktest.Claims) { c.Header["typ"] = value }) }
	now := time.Now()
	const invalid = `error="invalid_token"`
	w.checkTokens(t, []tokenRow{
		{"good", mint(func(*sdktest.Claims) {}), []int{200}, ""},
		{"S03 expired", mint(func(c *sdktest.Claims) { c.Lifetime = -time.Hour }), []int{401}, invalid},
		{"S03 expired, opaque", []string{bearer(w.issuer.MintOpaque(sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}, Lifetime: -time.Hour}))}, []int{401}, invalid},
		{"S04 bad signature", mint(func(c *sdktest.Claims) { c.Sign = func([]byte) []byte { return make([]byte, 64) } }), []int{401}, invalid},
		{"S04 a stranger's key of the same id", mint(func(c *sdktest.Claims) { c.Key = sdktest.NewKey(sdktest.ES256, w.issuer.Key().ID()) }), []int{401}, invalid},
		{"S04 none", mint(func(c *sdktest.Claims) { c.Header["alg"] = "none"; c.Sign = func([]byte) []byte { return nil } }), []int{401}, invalid},
		{"S05 wrong audience", mint(func(c *sdktest.Claims) { c.Audience = []string{"https://other.test"} }), []int{401}, invalid},
		{"S05 wrong audience, opaque", []string{bearer(w.issuer.MintOpaque(sdktest.Claims{Audience: []string{"https://other.test"}, Scopes: []string{"inventory:read"}}))}, []int{401}, invalid},
		{"S05 an audience that begins like ours", mint(func(c *sdktest.Claims) { c.Audience = []string{api + "/v1"} }), []int{401}, invalid},
		{"S06 wrong issuer", member("iss", "https://evil.test"), []int{401}, invalid},
		{"S06 an issuer that begins like ours", member("iss", w.issuer.URL()+"/x"), []int{401}, invalid},
		{"S06 no issuer", member("iss", nil), []int{401}, invalid},
		{"S07 any JWT", typ("JWT"), []int{401}, invalid},
		{"S07 no type", typ(nil), []int{401}, invalid},
		{"S07 logout token", typ("logout+jwt"), []int{401}, invalid},
		{"S07 client assertion", typ("client-authentication+jwt"), []int{401}, invalid},
		{"S07 introspection answer", typ("token-introspection+jwt"), []int{401}, invalid},
		{"S07 application/at+jwt is the same", typ("application/at+jwt"), []int{200}, ""},
		{"S08 missing scope", mint(func(c *sdktest.Claims) { c.Scopes = []string{"inventory:write"} }), []int{403}, `error="insufficient_scope" scope="inventory:read"`},
		{"S08 a scope that begins like it", mint(func(c *sdktest.Claims) { c.Scopes = []string{"inventory:readall"} }), []int{403}, `error="insufficient_scope"`},
		{"S16 expired by as much as clocks may differ", member("exp", now.Add(-time.Minute).Unix()), []int{401}, invalid},
		{"S16 expired by less", member("exp", now.Add(-30*time.Second).Unix()), []int{200}, ""},
		{"S17 exp is a fraction", member("exp", float64(now.Add(time.Minute).Unix())+0.5), []int{200}, ""},
		{"S17 exp is text", member("exp", "9999999999"), []int{401}, invalid},
		{"S18 no exp", member("exp", nil), []int{401}, invalid},
		{"S19 not yet valid", member("nbf", now.Add(time.Hour).Unix()), []int{401}, invalid},
	})
}

// A token is taken from the header and nowhere else; a second one is refused (RFC 6750 §2, RFC 9700 §4.3.2).
func TestConformanceOfTokensElsewhere(t *testing.T) {
	w := startWire(t)
	good := w.issuer.Token(api, "inventory:read")
	form := []string{"Content-Type: application/x-www-form-urlencoded", "Content-Length: " + length("access_token="+good)}
	for _, row := range []struct {
		name, send string
		status     int
	}{
		{"S09 in the query", request("GET", "/items?access_token="+good), 401},
		{"S09 in the query, encoded", request("GET", "/items?access%5Ftoken="+good), 401},
		{"S09 in the body", request("POST", "/items", form...) + "access_token=" + good, 401},
		{"S10 in header and query", request("GET", "/items?access_token="+good, bearer(good)), 400},
		{"S10 in header and body", request("POST", "/items", append(form, bearer(good))...) + "access_token=" + good, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.say(t, row.send)
			if len(got) != 1 || got[0].status != row.status || len(w.upstream.taken()) > 0 {
				t.Errorf("%+v, want %d", got, row.status)
			}
		})
	}
	if strings.Contains(w.log.String(), good) {
		t.Error("a token is in the log")
	}
}
