package cli_test

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	explained = "01tRy6czI6jAOLpZvq3hw1"
	root      = "01tRy6czI6jAOLpZvq3hw0"
)

// chain answers for a token that was made from another. more are further members of the one that it was made from.
func chain(status, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/admin/v1/tokens/" + explained:
			answer(w, 200, `{"jti": "`+explained+`", "client_id": "cl_orders", "api_id": "api_05gLuJsxsKBVB3UjnWB7o3", "scope": "inventory:read", "status": "`+status+`",
				"issued_at": "2026-11-29T01:00:00Z", "expires_at": "2026-11-29T01:10:00Z", "sub": "cl_shop", "actors": ["cl_orders"], "cnf": {"jkt": "thumb"},
				"ancestors": [{"jti": "`+root+`", "client_id": "cl_shop", "secret_id": "sec_1", "aud": "https://orders.example", "scope": "orders:read",
				"issued_at": "2026-11-29T00:59:00Z", "expires_at": "2026-11-29T01:10:00Z"`+more+`}]}`)
		case "/admin/v1/clients/cl_shop":
			answer(w, 200, `{"client_id": "cl_shop", "name": "shop"}`)
		case "/admin/v1/clients/cl_orders":
			answer(w, 200, `{"client_id": "cl_orders", "name": "orders"}`)
		case "/admin/v1/apis/api_05gLuJsxsKBVB3UjnWB7o3":
			answer(w, 200, `{"api_id": "api_05gLuJsxsKBVB3UjnWB7o3", "identifier": "https://inventory.example"}`)
		default:
			answer(w, 404, `{"status": 404, "code": "not_found"}`)
		}
	}
}

func TestTokenExplain(t *testing.T) {
	const good = `, "status": "active"`
	drawn := func(first, second, verdict string) string {
		return `subject  shop (cl_shop)
shop (cl_shop) for https://orders.example
   jti        ` + root + `
   scope      orders:read
   issued     2026-11-29T00:59:00Z
   expires    2026-11-29T01:10:00Z
   secret_id  sec_1
   status     ` + first + `
└─ orders (cl_orders) for https://inventory.example
      jti        ` + explained + `
      scope      inventory:read
      issued     2026-11-29T01:00:00Z
      expires    2026-11-29T01:10:00Z
      bound to   the DPoP key thumb
      status     ` + second + `
verdict  ` + verdict + "\n"
	}
	ago := regexp.MustCompile(`(?m)Z \([^)]*\)$`)
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"jti":"` + explained + `","cs_rev":1}`))
	for _, tt := range []struct {
		name, status, more string
		stdin              string
		args               []string
		code               int
		want               string
	}{
		{name: "good", status: "active", more: good, args: []string{explained}, want: drawn("active", "active", "active")},
		{
			name: "refused with its root", status: "revoked", more: `, "status": "revoked", "refused_by": {"kind": "client", "sequence": 42}`, args: []string{explained}, code: 1,
			want: drawn("revoked, refused by entry 42 of kind client", "revoked", "refused with "+root+", which it was made from: by entry 42 of kind client"),
		},
		{
			name: "API gone", status: "revoked", more: `, "status": "revoked", "refused_by": {"kind": "api"}`, args: []string{explained}, code: 1,
			want: drawn("revoked, refused by the deletion of its API", "revoked", "refused with "+root+", which it was made from: by the deletion of its API"),
		},
		{name: "expired", status: "expired", more: good, args: []string{explained}, code: 1, want: drawn("active", "expired", "expired")},
		{name: "JWT", status: "active", more: good, stdin: "eyJ." + claims + ".AAAA\n", args: []string{"--token-file", "-"}, want: drawn("active", "active", "active")},
		{name: "opaque", status: "active", more: good, stdin: "cs_at_" + explained + strings.Repeat("0", 49), args: []string{"--token-file", "-"}, want: drawn("active", "active", "active")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, chain(tt.status, tt.more))
			got := run(t, call{environ: f.environ(), stdin: tt.stdin, args: append([]string{"token", "explain"}, tt.args...)})
			if out := ago.ReplaceAllString(got.out, "Z"); got.code != tt.code || out != tt.want {
				t.Errorf("exit code %d, %s\n%s\nwant\n%s", got.code, got.errors, out, tt.want)
			}
			if machine := run(t, call{environ: f.environ(), stdin: tt.stdin, args: append([]string{"token", "explain", "-o", "json"}, tt.args...)}); machine.code != tt.code ||
				!strings.Contains(machine.out, `"ancestors": [`) {
				t.Errorf("%+v", machine)
			}
		})
	}
}

// What is no id is not sent anywhere, and a token that was pasted into the command line is not printed once more.
func TestTokenExplainRefusesTokens(t *testing.T) {
	secret := "cs_at_" + explained + strings.Repeat("0", 49)
	for _, tt := range []struct {
		name, stdin string
		args        []string
	}{
		{"token as argument", "", []string{secret}},
		{"nothing", "", nil},
		{"both", secret, []string{explained, "--token-file", "-"}},
		{"garbage", "hello", []string{"--token-file", "-"}},
		{"JWT without an id", "e30.e30.e30", []string{"--token-file", "-"}},
		{"JWT whose id is a path", "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"jti":"../clients"}`)) + ".e30", []string{"--token-file", "-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, chain("active", ""))
			got := run(t, call{environ: f.environ(), stdin: tt.stdin, args: append([]string{"token", "explain"}, tt.args...)})
			if got.code != 2 || f.calls() != 0 || strings.Contains(got.errors+got.out, secret[:20]) {
				t.Errorf("%+v, %d calls", got, f.calls())
			}
		})
	}
}
