package api_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/wire"
)

// Pages stay right while clients come and go.
func TestPagesAreStable(t *testing.T) {
	for _, tt := range []struct{ sort, comes, want string }{
		{"name", "a", "c0 c1 c2 c4 c5 c6"},
		{"-name", "d", "c6 c5 c4 c2 c1 c0"},
		{"created", "z", "c0 c1 c2 c4 c5 c6 z"},
		{"-created", "z", "c6 c5 c4 c2 c1 c0"},
	} {
		t.Run(tt.sort, func(t *testing.T) {
			w := newWorld(t)
			made := map[string]string{}
			create := func(name string) {
				c, _ := want[wire.Client](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients", body: wire.ClientBody{Name: name, Owner: "pages"}})
				made[name] = c.ID
			}
			for i := range 7 {
				create(fmt.Sprintf("c%d", i))
			}
			var got []string
			for path := "/clients?owner=pages&limit=3&sort=" + tt.sort; path != ""; {
				page, answer := want[wire.List[wire.Client]](w, http.StatusOK, call{method: http.MethodGet, path: path})
				for _, c := range page.Items {
					got = append(got, c.Name)
				}
				link := answer.header.Get("Link")
				if (page.NextCursor == "") != (link == "") {
					t.Fatalf("cursor %q, link %q", page.NextCursor, link)
				}
				if len(got) == 3 { // one comes, which sorts first or last, and one goes that was not shown or was
					create(tt.comes)
					want[wire.Hit](w, http.StatusOK, call{method: http.MethodDelete, path: "/clients/" + made["c3"], header: forced()})
				}
				path = strings.TrimPrefix(strings.TrimSuffix(link, `>; rel="next"`), "<"+wire.Base)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCursorsOfAnotherListAreRefused(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.newClient()
	}
	page, _ := want[wire.List[wire.Client]](w, http.StatusOK, call{method: http.MethodGet, path: "/clients?limit=1"})
	for _, path := range []string{
		"/clients?sort=name&cursor=" + page.NextCursor, "/clients?status=active&cursor=" + page.NextCursor, "/apis?cursor=" + page.NextCursor,
		"/clients?cursor=AAAA", "/audit?cursor=" + beyond(w), "/clients?cursor=" + url.QueryEscape("not base64"), "/clients?cursor=" + page.NextCursor + "A",
	} {
		if p := w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodGet, path: path}); p.Field != "cursor" {
			t.Errorf("%s names %q", path, p.Field)
		}
	}
	want[wire.List[wire.Client]](w, http.StatusOK, call{method: http.MethodGet, path: "/clients?limit=2&cursor=" + page.NextCursor}) // a page may be longer
}

// beyond is a cursor of the audit log with a number that no database holds.
func beyond(w *world) string {
	w.Helper()
	page, _ := want[wire.List[wire.Event]](w, http.StatusOK, call{method: http.MethodGet, path: "/audit?limit=1"})
	text, err := base64.RawURLEncoding.DecodeString(page.NextCursor)
	w.check(err)
	text = regexp.MustCompile(`"n":\d+`).ReplaceAll(text, []byte(`"n":9223372036854775808`))
	return base64.RawURLEncoding.EncodeToString(text)
}

// The id that nothing has is not the absence of an id.
func TestNobodyIsNotEverybody(t *testing.T) {
	w := newWorld(t)
	api, none := w.newAPI(), strings.Repeat("0", 22)
	for _, query := range []string{"/audit?actor=cl_", "/grants?client_id=cl_", "/grants?api_id=api_", "/audit/failures?client_id=cl_", "/graph?client_id=cl_"} {
		w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodGet, path: query + none})
	}
	create := header("If-None-Match", "*")
	for _, c := range []call{
		{method: http.MethodPut, path: "/clients/cl_" + none, body: wire.ClientBody{Name: "nobody"}, header: create},
		{method: http.MethodPut, path: "/apis/api_" + none, body: wire.APIBody{Identifier: "urn:x:nothing", Name: "nothing"}, header: create},
		{method: http.MethodDelete, path: "/clients/cl_" + none + "/tokens"},
		{method: http.MethodPost, path: "/revocations", body: wire.RevocationBody{Client: "cl_" + none, API: api.ID}},
	} {
		w.refused(http.StatusNotFound, "not_found", c)
	}
}

func TestPreconditions(t *testing.T) {
	w := newWorld(t)
	c, first := want[wire.Client](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients", body: wire.ClientBody{Name: "x"}})
	path, patch := "/clients/"+c.ID, `{"owner":%q}`
	if got := first.header.Get("Location"); got != wire.Base+path {
		t.Errorf("Location %q", got)
	}
	stale := first.header.Get("ETag")
	_, second := want[wire.Client](w, http.StatusOK, call{method: http.MethodPatch, path: path, body: fmt.Sprintf(patch, "a"), header: ifMatch(stale)})
	fresh := second.header.Get("ETag")
	_, read := want[wire.Client](w, http.StatusOK, call{method: http.MethodGet, path: path})
	if fresh == stale || read.header.Get("ETag") != fresh {
		t.Fatalf("ETag was %s, is %s, reads %s", stale, fresh, read.header.Get("ETag"))
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"stale", ifMatch(stale), http.StatusPreconditionFailed},
		{"weak", ifMatch("W/" + fresh), http.StatusPreconditionFailed},
		{"foreign", ifMatch(`"a,b", "0", "-1", "007"`), http.StatusPreconditionFailed},
		{"without quotes", ifMatch(strings.Trim(fresh, `"`)), http.StatusBadRequest},
		{"star in quotes", ifMatch(`"*"`), http.StatusPreconditionFailed},
		{"star and tag", ifMatch("*, " + fresh), http.StatusBadRequest},
		{"half a tag", ifMatch(`"3`), http.StatusBadRequest},
		{"two without comma", ifMatch(`"3" "4"`), http.StatusBadRequest},
		{"nothing", ifMatch(" , "), http.StatusBadRequest},
		{"too many", ifMatch(strings.Repeat(stale+",", 9)), http.StatusBadRequest},
		{"create only", header("If-None-Match", "*"), http.StatusBadRequest},
		{"both", header("If-Match", fresh, "If-None-Match", "*"), http.StatusBadRequest},
		{"none", nil, http.StatusPreconditionRequired},
		{"one of a list", ifMatch(stale + ` , "x",` + fresh), http.StatusOK},
		{"forced", ifMatch("*"), http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.do(call{method: http.MethodPatch, path: path, body: fmt.Sprintf(patch, rand.Text()), header: tt.header})
			if got.status != tt.status {
				t.Errorf("%d, want %d: %s", got.status, tt.status, got.body)
			}
		})
	}
	w.refused(http.StatusPreconditionFailed, "precondition_failed", call{
		method: http.MethodPut, path: path, body: wire.ClientBody{Name: "y"}, header: header("If-None-Match", "*"),
	})
	w.refused(http.StatusBadRequest, "invalid_request", call{
		method: http.MethodPut, path: path, body: wire.ClientBody{Name: "y"}, header: header("If-None-Match", `"1"`),
	})
}

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	client := w.newClient()
	rotate := call{method: http.MethodPost, path: "/clients/" + client.ID + "/secrets/rotate", header: header("Idempotency-Key", rand.Text())}
	first, one := want[wire.NewSecret](w, http.StatusCreated, rotate)
	again, other := want[wire.NewSecret](w, http.StatusCreated, rotate)
	if diff := cmp.Diff(first, again); diff != "" || first.Value == "" {
		t.Errorf("the secret is %q, and then: %s", first.Value, diff)
	}
	if one.header.Get("Idempotent-Replayed") != "" || other.header.Get("Idempotent-Replayed") != "true" || other.header.Get("Location") != one.header.Get("Location") {
		t.Errorf("the first %v, the second %v", one.header, other.header)
	}
	rotate.path = "/clients/" + w.newClient().ID + "/secrets/rotate" // another call under the same key
	if third, _ := want[wire.NewSecret](w, http.StatusCreated, rotate); third.ID == first.ID {
		t.Error("one client was answered with the secret of another")
	}
	for _, key := range []string{"short", strings.Repeat("k", 256), "sixteen letters ä"} {
		rotate.header = header("Idempotency-Key", key)
		if p := w.refused(http.StatusBadRequest, "invalid_request", rotate); p.Field != "Idempotency-Key" {
			t.Errorf("%q names %q", key, p.Field)
		}
	}
}

func TestMergePatch(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, patch, want, at string
	}{
		{"nothing", `{}`, `me map[a:1 b.c:2] client_secret_post`, ""},
		{"one member", `{"owner":"you"}`, `you map[a:1 b.c:2] client_secret_post`, ""},
		{"null", `{"owner":null,"token_endpoint_auth_method":null}`, ` map[a:1 b.c:2] client_secret_basic`, ""},
		{"labels are merged", `{"labels":{"a":null,"d":"3"}}`, `me map[b.c:2 d:3] client_secret_post`, ""},
		{"labels are removed", `{"labels":null}`, `me map[] client_secret_post`, ""},
		{"name cannot be removed", `{"name":null}`, "", "#/name"},
		{"unknown member", `{"nonsense":1}`, "", "#/nonsense"},
		{"wrong case", `{"Owner":"you"}`, "", "#/Owner"},
		{"wrong type", `{"owner":1}`, "", "#/owner"},
		{"deep", `{"labels":{"a":"1","b.c":2}}`, "", "#/labels/b.c"},
		{"escaped", `{"a/b~c d":2}`, "", "#/a~1b~0c%20d"},
		{"bad value", `{"token_endpoint_auth_method":"none"}`, "", "#/token_endpoint_auth_method"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := want[wire.Client](w, http.StatusCreated, call{method: http.MethodPost, path: "/clients", body: wire.ClientBody{
				Name: rand.Text(), Owner: "me", Labels: map[string]string{"a": "1", "b.c": "2"}, AuthMethod: "client_secret_post",
			}})
			for _, mediaType := range []string{"application/merge-patch+json", "application/json; charset=UTF-8"} {
				h := forced()
				h.Set("Content-Type", mediaType)
				patch := call{method: http.MethodPatch, path: "/clients/" + c.ID, body: tt.patch, header: h}
				if tt.at != "" {
					p := w.refused(http.StatusBadRequest, "invalid_request", patch)
					if len(p.Errors) != 1 || p.Errors[0].Pointer != tt.at {
						t.Errorf("points at %v", p.Errors)
					}
					continue
				}
				got, _ := want[wire.Client](w, http.StatusOK, patch)
				if text := fmt.Sprint(got.Owner, " ", got.Labels, " ", got.AuthMethod); text != tt.want {
					t.Errorf("%s, want %s", text, tt.want)
				}
			}
		})
	}
}

func TestBodiesAreStrict(t *testing.T) {
	w := newWorld(t)
	post := func(path, body string) call { return call{method: http.MethodPost, path: path, body: body} }
	for _, tt := range []struct {
		name string
		call
		at []string
	}{
		{"no body", post("/clients", ""), nil},
		{"no JSON", post("/clients", "{"), []string{"#"}},
		{"no object", post("/clients", "[]"), []string{"#"}},
		{"two values", post("/clients", `{"name":"a"}{}`), []string{"#"}},
		{"a member twice", post("/clients", `{"name":"a","name":"b"}`), []string{"#"}},
		{"a member twice, deep", post("/clients", `{"name":"a","labels":{"x":"1","x":"2"}}`), []string{"#"}},
		{"deeper than anybody reads", post("/clients", strings.Repeat("[", 60_000)), []string{"#"}},
		{"not UTF-8", post("/clients", "{\"name\":\"a\xff\"}"), []string{"#"}},
		{"more values than any configuration has", post("/apply", `{"document":[`+strings.Repeat("1,", 700_000)+`1]}`), []string{"#"}},
		{"missing", post("/clients", `{}`), []string{"#/name"}},
		{"several", post("/apis", `{"name":"x","scopes":[{"name":"a"},{"name":""},{"nme":"b"}]}`), []string{"#/identifier", "#/scopes/1/name", "#/scopes/2/name", "#/scopes/2/nme"}},
		{"of the domain", post("/apis", `{"name":"x","identifier":"relative"}`), []string{"#/identifier"}},
		{"lifetime", post("/apis", `{"name":"x","identifier":"https://x.test","token_lifetime_seconds":59}`), []string{"#/token_lifetime_seconds"}},
		{"a fraction", post("/apis", `{"name":"x","identifier":"https://x.test","token_lifetime_seconds":60.5}`), []string{"#/token_lifetime_seconds"}},
		{"where none is taken", post("/clients/"+w.root.ID.String()+"/enable", `{}`), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.refused(http.StatusBadRequest, "invalid_request", tt.call)
			var at []string
			for _, e := range p.Errors {
				at = append(at, e.Pointer)
			}
			if diff := cmp.Diff(tt.at, at); diff != "" || p.Detail == "" {
				t.Errorf("%q: %s", p.Detail, diff)
			}
		})
	}
	secret := w.newSecret(w.newClient().ID)
	rotated, _ := want[wire.NewSecret](w, http.StatusCreated, post("/clients/"+secret.Client+"/secrets/rotate", `{"overlap_seconds":0}`))
	if len(rotated.Retiring) != 1 || rotated.Retiring[0].Status != "expired" {
		t.Errorf("an overlap of 0 leaves %+v", rotated.Retiring)
	}
}

// Thousands of mistakes are found as fast as one.
func TestManyMistakesAreCheap(t *testing.T) {
	w := newWorld(t)
	members := ""
	for i := range 5_000 {
		members += fmt.Sprintf(`,"%d":1`, i)
	}
	for what, body := range map[string]string{
		"of the wrong kind": `{"name":"x","labels":{"x":1` + members + `}}`,
		"unknown":           `{"name":"x","x":1` + members + `}`,
	} {
		began := time.Now()
		p := w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodPost, path: "/clients", body: body})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
		if len(p.Errors) != 100 || !strings.Contains(p.Detail, "5001") {
			t.Errorf("%s: %q, and %d places", what, p.Detail, len(p.Errors))
		}
	}
}

// Who lacks the scopes is told so before the body is looked at.
func TestLargeBodiesAreForThoseWhoMay(t *testing.T) {
	w := newWorld(t)
	_, token := w.auditor()
	w.refused(http.StatusForbidden, "insufficient_scope", call{method: http.MethodPost, path: "/apply", body: "no JSON", token: token})
}

func TestQueriesAreStrict(t *testing.T) {
	w := newWorld(t)
	for query, field := range map[string]string{
		"nonsense=1": "nonsense", "limit=1&limit=2": "limit", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "sort=size": "sort",
		"a=%zz": "", "label=x%3D": "label", "label=%3Dx": "label", "name=x&owner=y": "name",
	} {
		if p := w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodGet, path: "/clients?" + query}); p.Field != field {
			t.Errorf("%s names %q", query, p.Field)
		}
	}
	if p := w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodGet, path: "/grants?client_id=x"}); p.Field != "client_id" {
		t.Errorf("a malformed id names %q", p.Field)
	}
}

func TestMethodsAndAddresses(t *testing.T) {
	w := newWorld(t)
	if got := w.do(call{method: http.MethodHead, path: "/clients"}); got.status != http.StatusOK || len(got.body) != 0 || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %d %v", got.status, got.header)
	}
	got := w.do(call{method: http.MethodDelete, path: "/clients"})
	if got.status != http.StatusMethodNotAllowed || !strings.Contains(got.header.Get("Allow"), "POST") || strings.Contains(got.header.Get("Allow"), "DELETE") {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
	for _, path := range []string{"/", "/nonsense", "/clients/", "//clients", "/clients/../clients", "/clients/%2e"} {
		w.refused(http.StatusNotFound, "not_found", call{method: http.MethodGet, path: path})
	}
}
