package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// Each kind of step needs what the single call needs, and to see a plan it takes the right to read.
func TestApplyNeedsScopes(t *testing.T) {
	w := sqliteWorld(t)
	reading := []string{auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead}
	writing := []string{auth.ScopeAPIsWrite, auth.ScopeClientsWrite, auth.ScopeGrantsWrite, auth.ScopeSecretsWrite}
	doc := shop()
	doc.Clients[2].Grants = nil
	doc.Clients[0].Secret = &registry.DeclaredSecret{Generate: true}
	for _, missing := range append(reading, writing...) {
		t.Run(missing, func(t *testing.T) {
			actor := auth.Actor{Client: auth.ClientID{1}}
			for _, scope := range append(reading, writing...) {
				if scope != missing {
					actor.Scope += " " + scope
				}
			}
			_, err := w.Apply(t.Context(), actor, doc, registry.ApplyOptions{})
			if found := fault.From(err); found == nil || found.Code != fault.InsufficientScope || found.Field != missing {
				t.Errorf("error %v", err)
			}
			_, err = w.Plan(t.Context(), actor, doc, false)
			if isRead := len(missing) > 5 && missing[len(missing)-5:] == ":read"; isRead != errors.Is(err, fault.InsufficientScope) {
				t.Errorf("to plan: %v", err)
			}
		})
	}
	if n := len(w.export().Clients); n != 0 {
		t.Errorf("%d clients were made", n)
	}
	everything := w.admin("everything", append(reading, writing...)...)
	if _, err := w.Apply(t.Context(), everything, doc, registry.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

// No document is a way up, or out: who applies it can do no more by it than by single calls, and nothing is done if anything is refused.
func TestApplyIsNoWayUp(t *testing.T) {
	w := sqliteWorld(t)
	root := w.admin("root")
	part := w.admin("part", auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead, auth.ScopeAPIsWrite, auth.ScopeClientsWrite, auth.ScopeGrantsWrite, auth.ScopeSecretsWrite)
	w.apply(shop(), false)
	before := w.export()
	first := registry.DeclaredAPI{Identifier: "urn:example:first", Name: "First"}
	with := func(edit func(root *registry.DeclaredClient)) *registry.Document {
		c := before.Clients[3]
		edit(&c)
		return &registry.Document{APIs: []registry.DeclaredAPI{first}, Clients: []registry.DeclaredClient{c}}
	}
	for _, tt := range []struct {
		name  string
		actor auth.Actor
		doc   *registry.Document
		prune bool
		want  fault.Code
	}{
		{"change a stronger one", part, with(func(c *registry.DeclaredClient) { c.Owner = "me" }), false, fault.Forbidden},
		{"disable a stronger one", part, with(func(c *registry.DeclaredClient) { c.Disabled = new(true) }), false, fault.Forbidden},
		{"a secret of a stronger one", part, with(func(c *registry.DeclaredClient) {
			c.Secret = &registry.DeclaredSecret{Value: auth.PresentedSecret("correct-horse-battery")}
		}), false, fault.Forbidden},
		{"narrow a stronger one", part, with(func(c *registry.DeclaredClient) { c.Grants[0].Scopes = []string{auth.ScopeAPIsRead} }), false, fault.Forbidden},
		{"make a stronger one a server", part, &registry.Document{APIs: []registry.DeclaredAPI{{Identifier: "urn:example:first", Name: "x", Servers: []string{"root"}}}}, false, fault.Forbidden},
		{"make a stronger one", part, &registry.Document{APIs: []registry.DeclaredAPI{first}, Clients: []registry.DeclaredClient{
			{Name: "puppet", Grants: []registry.DeclaredGrant{{API: auth.AdminAPI, Scopes: []string{auth.ScopeKeysWrite}}}},
		}}, false, fault.Forbidden},
		{"make one of our servers", part, &registry.Document{APIs: []registry.DeclaredAPI{first}, Clients: []registry.DeclaredClient{
			{Name: "puppet", Grants: []registry.DeclaredGrant{{API: auth.ServerAPI, Scopes: []string{auth.ScopeRevokeAll}}}},
		}}, false, fault.Forbidden},
		{"remove a stronger one", part, &registry.Document{APIs: []registry.DeclaredAPI{first}}, true, fault.Forbidden},
		{"a secret of one's own", part, &registry.Document{APIs: []registry.DeclaredAPI{first}, Clients: []registry.DeclaredClient{
			{Name: "part", Secret: &registry.DeclaredSecret{Value: auth.PresentedSecret("correct-horse-battery")}},
		}}, false, fault.InsufficientScope},
		{"disable the last admin", root, with(func(c *registry.DeclaredClient) { c.Disabled = new(true) }), false, fault.Conflict},
		{"narrow the last admin", root, with(func(c *registry.DeclaredClient) { c.Grants[0].Scopes = []string{auth.ScopeAPIsRead} }), false, fault.Conflict},
		{"forget the last admin's grant", root, with(func(c *registry.DeclaredClient) { c.Grants, c.DefaultResource = nil, nil }), true, fault.Conflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := w.Apply(t.Context(), tt.actor, tt.doc, registry.ApplyOptions{Prune: tt.prune}); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	if diff := cmp.Diff(text(t, before.APIs), text(t, w.export().APIs)); diff != "" {
		t.Error(diff)
	}
}

// Whoever prunes stays.
func TestPruneSparesTheCaller(t *testing.T) {
	w := sqliteWorld(t)
	root := w.admin("root")
	w.apply(shop(), false)
	if _, err := w.Apply(t.Context(), root, &registry.Document{}, registry.ApplyOptions{Prune: true}); err != nil {
		t.Fatal(err)
	}
	left := w.export()
	if len(left.APIs) != 0 || len(left.Clients) != 1 || left.Clients[0].Name != "root" || len(left.Clients[0].Grants[0].Scopes) < 10 {
		t.Errorf("left is %s", text(t, left))
	}
}

// What narrows takes tokens back, once for each.
func TestApplyTellsTheChangeLog(t *testing.T) {
	w := sqliteWorld(t)
	w.apply(shop(), false)
	orders, err := w.ClientByName(t.Context(), system(), "orders")
	w.must(err)
	stock, err := w.APIByIdentifier(t.Context(), system(), "https://stock.example")
	w.must(err)
	doc := shop()
	doc.Clients[1].Grants[0].Scopes = []string{"stock:read"}
	doc.Clients[1].Disabled = new(true)
	var start auth.Position
	w.must(w.store.View(t.Context(), func(tx auth.Tx) (err error) { start, err = tx.Changes().Position(t.Context()); return err }))
	w.apply(doc, false)
	var got []auth.Change
	w.must(w.store.View(t.Context(), func(tx auth.Tx) (err error) {
		got, err = tx.Changes().ChangesAfter(t.Context(), start.Sequence, 100)
		return err
	}))
	for i := range got {
		got[i] = auth.Change{Kind: got[i].Kind, Subject: got[i].Subject, Object: got[i].Object, Audience: got[i].Audience}
	}
	want := []auth.Change{
		{Kind: auth.ClientChanged, Subject: orders.ID},
		{Kind: auth.RevokeClient, Subject: orders.ID},
		{Kind: auth.RevokeGrant, Subject: orders.ID, Object: stock.ID, Audience: stock.Identifier},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestApplyByDigest(t *testing.T) {
	w := sqliteWorld(t)
	shown := w.plan(shop(), false)
	if again := w.plan(shop(), false); again.Digest != shown.Digest {
		t.Error("one plan has two digests")
	}
	w.apply(&registry.Document{Clients: []registry.DeclaredClient{{Name: "orders"}}}, false)
	_, err := w.Apply(t.Context(), system(), shop(), registry.ApplyOptions{Digest: shown.Digest})
	if found := fault.From(err); found == nil || found.Code != fault.PreconditionFailed || found.Field != "digest" {
		t.Errorf("error %v", err)
	}
	if _, err := w.Apply(t.Context(), system(), shop(), registry.ApplyOptions{Digest: w.plan(shop(), false).Digest}); err != nil {
		t.Error(err)
	}
}

// overtaken is a Store in which something happens before each transaction.
type overtaken struct {
	auth.Store
	before func()
}

func (o overtaken) Update(ctx context.Context, change func(auth.Tx) error) error {
	o.before()
	return o.Store.Update(ctx, change)
}

// Whatever others do between plan and transaction, nothing of it is lost: the plan is made anew, or refused.
func TestApplyIsOvertaken(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name  string
		other func(w world, n int) // n is how often it has happened
		doc   func() *registry.Document
		prune bool
		want  fault.Code // empty: none
		with  fault.Code // where the digest of the plan is given
	}{
		{"by nobody", func(world, int) {}, shop, false, "", ""},
		{"by something else", func(w world, n int) {
			_, err := w.CreateClient(ctx, system(), auth.Client{Name: fmt.Sprint("else", n)})
			w.must(err)
		}, shop, true, "", ""},
		{"once, by a change of what is declared", func(w world, n int) {
			if n == 0 {
				w.edit("orders", func(c *auth.Client) { c.Owner = "somebody" })
			}
		}, func() *registry.Document {
			doc := shop()
			doc.Clients[1].Description = "changed"
			return doc
		}, false, "", fault.PreconditionFailed},
		{"by changes of what is declared, again and again", func(w world, n int) {
			w.edit("orders", func(c *auth.Client) { c.Owner = fmt.Sprint(n) })
		}, shop, false, fault.Conflict, fault.PreconditionFailed},
		{"by one who takes the name", func(w world, n int) {
			if n == 0 {
				_, err := w.CreateClient(ctx, system(), auth.Client{Name: "new"})
				w.must(err)
			}
		}, func() *registry.Document {
			return &registry.Document{Clients: []registry.DeclaredClient{{Name: "new", Owner: "me"}}}
		}, false, "", fault.PreconditionFailed},
		{"by one who deletes an API that is granted", func(w world, n int) {
			if n > 0 {
				return
			}
			a, err := w.APIByIdentifier(ctx, system(), "urn:example:mail")
			w.must(err)
			_, err = w.DeleteAPI(ctx, system(), a.ID, registry.Any)
			w.must(err)
		}, func() *registry.Document {
			return &registry.Document{Clients: []registry.DeclaredClient{{Name: "new", Grants: []registry.DeclaredGrant{{API: "urn:example:mail", Scopes: []string{"send"}}}}}}
		}, false, fault.InvalidRequest, fault.InvalidRequest},
		{"by one who grants the scope that goes", func(w world, n int) {
			if n > 0 {
				return
			}
			c, err := w.CreateClient(ctx, system(), auth.Client{Name: "late"})
			w.must(err)
			a, err := w.APIByIdentifier(ctx, system(), "https://stock.example")
			w.must(err)
			_, _, err = w.PutGrant(ctx, system(), auth.Grant{Client: c.ID, API: a.ID, Scopes: auth.NewScopes("stock:write")}, registry.Any)
			w.must(err)
		}, func() *registry.Document {
			doc := shop()
			doc.APIs[0].Scopes, doc.Clients[1].Grants[0].Scopes = doc.APIs[0].Scopes[:1], []string{"stock:read"}
			return doc
		}, false, fault.InvalidRequest, fault.InvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, digest := range []bool{false, true} {
				w := sqliteWorld(t)
				w.apply(shop(), false)
				doc := tt.doc()
				if tt.name != "by one who takes the name" {
					doc.Clients = append(doc.Clients, registry.DeclaredClient{Name: "more"})
				}
				options, want := registry.ApplyOptions{Prune: tt.prune}, tt.want
				if digest {
					options.Digest, want = w.plan(doc, tt.prune).Digest, tt.with
				}
				n := 0
				raced := registry.Registry{Store: overtaken{w.store, func() { tt.other(w, n); n++ }}, Peppers: w.Peppers, Now: w.Now}
				_, err := raced.Apply(ctx, system(), doc, options)
				if want == "" && err != nil || want != "" && !errors.Is(err, want) {
					t.Errorf("digest %v: error %v, want %v", digest, err, want)
				}
				if err != nil {
					continue
				}
				if left := w.plan(doc, false); len(left.Steps) > 0 {
					t.Errorf("digest %v: left is %q", digest, lines(left))
				}
			}
		})
	}
}

// To plan a large document takes a while, in which whoever asked for it may have been put out.
func TestApplyOfOneWhoIsPutOut(t *testing.T) {
	for name, end := range map[string]func(w world, id auth.ClientID) error{
		"disabled": func(w world, id auth.ClientID) error {
			_, err := w.SetClientStatus(w.Context(), system(), id, auth.Disabled)
			return err
		},
		"deleted": func(w world, id auth.ClientID) error {
			_, err := w.DeleteClient(w.Context(), system(), id, registry.Any)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := sqliteWorld(t)
			w.apply(shop(), false)
			actor := w.admin("leaving", auth.ScopeAPIsRead, auth.ScopeAPIsWrite, auth.ScopeClientsRead, auth.ScopeClientsWrite, auth.ScopeGrantsRead)
			doc := shop()
			doc.Clients = append(doc.Clients, registry.DeclaredClient{Name: "more"})
			put := false
			raced := registry.Registry{Store: overtaken{w.store, func() {
				if !put {
					put = true
					w.must(end(w, actor.Client))
				}
			}}, Peppers: w.Peppers, Now: w.Now}
			if _, err := raced.Apply(t.Context(), actor, doc, registry.ApplyOptions{}); !errors.Is(err, fault.InvalidToken) {
				t.Errorf("error %v, want %v", err, fault.InvalidToken)
			}
			if _, err := w.ClientByName(t.Context(), system(), "more"); !errors.Is(err, fault.NotFound) {
				t.Error("what was asked for is there")
			}
		})
	}
}

func (w world) edit(name string, change func(*auth.Client)) {
	w.Helper()
	c, err := w.ClientByName(w.Context(), system(), name)
	w.must(err)
	_, err = w.UpdateClient(w.Context(), system(), c.ID, registry.ClientEdit{Change: func(c *auth.Client) error { change(c); return nil }})
	w.must(err)
}
