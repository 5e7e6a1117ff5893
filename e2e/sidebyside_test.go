package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/seed"
)

// adminAPI is the admin API of one server, as a client with every scope sees it.
type adminAPI struct {
	server *serverProcess
	token  string
	names  map[string]string // ids by what both servers call them
	ids    map[string]string // the other way round
}

// newAdminAPI starts a server on a database of a kind and gets an access token for its admin API.
func newAdminAPI(t *testing.T, kind string) *adminAPI {
	t.Helper()
	s := newSeeded(t, kind)
	made, err := seed.Client(t.Context(), s.Registry, seed.Admin())
	if err != nil {
		t.Fatal(err)
	}
	a := &adminAPI{server: startInstance(t, s), names: map[string]string{}, ids: map[string]string{}}
	a.token = token(t, a.server.URL, credential{ID: made.ID.String(), Secret: made.Secret.Reveal()}, url.Values{"resource": {"urn:countersign:admin"}})
	return a
}

// adminCall is one call, with ids by name, such as {client-1}.
type adminCall struct {
	Method string
	Path   string
	Body   any
	Header map[string]string
}

// idPattern finds what differs between two servers: ids, and base62 ids of tokens.
var idPattern = regexp.MustCompile(`\b(cl|api|sec|key|evt)_[0-9A-Za-z]{22}\b`)

// send makes the call and returns the answer with ids by name, without times and secrets.
func (a *adminAPI) send(ctx context.Context, c adminCall) (status int, etag string, body any, err error) {
	text, err := json.Marshal(c.Body)
	if err != nil {
		return 0, "", nil, err
	}
	if c.Body == nil {
		text = nil
	}
	request, err := http.NewRequestWithContext(ctx, c.Method, a.server.AdminURL+"/admin/v1"+a.resolve(c.Path), bytes.NewReader([]byte(a.resolve(string(text)))))
	if err != nil {
		return 0, "", nil, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	if text != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for name, value := range c.Header {
		request.Header.Set(name, value)
	}
	got, err := do(request)
	if err != nil {
		return 0, "", nil, err
	}
	var decoded any
	if len(got.Body) > 0 {
		if err := json.Unmarshal(got.Body, &decoded); err != nil {
			return 0, "", nil, fmt.Errorf("%s %s: %w: %s", c.Method, c.Path, err, got.Body)
		}
	}
	return got.Status, got.Header.Get("ETag"), a.plain(decoded), nil
}

func (a *adminAPI) resolve(text string) string {
	for name, id := range a.ids {
		text = strings.ReplaceAll(text, "{"+name+"}", id)
	}
	return text
}

// plain replaces ids by names, and what no two servers can have in common by nothing.
func (a *adminAPI) plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			switch {
			case strings.HasSuffix(name, "_at"), slices.Contains([]string{"at", "request_id", "client_secret", "hint", "chain", "seal", "next_cursor", "digest", "sequence", "number"}, name):
				delete(v, name)
			default:
				v[name] = a.plain(v[name])
			}
		}
	case []any:
		// What was made within a millisecond has no order that two servers share.
		slices.SortStableFunc(v, func(one, other any) int { return strings.Compare(nameIn(one), nameIn(other)) })
		for i := range v {
			v[i] = a.plain(v[i])
		}
		slices.SortStableFunc(v, func(one, other any) int { return strings.Compare(fmt.Sprint(one), fmt.Sprint(other)) })
	case string:
		return idPattern.ReplaceAllStringFunc(v, a.name)
	}
	return value
}

// nameIn is by what people know an item of a list.
func nameIn(item any) string {
	members, _ := item.(map[string]any)
	name, _ := members["name"].(string)
	return name
}

// name gives an id the name that it has on both servers: its kind and in which order it was seen.
func (a *adminAPI) name(id string) string {
	if name, known := a.names[id]; known {
		return "{" + name + "}"
	}
	kind, _, _ := strings.Cut(id, "_")
	n := 1
	for name := range a.ids {
		if strings.HasPrefix(name, kind+"-") {
			n++
		}
	}
	name := fmt.Sprintf("%s-%d", kind, n)
	a.names[id], a.ids[name] = name, id
	return "{" + name + "}"
}

// walker chooses calls at random, from what is there and what is not.
type walker struct {
	*rand.Rand

	clients, apis, secrets int
	etag                   map[string]string // by path
}

func (w *walker) one(kind string, n int) string { return fmt.Sprintf("{%s-%d}", kind, 1+w.IntN(n+1)) } // one more than there are

func pick[T any](w *walker, from ...T) T { return from[w.IntN(len(from))] }

// next returns a call. The first names are taken by what every database begins with.
func (w *walker) next() adminCall {
	client, api, secret := w.one("cl", w.clients), w.one("api", w.apis), w.one("sec", w.secrets)
	scopes := pick(w, []string{"read"}, []string{"read", "write"}, []string{"write"}, []string{}, []string{"fly"})
	name := fmt.Sprintf("name-%d", w.IntN(12))
	match := func(path string) map[string]string {
		return pick(w, map[string]string{"If-Match": w.etag[path]}, map[string]string{"If-Match": "*"}, map[string]string{"If-Match": `"999"`},
			map[string]string{"If-None-Match": "*"}, nil)
	}
	call := pick(w,
		adminCall{Method: http.MethodPost, Path: "/clients", Body: map[string]any{"name": name, "owner": pick(w, "", "team-a", "team-b")}},
		adminCall{Method: http.MethodPost, Path: "/clients", Body: map[string]any{"name": name, "colour": "blue"}},
		adminCall{Method: http.MethodGet, Path: "/clients?limit=" + pick(w, "1", "3", "200", "0", "x") + pick(w, "&sort=name", "&sort=-name", "&sort=name&owner=team-a", "&sort=name&status=disabled", "&sort=size")},
		adminCall{Method: http.MethodGet, Path: "/clients/" + client},
		adminCall{Method: http.MethodPatch, Path: "/clients/" + client, Body: map[string]any{"name": name, "labels": map[string]any{"tier": pick[any](w, "1", "2", nil)}}},
		adminCall{Method: http.MethodDelete, Path: "/clients/" + client},
		adminCall{Method: http.MethodPost, Path: "/clients/" + client + "/" + pick(w, "disable", "enable")},
		adminCall{Method: http.MethodPost, Path: "/apis", Body: map[string]any{"identifier": "https://" + name + ".example", "name": name, "scopes": []any{map[string]any{"name": "read"}, map[string]any{"name": "write"}}}},
		adminCall{Method: http.MethodGet, Path: "/apis/" + api},
		adminCall{Method: http.MethodGet, Path: "/apis?limit=2&sort=name"},
		adminCall{Method: http.MethodPatch, Path: "/apis/" + api, Body: map[string]any{"token_lifetime_seconds": pick(w, 60, 600, 5, 100000), "token_format": pick(w, "jwt", "opaque", "saml")}},
		adminCall{Method: http.MethodDelete, Path: "/apis/" + api},
		adminCall{Method: http.MethodPut, Path: "/apis/" + api + "/servers/" + client},
		adminCall{Method: http.MethodDelete, Path: "/apis/" + api + "/servers/" + client},
		adminCall{Method: http.MethodPut, Path: "/clients/" + client + "/grants/" + api, Body: map[string]any{"scopes": scopes}},
		adminCall{Method: http.MethodGet, Path: "/clients/" + client + "/grants/" + api},
		adminCall{Method: http.MethodDelete, Path: "/clients/" + client + "/grants/" + api},
		adminCall{Method: http.MethodGet, Path: "/grants?client_id=" + client},
		adminCall{Method: http.MethodPost, Path: "/clients/" + client + "/secrets", Body: map[string]any{}},
		adminCall{Method: http.MethodPost, Path: "/clients/" + client + "/secrets/rotate", Body: map[string]any{"overlap_seconds": pick(w, 0, 3600, -1)}},
		adminCall{Method: http.MethodGet, Path: "/clients/" + client + "/secrets"},
		adminCall{Method: http.MethodPost, Path: "/clients/" + client + "/secrets/" + secret + "/" + pick(w, "disable", "enable"), Body: map[string]any{}},
		adminCall{Method: http.MethodDelete, Path: "/clients/" + client + "/secrets/" + secret},
		adminCall{Method: http.MethodPost, Path: "/revocations", Body: pick(w, map[string]any{"client_id": client}, map[string]any{"api_id": api}, map[string]any{"secret_id": secret}, map[string]any{}, map[string]any{"all": true, "api_id": api})},
		adminCall{Method: http.MethodGet, Path: "/explain?client=" + client + "&api=" + api + "&scope=read"},
		adminCall{Method: http.MethodGet, Path: "/graph"},
		adminCall{Method: http.MethodGet, Path: "/export"},
	)
	if call.Method == http.MethodPatch || call.Method == http.MethodDelete || call.Method == http.MethodPut {
		call.Header = match(call.Path)
	}
	return call
}

// keepsAdmin reports whether the call may be sent: it must not be about the client that sends the calls, nor about sets of tokens that hold its own.
func keepsAdmin(c adminCall, own string) bool {
	body, _ := c.Body.(map[string]any)
	if strings.Contains(c.Path, own) || body["client_id"] == own {
		return false
	}
	return body["all"] == nil && body["api_id"] == nil && body["secret_id"] == nil
}

// The same calls get the same answers from a server on SQLite and one on MariaDB.
func TestDatabasesAnswerAlike(t *testing.T) {
	t.Parallel()
	const calls = 600
	one, other := newAdminAPI(t, "sqlite"), newAdminAPI(t, "mariadb")
	seedOfWalk := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seedOfWalk)
	w := &walker{Rand: rand.New(rand.NewPCG(seedOfWalk, 1)), clients: 8, apis: 6, secrets: 8, etag: map[string]string{}}
	own := ""
	for n := range calls {
		var call adminCall
		switch n {
		case 0:
			call = adminCall{Method: http.MethodGet, Path: "/clients?limit=200&sort=name"}
		case 1:
			call = adminCall{Method: http.MethodGet, Path: "/apis?limit=200&sort=name"}
		default:
			for call = w.next(); !keepsAdmin(call, own); call = w.next() {
			}
		}
		status, etag, body, err := one.send(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		otherStatus, otherETag, otherBody, err := other.send(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{status, etag, body}, []any{otherStatus, otherETag, otherBody}); diff != "" {
			t.Fatalf("call %d, %s %s %v %v (-SQLite +MariaDB):\n%s", n, call.Method, call.Path, call.Body, call.Header, diff)
		}
		if status >= http.StatusInternalServerError {
			t.Fatalf("call %d, %s %s: %d: %v", n, call.Method, call.Path, status, body)
		}
		if etag != "" {
			w.etag[call.Path] = etag
		}
		w.learn(one)
		if n == 0 {
			own = "{" + ownName(t, body) + "}"
		}
	}
}

// learn notes how many of each kind both servers have named.
func (w *walker) learn(a *adminAPI) {
	count := map[string]int{}
	for name := range a.ids {
		kind, _, _ := strings.Cut(name, "-")
		count[kind]++
	}
	w.clients, w.apis, w.secrets = count["cl"], count["api"], count["sec"]
}

// ownName returns the name of the client that administers, in a list of clients.
func ownName(t *testing.T, list any) string {
	t.Helper()
	page, _ := list.(map[string]any)
	items, _ := page["items"].([]any)
	for _, item := range items {
		if c, _ := item.(map[string]any); c["name"] == "admin" {
			id, _ := c["client_id"].(string)
			return strings.Trim(id, "{}")
		}
	}
	t.Fatalf("no client is named admin: %v", list)
	return ""
}
