package cli_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/cli"
)

const (
	orders    = "cl_0000000000000000000001"
	inventory = "api_0000000000000000000002"
)

// grants answers as a server that has one grant does. Who may not read clients is told so.
func grants(w http.ResponseWriter, r *http.Request) {
	grant := fmt.Sprintf(`{"client_id": %q, "api_id": %q, "scopes": ["clients:read", "clients:write", "grants:read", "grants:write", "audit:read", "keys:read"], "issued_tokens": 3}`, orders, inventory)
	switch strings.TrimPrefix(r.URL.Path, "/admin/v1") {
	case "/clients/" + orders + "/grants/" + inventory:
		answer(w, 200, grant)
	case "/grants":
		answer(w, 200, `{"items": [`+grant+`]}`)
	case "/clients/" + orders:
		answer(w, 403, fmt.Sprintf(problem, 403, "the token lacks clients:read", "scope", ""))
	case "/apis/" + inventory:
		answer(w, 200, fmt.Sprintf(`{"api_id": %q, "identifier": "https://inventory", "name": "Inventory"}`, inventory))
	default:
		answer(w, 404, fmt.Sprintf(problem, 404, "it does not exist", "", ""))
	}
}

// People read names beside ids, where they may; a table of many scopes stays as wide as a terminal.
func TestNames(t *testing.T) {
	f := newFake(t, grants)
	got := run(t, call{environ: f.environ(), args: []string{"grant", "show", orders, inventory}})
	if want := "client_id      " + orders + "\napi            https://inventory\napi_id         " + inventory + "\n"; got.code != 0 || !strings.HasPrefix(got.out, want) {
		t.Errorf("%+v, want %q", got, want)
	}
	want := `CLIENT                     API                LAST USED  ISSUED  SCOPES
cl_0000000000000000000001  https://inventory  never      3       clients:read clients:write grants:read grants:write … (6)
`
	if diff := cmp.Diff(want, run(t, call{environ: f.environ(), args: []string{"grant", "list"}}).out); diff != "" {
		t.Error(diff)
	}
	if got = run(t, call{environ: f.environ(), args: []string{"grant", "list", "-o", "json"}}); !strings.Contains(got.out, "keys:read") {
		t.Errorf("%+v", got)
	}
	for _, verb := range []string{"show", "delete"} {
		got = run(t, call{environ: f.environ(), args: []string{"grant", verb, orders, "api_0000000000000000000003"}})
		if got.code != cli.ExitNotFound || !strings.Contains(got.errors, "no grant of "+orders+" on api_0000000000000000000003") {
			t.Errorf("%s: %+v", verb, got)
		}
	}
}

// What is looked for in the audit log may be named as people do; what is no name stands for itself.
func TestAuditTarget(t *testing.T) {
	const grant = orders + "/" + inventory
	for named, want := range map[string]string{
		"orders": orders, "https://inventory": inventory, "config": "config", "sec_0000000000000000000004": "sec_0000000000000000000004", "0000000000000000000005": "0000000000000000000005", grant: grant,
	} {
		asked := ""
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			q, items := r.URL.Query(), ""
			switch r.URL.Path {
			case "/admin/v1/audit":
				asked = q.Get("target")
			case "/admin/v1/clients":
				if q.Get("name") == "orders" {
					items = fmt.Sprintf(`{"client_id": %q, "name": "orders"}`, orders)
				}
			default:
				if q.Get("identifier") == "https://inventory" {
					items = fmt.Sprintf(`{"api_id": %q, "identifier": "https://inventory"}`, inventory)
				}
			}
			answer(w, 200, `{"items": [`+items+`]}`)
		})
		if got := run(t, call{environ: f.environ(), args: []string{"audit", "list", "--target", named}}); got.code != 0 || asked != want {
			t.Errorf("%s: asked for %q, want %q: %+v", named, asked, want, got)
		}
	}
}
