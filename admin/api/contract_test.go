package api_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
)

// operations calls do for each operation of the document, which must have a request here.
func (w *world) operations(do func(id string, op map[string]any, valid func() call)) {
	w.Helper()
	requests, known := w.valid(), map[string]bool{}
	for _, p := range w.seen.paths {
		for _, method := range slices.Sorted(maps.Keys(p.methods)) {
			op := object(p.methods[method])
			id := op["operationId"].(string)
			known[id] = true
			if requests[id] == nil {
				w.Fatalf("there is no request for %s", id)
			}
			do(id, op, requests[id])
		}
	}
	for id := range requests {
		if !known[id] {
			w.Errorf("there is a request for %s, and no such operation", id)
		}
	}
}

// scopesOf returns the scopes that an operation says it needs: the first of several ways.
func scopesOf(op map[string]any) (scopes []string) {
	ways, _ := op["security"].([]any)
	if len(ways) == 0 {
		return nil
	}
	for _, scope := range object(ways[0])["oauth2"].([]any) {
		scopes = append(scopes, scope.(string))
	}
	return scopes
}

func allScopes() (all []string) {
	for _, scope := range registry.AdminScopes() {
		all = append(all, scope.Name)
	}
	return all
}

// Nobody gets past without a token for this API that holds every scope the operation names.
func TestEveryRouteAuthorizes(t *testing.T) {
	w := newWorld(t)
	elsewhere := w.ask(w.stranger(), auth.ServerAPI, "")
	w.operations(func(id string, op map[string]any, valid func() call) {
		c := valid()
		c.token = "-"
		for _, authorization := range []string{"", "Basic " + w.token, "Bearer"} {
			c.header = header("Authorization", authorization)
			got := w.do(c)
			if got.status != http.StatusUnauthorized || authorization != "Bearer" && got.header.Get("WWW-Authenticate") != `Bearer realm="countersign"` {
				t.Errorf("%s with Authorization %q: %d %s", id, authorization, got.status, got.header.Get("WWW-Authenticate"))
			}
		}
		c = valid()
		for _, token := range []string{elsewhere, w.token + "x", "cs_at_x"} {
			c.token = token
			if got := w.do(c); got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s with another token: %d %s", id, got.status, got.header.Get("WWW-Authenticate"))
			}
		}
		if len(scopesOf(op)) == 0 {
			t.Errorf("%s names no scope", id)
		}
		for _, scope := range scopesOf(op) {
			c.token = w.ask(w.root, auth.AdminAPI, strings.Join(slices.DeleteFunc(allScopes(), func(s string) bool { return s == scope }), " "))
			if p := w.refused(http.StatusForbidden, "insufficient_scope", c); p.Field != scope {
				t.Errorf("%s without %s names %q", id, scope, p.Field)
			}
		}
		c.token = w.ask(w.root, auth.AdminAPI, strings.Join(scopesOf(op), " "))
		if got := w.do(c); got.status >= http.StatusBadRequest {
			t.Errorf("%s with just %v: %d %s", id, scopesOf(op), got.status, got.body)
		}
	})
}

// stranger is a client with a grant on the other API of Countersign.
func (w *world) stranger() seed.Credential {
	w.Helper()
	made := w.newClient()
	secret := w.newSecret(made.ID)
	apis, _ := want[wire.List[wire.API]](w, http.StatusOK, call{method: http.MethodGet, path: "/apis?identifier=" + auth.ServerAPI})
	want[wire.Grant](w, http.StatusCreated, call{
		method: http.MethodPut, path: "/clients/" + made.ID + "/grants/" + apis.Items[0].ID, header: forcedAbsent(), body: wire.GrantBody{Scopes: []string{"introspect:all"}},
	})
	id, err := auth.ParseClientID(made.ID)
	w.check(err)
	return seed.Credential{ID: id, Secret: auth.PresentedSecret(secret.Value)}
}

func forcedAbsent() http.Header { return header("If-None-Match", "*") }

// Every status that the document promises can be had, and every answer is as it says.
func TestAnswersAreAsDocumented(t *testing.T) {
	w := newWorld(t)
	weak := w.ask(w.root, auth.AdminAPI, "secrets:own")
	w.operations(func(id string, op map[string]any, valid func() call) {
		documented := func(status string) bool { return object(op["responses"])[status] != nil }
		provoke := func(status int, change func(*call)) {
			t.Helper()
			c := valid()
			change(&c)
			if got := w.do(c); got.status != status {
				t.Errorf("%s: %d, want %d: %s", id, got.status, status, got.body)
			}
		}
		if got := w.do(valid()); got.status > 299 {
			t.Errorf("%s: %d %s", id, got.status, got.body)
		}
		provoke(http.StatusBadRequest, func(c *call) { c.path += sign(c.path) + "nonsense=1" })
		provoke(http.StatusUnauthorized, func(c *call) { c.token = "x" })
		provoke(http.StatusForbidden, func(c *call) { c.token = weak })
		if path := valid().path; documented("404") && elsewhere(path) != path && !documented("201") { // what is created need not be there
			provoke(http.StatusNotFound, func(c *call) { c.path = elsewhere(c.path) })
		}
		if documented("413") {
			provoke(http.StatusRequestEntityTooLarge, func(c *call) { c.body = strings.Repeat(" ", 9<<20) })
			provoke(http.StatusUnsupportedMediaType, func(c *call) {
				c.header = c.header.Clone()
				if c.header == nil {
					c.header = http.Header{}
				}
				c.header.Set("Content-Type", "text/plain")
			})
		}
		if documented("428") {
			provoke(http.StatusPreconditionRequired, func(c *call) { c.header = nil })
			provoke(http.StatusPreconditionFailed, func(c *call) { c.header = ifMatch(`"4711"`) })
		}
		if documented("422") {
			w.mismatch(id, valid())
		}
		if op["parameters"] != nil && documented("409") && valid().method == http.MethodPost {
			w.inFlight(id, valid())
		}
	})
	w.conflicts()
	w.others()
	if missing := w.seen.unseen(); len(missing) > 0 {
		t.Errorf("documented, and never seen:\n%s", strings.Join(missing, "\n"))
	}
}

func sign(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}

// elsewhere puts ids into a path that name nothing.
func elsewhere(path string) string {
	now := time.Now()
	path = regexp.MustCompile(`cl_\w{22}`).ReplaceAllString(path, auth.NewClientID(now).String())
	path = regexp.MustCompile(`api_\w{22}`).ReplaceAllString(path, auth.NewAPIID(now).String())
	path = regexp.MustCompile(`iss_\w{22}`).ReplaceAllString(path, auth.NewTrustedIssuerID(now).String())
	path = regexp.MustCompile(`key_\w{22}`).ReplaceAllString(path, auth.NewKeyID(now).String())
	path = regexp.MustCompile(`evt_\w{22}`).ReplaceAllString(path, auth.NewEventID(now).String())
	return regexp.MustCompile(`/tokens/\w{22}`).ReplaceAllString(path, "/tokens/"+auth.NewTokenID(now, now).String())
}

// mismatch uses an Idempotency-Key for two bodies.
func (w *world) mismatch(id string, c call) {
	w.Helper()
	c.header = header("Idempotency-Key", rand.Text())
	if got := w.do(c); got.status > 299 {
		w.Errorf("%s: %d %s", id, got.status, got.body)
	}
	request := w.encoded(c.body)
	c.body = request[:len(request)-1] + " }"
	w.refused(http.StatusUnprocessableEntity, "idempotency_mismatch", c)
}

// inFlight sends a request twice while the database makes both wait.
func (w *world) inFlight(id string, c call) {
	w.Helper()
	c.header = header("Idempotency-Key", rand.Text())
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- w.store.Update(w.Context(), func(auth.Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	select {
	case <-held:
	case err := <-done:
		w.Fatal(err)
	}
	replies := make(chan reply, 2)
	for range 2 {
		go func() { replies <- w.send(c) }()
	}
	first := <-replies
	close(release)
	w.check(<-done)
	second := <-replies
	w.seen.hold(c, first)
	w.seen.hold(c, second)
	if first.status != http.StatusConflict || second.status > 299 {
		w.Errorf("%s twice at once: %d %s, %d %s", id, first.status, first.body, second.status, second.body)
	}
}

// conflicts provokes what the state of things forbids.
func (w *world) conflicts() {
	w.Helper()
	const post, put, patch, del = http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	trusted := w.newIssuer()
	want[wire.Client](w, http.StatusCreated, call{method: post, path: "/clients", body: wire.ClientBody{
		Name: rand.Text(), AuthMethod: "federated_jwt", Proofs: wire.Proofs{Federation: []wire.FederationRule{
			{Issuer: trusted.Name, Claims: []wire.ClaimMatch{{Path: []string{"sub"}, Equals: "me"}}},
		}},
	}})
	a, b, root := w.newClient(), w.newClient(), "/clients/"+w.root.ID.String()
	active := w.newSecret(a.ID)
	one, other := w.newAPI(), w.newAPI()
	granted, _ := w.newGrant()
	grants, _ := want[wire.List[wire.Grant]](w, http.StatusOK, call{method: http.MethodGet, path: "/grants?client_id=" + w.root.ID.String()})
	admin := root + "/grants/" + grants.Items[0].API
	secrets, _ := want[wire.List[wire.Secret]](w, http.StatusOK, call{method: http.MethodGet, path: root + "/secrets"})
	for _, c := range []call{
		{method: put, path: "/clients/" + b.ID, body: wire.ClientBody{Name: a.Name}, header: forced()},
		{method: patch, path: "/clients/" + b.ID, body: wire.ClientBody{Name: a.Name}, header: forced()},
		{method: del, path: root, header: forced()},
		{method: del, path: "/clients/" + a.ID + "/secrets/" + active.ID, header: forced()},
		{method: patch, path: root + "/secrets/" + secrets.Items[0].ID, body: wire.SecretPatch{Expires: new(time.Now().Add(time.Minute))}, header: forced()},
		{method: put, path: "/apis/" + auth.NewAPIID(time.Now()).String(), body: wire.APIBody{Identifier: one.Identifier, Name: other.Name}, header: forcedAbsent()},
		{method: patch, path: "/apis/" + granted, body: `{"scopes":[{"name":"read"}]}`, header: forced()},
		{method: put, path: admin, body: wire.GrantBody{Scopes: []string{"keys:read"}}, header: forced()},
		{method: post, path: "/clients/" + w.newKeyed().ID + "/secrets"},
		{method: patch, path: "/trusted-issuers/" + w.newIssuer().ID, body: `{"name":"` + trusted.Name + `"}`, header: forced()},
		{method: del, path: "/trusted-issuers/" + trusted.ID, header: forced()},
		{method: del, path: admin, header: forced()},
	} {
		w.refused(http.StatusConflict, "conflict", c)
	}
}

// others provokes what is left.
func (w *world) others() {
	w.Helper()
	const put, post = http.MethodPut, http.MethodPost
	nobody := auth.NewClientID(time.Now()).String()
	want[wire.Client](w, http.StatusCreated, call{method: put, path: "/clients/" + nobody, body: wire.ClientBody{Name: rand.Text()}, header: forcedAbsent()})
	want[wire.API](w, http.StatusCreated, call{
		method: put, path: "/apis/" + auth.NewAPIID(time.Now()).String(), body: wire.APIBody{Identifier: "https://put.test", Name: "x"}, header: forcedAbsent(),
	})
	for _, path := range []string{"/clients/" + nobody + "x/secrets", "/clients/x/secrets/rotate"} {
		want[wire.Problem](w, http.StatusNotFound, call{method: post, path: path})
	}
	want[wire.Problem](w, http.StatusNotFound, call{
		method: put, path: "/clients/" + w.root.ID.String() + "/grants/api_x", body: wire.GrantBody{Scopes: []string{"x"}}, header: forced(),
	})
	want[wire.Problem](w, http.StatusNotFound, call{
		method: put, path: "/clients/" + w.root.ID.String() + "/exchanges/api_x/api_y", body: wire.ExchangeBody{Scopes: []wire.ExchangeScope{{Scope: "x"}}}, header: forced(),
	})
	want[wire.Problem](w, http.StatusNotFound, call{method: put, path: "/clients/cl_x", body: wire.ClientBody{Name: "x"}, header: forced()})
	want[wire.Problem](w, http.StatusNotFound, call{method: put, path: "/apis/api_x", body: wire.APIBody{Identifier: "https://x.test", Name: "x"}, header: forced()})
	want[wire.Problem](w, http.StatusNotFound, call{
		method: post, path: "/revocations", body: wire.RevocationBody{Client: auth.NewClientID(time.Now().Add(time.Second)).String()},
	})
	want[wire.Problem](w, http.StatusPreconditionFailed, call{method: post, path: "/apply", body: wire.ApplyBody{
		Document: wire.Document{Version: wire.DocumentVersion}, Digest: "of another plan",
	}})
}
