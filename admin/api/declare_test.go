package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
)

func store() wire.Document {
	return wire.Document{
		Version: wire.DocumentVersion,
		APIs: []wire.APIDecl{{
			Identifier: "https://stock.example", Name: "Stock", Scopes: []wire.Scope{{Name: "read", Description: "see"}, {Name: "write"}},
			Format: "opaque", Lifetime: 600, Servers: []string{"stock"},
		}},
		Clients: []wire.ClientDecl{
			{
				Name: "orders", Labels: map[string]string{"a/b~c": "d"}, Grants: []wire.GrantDecl{{API: "https://stock.example", Scopes: []string{"read"}}},
				Secret: &wire.SecretDecl{Generate: true},
			},
			{Name: "stock", Disabled: new(false)},
		},
	}
}

func apply(body wire.ApplyBody, h http.Header) call {
	return call{method: http.MethodPost, path: "/apply", body: body, header: h}
}

// A plan is shown, carried out as it was shown, and once; its secret is shown by the first answer and those that repeat it.
func TestApply(t *testing.T) {
	w := newWorld(t)
	plan, _ := want[wire.Plan](w, http.StatusOK, apply(wire.ApplyBody{Document: store(), DryRun: true}, nil))
	var steps []string
	for _, s := range plan.Steps {
		steps = append(steps, s.Verb+" "+s.Kind+" "+s.Name)
	}
	if diff := cmp.Diff([]string{
		"add api https://stock.example", "add client orders", "add client stock", "add grant orders → https://stock.example",
		"add server stock → https://stock.example", "add secret orders",
	}, steps); diff != "" || plan.Applied || plan.Digest == "" {
		t.Errorf("applied %v, digest %q: %s", plan.Applied, plan.Digest, diff)
	}
	w.refused(http.StatusPreconditionFailed, "precondition_failed", apply(wire.ApplyBody{Document: store(), Digest: "another"}, nil))
	once := apply(wire.ApplyBody{Document: store(), Digest: plan.Digest}, header("Idempotency-Key", "0123456789abcdef"))
	done, first := want[wire.Plan](w, http.StatusOK, once)
	if !done.Applied || len(done.Secrets) != 1 || !auth.PresentedSecret(done.Secrets[0].Value).WellFormed() || done.Digest != plan.Digest {
		t.Fatalf("applied %v with %d secrets", done.Applied, len(done.Secrets))
	}
	if first.header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be kept")
	}
	again, second := want[wire.Plan](w, http.StatusOK, once)
	if second.header.Get("Idempotent-Replayed") != "true" || len(again.Secrets) != 1 || again.Secrets[0] != done.Secrets[0] {
		t.Errorf("%v, with %d secrets", second.header, len(again.Secrets))
	}
	if left, _ := want[wire.Plan](w, http.StatusOK, apply(wire.ApplyBody{Document: store()}, nil)); len(left.Steps) > 0 {
		t.Errorf("left is %+v", left.Steps)
	}
}

// What is exported makes an equal system, byte for byte.
func TestExportedIsApplied(t *testing.T) {
	w, empty := newWorld(t), newWorld(t)
	want[wire.Plan](w, http.StatusOK, apply(wire.ApplyBody{Document: store()}, nil))
	document, exported := want[wire.Document](w, http.StatusOK, call{method: http.MethodGet, path: "/export"})
	if plan, _ := want[wire.Plan](w, http.StatusOK, apply(wire.ApplyBody{Document: document, Prune: true}, nil)); len(plan.Steps) > 0 {
		t.Errorf("would change %+v", plan.Steps)
	}
	admin := func(c wire.ClientDecl) bool { return c.Name == "admin" } // every system has one of its own
	document.Clients = slices.DeleteFunc(document.Clients, admin)
	want[wire.Plan](empty, http.StatusOK, apply(wire.ApplyBody{Document: document}, nil))
	made, second := want[wire.Document](empty, http.StatusOK, call{method: http.MethodGet, path: "/export"})
	made.Clients = slices.DeleteFunc(made.Clients, admin)
	if diff := cmp.Diff(document, made); diff != "" {
		t.Error(diff)
	}
	if len(exported.body) != len(second.body) || bytes.Contains(exported.body, []byte("secret\"")) {
		t.Errorf("exported is %s", exported.body)
	}
}

// Everything that is wrong is said at once, by pointers into what was sent.
func TestWrongDocumentIsPointedAt(t *testing.T) {
	w := newWorld(t)
	document := store()
	document.Clients[0].Grants[0].Scopes = []string{"read", "fly"}
	document.Clients[1].DefaultResource = new("https://stock.example")
	document.APIs[0].Servers = []string{"nobody"}
	problem := w.refused(http.StatusBadRequest, "invalid_request", apply(wire.ApplyBody{Document: document}, nil))
	var at []string
	for _, e := range problem.Errors {
		at = append(at, e.Pointer)
	}
	if diff := cmp.Diff([]string{
		"#/document/apis/0/servers/0", "#/document/clients/0/grants/0/scopes/1", "#/document/clients/1/default_resource",
	}, at); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{
		`{"document": {"version": "countersign/v1", "api": []}}`, `{"document": {"version": "countersign/v2"}}`, `{"document": {}}`, `{}`,
		`{"document": {"version": "countersign/v1", "clients": [{"name": "a", "secret": {"value_file": "x"}}]}}`,
		`{"document": {"version": "countersign/v1", "apis": [{"identifier": "urn:x:y", "name": "x", "token_lifetime_seconds": 36028797018967568}]}}`,
	} {
		w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodPost, path: "/apply", body: wrong})
	}
}

// The schema is for editors, which have no token.
func TestSchemaIsServed(t *testing.T) {
	w := newWorld(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.admin+wire.Base+"/config.schema.json", http.NoBody)
	w.check(err)
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	w.check(err)
	defer response.Body.Close()
	var schema map[string]any
	if err := json.NewDecoder(response.Body).Decode(&schema); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	if got := response.Header.Get("Content-Type"); got != "application/schema+json" || !strings.Contains(schema["$schema"].(string), "2020-12") {
		t.Errorf("%s, %v", got, schema["$schema"])
	}
}
