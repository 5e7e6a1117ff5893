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

func TestRevokeTakesBackTheSetAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		choose func(orders *auth.Client, stock *auth.API, s *auth.Secret) registry.Selector
		want   []bool // orders→stock by the secret, orders→stock, orders→parts, billing→stock
		kind   auth.ChangeKind
		target func(orders *auth.Client, stock *auth.API, s *auth.Secret) string
	}{
		{
			"client", func(c *auth.Client, _ *auth.API, _ *auth.Secret) registry.Selector {
				return registry.Selector{Client: c.ID}
			},
			[]bool{true, true, true, false},
			auth.RevokeClient,
			func(c *auth.Client, _ *auth.API, _ *auth.Secret) string { return c.ID.String() },
		},
		{
			"api", func(_ *auth.Client, a *auth.API, _ *auth.Secret) registry.Selector {
				return registry.Selector{API: a.ID}
			},
			[]bool{true, true, false, true},
			auth.RevokeAPI,
			func(_ *auth.Client, a *auth.API, _ *auth.Secret) string { return a.ID.String() },
		},
		{
			"grant", func(c *auth.Client, a *auth.API, _ *auth.Secret) registry.Selector {
				return registry.Selector{Client: c.ID, API: a.ID}
			},
			[]bool{true, true, false, false},
			auth.RevokeGrant,
			func(c *auth.Client, a *auth.API, _ *auth.Secret) string { return c.ID.String() + "/" + a.ID.String() },
		},
		{
			"credential", func(_ *auth.Client, _ *auth.API, s *auth.Secret) registry.Selector {
				return registry.Selector{Credential: s.ID}
			},
			[]bool{true, false, false, false},
			auth.RevokeCredential,
			func(_ *auth.Client, _ *auth.API, s *auth.Secret) string { return s.ID.String() },
		},
		{
			"all", func(*auth.Client, *auth.API, *auth.Secret) registry.Selector { return registry.Selector{All: true} },
			[]bool{true, true, true, true},
			auth.RevokeAll,
			func(*auth.Client, *auth.API, *auth.Secret) string { return "all" },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			orders, billing, stock, parts := d.client("orders"), d.client("billing"), d.api("https://stock.example"), d.api("https://parts.example")
			s, _ := d.secret(orders)
			issued := []*auth.Token{d.token(orders, stock, with(s)), d.token(orders, stock), d.token(orders, parts), d.token(billing, stock)}
			d.token(orders, stock, with(s), expired)
			var hit int64
			for _, taken := range tt.want {
				if taken {
					hit++
				}
			}
			var done *registry.Revocation
			changes := d.changes(func() {
				var err error
				if done, err = d.Revoke(t.Context(), officer("tokens:write"), tt.choose(orders, stock, s)); err != nil {
					t.Fatal(err)
				}
			})
			if len(changes) != 1 || changes[0].Kind != tt.kind || changes[0].Sequence != done.Sequence {
				t.Errorf("changes are %+v, sequence %d", changes, done.Sequence)
			}
			if audience := changes[0].Audience; (tt.kind == auth.RevokeAPI || tt.kind == auth.RevokeGrant) && audience != stock.Identifier {
				t.Errorf("audience is %q", audience)
			}
			if want := (registry.Hit{Tokens: hit, Exact: true}); done.Hit != want {
				t.Errorf("hit is %+v, want %+v", done.Hit, want)
			}
			for i, tok := range issued {
				if got := d.directory.Denied(tok); got != tt.want[i] {
					t.Errorf("token %d is refused: %t", i, got)
				}
			}
			event, after := d.last()
			if event.Action != "tokens.revoke" || event.Target != tt.target(orders, stock, s) {
				t.Errorf("event is %+v", event)
			}
			if diff := cmp.Diff(map[string]any{"revoked_tokens": float64(hit), "revoked_tokens_exact": true}, after); diff != "" {
				t.Error(diff)
			}
			if d.directory.Denied(d.token(orders, stock, with(s))) {
				t.Error("a token that was issued afterwards is refused")
			}
		})
	}
}

func TestRevokeOfADeletedSecret(t *testing.T) {
	d := newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	s, _ := d.secret(c)
	left := d.token(c, a, with(s))
	d.put(func(tx auth.Tx) error { return tx.Secrets().DeleteSecret(t.Context(), s.ID) }, auth.Change{Kind: auth.ClientChanged, Subject: c.ID})
	done, err := d.Revoke(t.Context(), auth.Actor{}, registry.Selector{Credential: s.ID})
	if err != nil || done.Tokens != 1 {
		t.Fatal(done, err)
	}
	if d.refresh(); !d.directory.Denied(left) {
		t.Error("the token of a deleted secret cannot be taken back")
	}
	if _, err := d.Revoke(t.Context(), auth.Actor{}, registry.Selector{Credential: s.ID}); !errors.Is(err, fault.NotFound) {
		t.Errorf("a secret of which nothing is left: %v", err)
	}
}

func TestRevokeRefused(t *testing.T) {
	d := newDesk(t)
	c, a, now := d.client("orders"), d.api("https://stock.example"), time.Now()
	for name, tt := range map[string]struct {
		selector registry.Selector
		want     fault.Code
	}{
		"nothing":            {registry.Selector{}, fault.InvalidRequest},
		"client and secret":  {registry.Selector{Client: c.ID, Credential: auth.NewSecretID(now)}, fault.InvalidRequest},
		"API and all":        {registry.Selector{API: a.ID, All: true}, fault.InvalidRequest},
		"secret and key":     {registry.Selector{Credential: auth.NewSecretID(now), Key: auth.NewKeyID(now)}, fault.InvalidRequest},
		"unknown client":     {registry.Selector{Client: auth.NewClientID(now)}, fault.NotFound},
		"unknown API":        {registry.Selector{API: auth.NewAPIID(now)}, fault.NotFound},
		"known with unknown": {registry.Selector{Client: c.ID, API: auth.NewAPIID(now)}, fault.NotFound},
		"unknown with known": {registry.Selector{Client: auth.NewClientID(now), API: a.ID}, fault.NotFound},
		"unknown secret":     {registry.Selector{Credential: auth.NewSecretID(now)}, fault.NotFound},
		"unknown key":        {registry.Selector{Key: auth.NewKeyID(now)}, fault.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			changes := d.changes(func() {
				if _, err := d.Revoke(t.Context(), auth.Actor{}, tt.selector); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			})
			if len(changes) != 0 {
				t.Errorf("refused, but changed %+v", changes)
			}
		})
	}
}
