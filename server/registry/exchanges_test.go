package registry_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestExchanges(t *testing.T) {
	d := newDesk(t)
	actor := officer("grants:read grants:write apis:write")
	c, stock, prices := d.client("orders"), d.api("https://stock.example/"), d.api("https://prices.example/")
	d.grant(c, prices, "read")
	put := func(scopes ...auth.ExchangeScope) auth.ExchangeGrant {
		return auth.ExchangeGrant{Client: c.ID, Source: stock.ID, Target: prices.ID, Scopes: scopes}
	}
	read, write := auth.ExchangeScope{Scope: "read", Needs: "read"}, auth.ExchangeScope{Scope: "write", Needs: "read"}
	for _, step := range []struct {
		name    string
		scopes  []auth.ExchangeScope
		match   registry.Match
		created bool
		kinds   []auth.ChangeKind
	}{
		{"new", []auth.ExchangeScope{write, read}, registry.Absent, true, []auth.ChangeKind{auth.ClientChanged}},
		{"the same in another order", []auth.ExchangeScope{read, write}, 1, false, nil},
		{"narrower", []auth.ExchangeScope{read}, 1, false, []auth.ChangeKind{auth.ClientChanged, auth.RevokeGrant}},
		{"wider", []auth.ExchangeScope{read, write}, 2, false, []auth.ChangeKind{auth.ClientChanged}},
		{"needing more", []auth.ExchangeScope{read, {Scope: "write", Needs: "write"}}, 3, false, []auth.ChangeKind{auth.ClientChanged, auth.RevokeGrant}},
	} {
		made := d.changes(func() {
			_, created, err := d.PutExchange(t.Context(), actor, put(step.scopes...), step.match)
			if err != nil || created != step.created {
				t.Errorf("%s: %t, %v", step.name, created, err)
			}
		})
		var kinds []auth.ChangeKind
		for _, change := range made {
			kinds = append(kinds, change.Kind)
			if change.Kind == auth.RevokeGrant && (change.Object != [16]byte(prices.ID) || change.Audience != prices.Identifier) {
				t.Errorf("%s: %+v", step.name, change)
			}
		}
		if !slices.Equal(kinds, step.kinds) {
			t.Errorf("%s: %v, want %v", step.name, kinds, step.kinds)
		}
	}
	if err := second(d.UpdateAPI(t.Context(), actor, prices.ID, registry.Any, rename(func(a *auth.API) { a.Scopes = a.Scopes[:1] }))); !errors.Is(err, fault.Conflict) {
		t.Errorf("a scope that is exchanged goes: %v", err)
	}
	if err := second(d.UpdateAPI(t.Context(), actor, stock.ID, registry.Any, rename(func(a *auth.API) { a.Scopes = a.Scopes[:1] }))); !errors.Is(err, fault.Conflict) {
		t.Errorf("a scope that is needed goes: %v", err)
	}
	own := d.api("https://own.example/")
	for name, g := range map[string]auth.ExchangeGrant{
		"the same API":  {Client: c.ID, Source: stock.ID, Target: stock.ID, Scopes: []auth.ExchangeScope{read}},
		"nothing":       put(),
		"scope unknown": put(auth.ExchangeScope{Scope: "x", Needs: "read"}),
		"needs unknown": put(auth.ExchangeScope{Scope: "read", Needs: "x"}),
		"no client":     {Client: auth.ClientID{7}, Source: stock.ID, Target: own.ID, Scopes: []auth.ExchangeScope{read}},
		"no API":        {Client: c.ID, Source: stock.ID, Target: auth.APIID{7}, Scopes: []auth.ExchangeScope{read}},
	} {
		if err := third(d.PutExchange(t.Context(), actor, g, registry.Any)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	d.token(c, prices)
	made := d.changes(func() {
		hit, err := d.DeleteExchange(t.Context(), actor, registry.ExchangeRef{Client: c.ID, Source: stock.ID, Target: prices.ID, Match: registry.Exists})
		if err != nil || hit != (registry.Hit{Tokens: 1, Exact: true}) {
			t.Error(hit, err)
		}
	})
	if len(made) != 2 || made[1].Kind != auth.RevokeGrant {
		t.Error(made)
	}
	if last, _ := d.last(); last.Action != "exchange.delete" || last.Target != c.ID.String()+"/"+stock.ID.String()+"/"+prices.ID.String() {
		t.Errorf("%+v", last)
	}
}

// Pages of all exchanges have each once, whatever the filter; with an API go the exchanges of it.
func TestExchangesListed(t *testing.T) {
	d := newDesk(t)
	actor := officer(adminScopes().String())
	apis := []*auth.API{d.api("https://a.example/"), d.api("https://b.example/"), d.api("https://c.example/")}
	var clients []*auth.Client
	for _, name := range []string{"x", "y"} {
		c := d.client(name)
		clients = append(clients, c)
		for _, source := range apis {
			for _, target := range apis {
				if source != target {
					d.exchange(c, source, target, "read")
				}
			}
		}
	}
	for _, tt := range []struct {
		q    registry.ExchangeQuery
		want int
	}{
		{registry.ExchangeQuery{}, 12},
		{registry.ExchangeQuery{Client: clients[1].ID}, 6},
		{registry.ExchangeQuery{Source: apis[0].ID}, 4},
		{registry.ExchangeQuery{Target: apis[0].ID, Client: clients[0].ID}, 2},
		{registry.ExchangeQuery{API: apis[0].ID}, 8},
	} {
		seen := map[registry.ExchangeRef]bool{}
		for q := tt.q; ; {
			q.Limit = 5
			page, err := d.ListExchanges(t.Context(), actor, q)
			d.must(err)
			for _, g := range page {
				ref := registry.ExchangeRef{Client: g.Client, Source: g.Source, Target: g.Target}
				if seen[ref] {
					t.Error("twice", ref)
				}
				seen[ref], q.After = true, &ref
			}
			if len(page) < q.Limit {
				break
			}
		}
		if len(seen) != tt.want {
			t.Errorf("%+v: %d, want %d", tt.q, len(seen), tt.want)
		}
	}
	made := d.changes(func() { d.must(second(d.DeleteAPI(t.Context(), actor, apis[0].ID, registry.Any))) })
	told := map[[16]byte]bool{}
	for _, change := range made {
		told[change.Subject] = told[change.Subject] || change.Kind == auth.ClientChanged
	}
	if left, err := d.ListExchanges(t.Context(), actor, registry.ExchangeQuery{}); err != nil || len(left) != 4 || !told[clients[0].ID] || !told[clients[1].ID] {
		t.Error(len(left), err, made)
	}
}

func TestMayAct(t *testing.T) {
	d := newDesk(t)
	actor := officer("grants:write")
	c, api, other := d.client("orders"), d.api("https://stock.example/"), d.client("stock")
	grant := func(mayAct auth.ClientID) error {
		return third(d.PutGrant(t.Context(), actor, auth.Grant{Client: c.ID, API: api.ID, Scopes: auth.NewScopes("read"), MayAct: mayAct}, registry.Any))
	}
	if found := fault.From(grant(auth.ClientID{9})); found == nil || found.Field != "may_act" {
		t.Error(found)
	}
	for _, may := range []auth.ClientID{{}, other.ID, {}} {
		d.must(grant(may))
		g, err := d.Grant(t.Context(), officer("grants:read"), c.ID, api.ID)
		if err != nil || g.MayAct != may {
			t.Error(g, err)
		}
	}
}
