package registry_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// ago is a time so many days back, to the minute as uses are recorded.
func ago(days int) time.Time { return time.Now().UTC().AddDate(0, 0, -days).Truncate(time.Minute) }

func (d *desk) used(s *auth.Secret, days int) {
	d.Helper()
	d.must(d.store.RecordUses(d.Context(), []auth.ClientSecretUse{
		{Client: s.Client, SecretUse: auth.SecretUse{Secret: s.ID, First: ago(days), Last: ago(days), Source: "192.0.2.1"}},
	}, nil))
}

// issued records that tokens with the scope were issued, or if it is empty, tokens at all.
func (d *desk) issued(c *auth.Client, a *auth.API, scope string, days int) {
	d.Helper()
	d.must(d.store.RecordUses(d.Context(), nil, []auth.GrantUse{{Client: c.ID, API: a.ID, Scope: scope, Last: ago(days), Tokens: 3}}))
}

func TestUnused(t *testing.T) {
	d := newDesk(t)
	busy, idle, never, fresh := d.client("busy"), d.client("idle"), d.client("never"), d.client("fresh", func(c *auth.Client) { c.Created = ago(3) })
	stock, parts := d.api("https://stock.example"), d.api("https://parts.example")
	kept, _ := d.secret(busy)
	spare, _ := d.secret(busy)
	old, _ := d.secret(idle)
	unborn, _ := d.secret(never)
	d.secret(fresh, func(s *auth.Secret) { s.Created = ago(3) })
	d.used(kept, 1)
	d.used(spare, 20)
	d.used(old, 12)
	d.grant(busy, stock, "read", "write")
	d.grant(busy, parts, "read", "write")
	d.grant(idle, stock, "read")
	d.grant(never, stock, "read")
	d.grantSince(ago(3), fresh, stock, "read")
	d.issued(busy, stock, "", 1)
	d.issued(busy, stock, "read", 1)
	d.issued(busy, stock, "write", 30)
	d.issued(busy, parts, "", 1)
	d.issued(busy, parts, "read", 1)
	d.issued(busy, parts, "write", 2)
	d.issued(idle, stock, "", 12)
	d.issued(idle, stock, "read", 12)

	got, err := d.Unused(t.Context(), officer("grants:read clients:read"), 10)
	d.must(err)
	want := &registry.UnusedReport{
		Days:    10,
		Clients: []registry.UnusedClient{{idle.ID, "idle", ago(12)}, {never.ID, "never", time.Time{}}},
		Secrets: []registry.UnusedSecret{
			{spare.ID, busy.ID, spare.Hint, ago(20)}, {old.ID, idle.ID, old.Hint, ago(12)}, {unborn.ID, never.ID, unborn.Hint, time.Time{}},
		},
		Grants: []registry.UnusedGrant{
			{busy.ID, stock.ID, auth.NewScopes("write"), ago(1)}, {idle.ID, stock.ID, nil, ago(12)}, {never.ID, stock.ID, nil, time.Time{}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = d.Unused(t.Context(), officer("grants:read clients:read"), 25)
	d.must(err)
	if len(got.Clients) != 1 || len(got.Secrets) != 1 || len(got.Grants) != 2 {
		t.Errorf("of 25 days: %+v", got)
	}
	for _, days := range []int{0, -1, 3651} {
		if _, err := d.Unused(t.Context(), auth.Actor{}, days); !errors.Is(err, fault.InvalidRequest) || fault.From(err).Field != "days" {
			t.Errorf("%d days: %v", days, err)
		}
	}
}

// A scope that a grant got a moment ago is not unused yet.
func TestUnusedScopeOfAChangedGrant(t *testing.T) {
	d := newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	d.put(func(tx auth.Tx) error {
		return tx.Grants().PutGrant(t.Context(), &auth.Grant{Client: c.ID, API: a.ID, Scopes: auth.NewScopes("read", "write"), Created: long(), Updated: ago(2)})
	})
	d.issued(c, a, "", 1)
	d.issued(c, a, "read", 1)
	for days, want := range map[int]int{1: 1, 3: 0} {
		if got, err := d.Unused(t.Context(), auth.Actor{}, days); err != nil || len(got.Grants) != want {
			t.Errorf("of %d days: %+v (%v), want %d grants", days, got, err, want)
		}
	}
}

func TestExpiringSecrets(t *testing.T) {
	d := newDesk(t)
	in := func(days int) func(*auth.Secret) {
		return func(s *auth.Secret) { s.Expires = time.Now().UTC().AddDate(0, 0, days).Truncate(time.Minute) }
	}
	alone, pair, off := d.client("alone"), d.client("pair"), d.client("off", func(c *auth.Client) { c.Status = auth.Disabled })
	last, _ := d.secret(alone, in(9))
	first, _ := d.secret(pair, in(2))
	d.secret(pair, in(40))
	d.secret(pair, in(-1))
	d.secret(pair, in(5), func(s *auth.Secret) { s.Status = auth.Disabled })
	d.secret(off, in(3))
	d.secret(d.client("forever"))
	got, err := d.Unused(t.Context(), auth.Actor{}, 3650)
	d.must(err)
	want := []registry.ExpiringSecret{{first.ID, pair.ID, "pair", first.Expires, false}, {last.ID, alone.ID, "alone", last.Expires, true}}
	if diff := cmp.Diff(want, got.Expiring); diff != "" {
		t.Error(diff)
	}
}

func TestUnusedIsBounded(t *testing.T) {
	d := newDesk(t)
	d.put(func(tx auth.Tx) error {
		for i := range registry.MaxUnused + 1 {
			c := &auth.Client{ID: auth.NewClientID(time.Now()), Name: strconv.Itoa(i), Status: auth.Active, AuthMethod: auth.SecretBasic, Created: long(), Updated: long()}
			if err := tx.Clients().PutClient(t.Context(), c); err != nil {
				return err
			}
		}
		return nil
	})
	got, err := d.Unused(t.Context(), auth.Actor{}, 1)
	if err != nil || len(got.Clients) != registry.MaxUnused || !got.Truncated {
		t.Errorf("%d clients, truncated %t (%v)", len(got.Clients), got.Truncated, err)
	}
}
