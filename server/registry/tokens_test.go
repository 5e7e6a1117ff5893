package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestClientTokensAreTheActiveOnes(t *testing.T) {
	d := newDesk(t)
	c, other, a := d.client("orders"), d.client("billing"), d.api("https://stock.example")
	d.token(c, a, expired)
	d.token(other, a)
	gone := d.token(c, a)
	if _, err := d.RevokeToken(t.Context(), auth.Actor{}, gone.ID); err != nil {
		t.Fatal(err)
	}
	d.refresh()
	want := map[auth.TokenID]bool{}
	for range 3 {
		want[d.token(c, a, func(t *auth.Token) { t.Proof = [32]byte{7} }).ID] = true
	}
	got := map[auth.TokenID]bool{}
	var after auth.TokenID
	for {
		page, err := d.ClientTokens(t.Context(), officer("tokens:read"), c.ID, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range page {
			if got[found.ID] = true; found.Status != registry.TokenActive || found.Proof != [32]byte{} {
				t.Errorf("token is %+v", found)
			}
			after = found.ID
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := d.ClientTokens(t.Context(), auth.Actor{}, auth.NewClientID(time.Now()), auth.TokenID{}, 2); !errors.Is(err, fault.NotFound) {
		t.Errorf("tokens of nobody: %v", err)
	}
}

// Whoever has many tokens that were taken back still sees those that were not.
func TestClientTokensBehindManyRevoked(t *testing.T) {
	d := newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	issued := time.Now().UTC().Truncate(time.Second)
	var many []*auth.Token
	for range 1500 {
		many = append(many, &auth.Token{
			ID: auth.NewTokenID(issued, issued.Add(time.Hour)), Client: c.ID, API: a.ID, Scope: "read", Issued: issued,
			Expires: issued.Add(time.Hour), Revision: d.directory.Sequence(),
		})
	}
	d.must(d.store.InsertTokens(t.Context(), many, false))
	revoked, err := d.Revoke(t.Context(), auth.Actor{}, registry.Selector{Client: c.ID})
	if err != nil || revoked.Hit != (registry.Hit{Tokens: 1500, Exact: true}) {
		t.Fatal(revoked, err)
	}
	d.refresh()
	left := d.token(c, a, func(t *auth.Token) {
		t.Expires = t.Expires.Add(time.Hour) // behind all the others
		t.ID = auth.NewTokenID(t.Issued, t.Expires)
	})
	found, err := d.ClientTokens(t.Context(), auth.Actor{}, c.ID, auth.TokenID{}, 10)
	if err != nil || len(found) != 1 || found[0].ID != left.ID {
		t.Fatal(found, err)
	}
}

func TestTokenIsTakenBackOnce(t *testing.T) {
	d := newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	tok := d.token(c, a)
	status := func(want registry.TokenStatus) {
		t.Helper()
		if found, err := d.Token(t.Context(), officer("tokens:read"), tok.ID); err != nil || found.Status != want {
			t.Errorf("token is %+v (%v), want %s", found, err, want)
		}
	}
	status(registry.TokenActive)
	for _, want := range []registry.Hit{{Tokens: 1, Exact: true}, {Exact: true}} {
		changes := d.changes(func() {
			hit, err := d.RevokeToken(t.Context(), officer("tokens:write"), tok.ID)
			if err != nil || hit != want {
				t.Errorf("hit is %+v (%v), want %+v", hit, err, want)
			}
		})
		if int64(len(changes)) != want.Tokens {
			t.Errorf("%d changes, want %d", len(changes), want.Tokens)
		}
		status(registry.TokenRevoked)
	}
	event, after := d.last()
	if event.Action != "token.revoke" || event.Target != tok.ID.String() || event.Actor.Name != "officer" {
		t.Errorf("event is %+v", event)
	}
	if diff := cmp.Diff(map[string]any{"revoked_tokens": 1.0, "revoked_tokens_exact": true}, after); diff != "" {
		t.Error(diff)
	}
	old := d.token(c, a, expired)
	if found, err := d.Token(t.Context(), auth.Actor{}, old.ID); err != nil || found.Status != registry.TokenExpired {
		t.Errorf("token is %+v (%v)", found, err)
	}
	if _, err := d.RevokeToken(t.Context(), auth.Actor{}, auth.NewTokenID(time.Now(), time.Now())); !errors.Is(err, fault.NotFound) {
		t.Errorf("unknown token: %v", err)
	}
}

// A token tells of all that it was made from, and which of them a revocation refuses.
func TestTokenTellsItsChain(t *testing.T) {
	d := newDesk(t)
	shop, orders, a := d.client("shop"), d.client("orders"), d.api("https://stock.example")
	root := d.token(shop, a)
	parent := auth.Ancestor{ID: root.ID, Client: shop.ID, Audience: a.Identifier, Revision: root.Revision}
	issued := time.Now().UTC().Add(-50 * time.Hour)
	ancient := auth.Ancestor{ID: auth.NewTokenID(issued, issued.Add(time.Hour)), Client: shop.ID, Audience: a.Identifier, Revision: root.Revision}
	derived := d.token(orders, a, func(t *auth.Token) {
		t.Lineage = auth.Lineage{Subject: shop.ID, Ancestors: []auth.Ancestor{parent, ancient}}
		t.Confirmation.JWK = [32]byte{1}
	})
	told := func() *registry.TokenDetail {
		t.Helper()
		d.refresh()
		found, err := d.Token(t.Context(), officer("tokens:read"), derived.ID)
		if err != nil || len(found.Ancestors) != 2 || found.Subject() != shop.ID || !found.Confirmation.Bound() {
			t.Fatalf("%+v, %v", found, err)
		}
		if gone := found.Ancestors[1]; gone.Row != nil || gone.Status != registry.TokenExpired {
			t.Errorf("a token without a row is %+v", gone)
		}
		return found
	}
	if got := told(); got.Status != registry.TokenActive || got.Ancestors[0].Status != registry.TokenActive || got.Ancestors[0].Row.Scope != "read" || got.RefusedBy != nil {
		t.Errorf("%+v", got)
	}
	if _, err := d.RevokeToken(t.Context(), auth.Actor{}, root.ID); err != nil {
		t.Fatal(err)
	}
	got := told()
	if by := got.Ancestors[0].RefusedBy; got.Status != registry.TokenRevoked || got.RefusedBy != nil || got.Ancestors[0].Status != registry.TokenRevoked ||
		by == nil || by.Kind != auth.RevokeToken || by.Sequence == 0 {
		t.Errorf("%+v", got)
	}
}
