package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// names hold what databases like to take for the same, or to sort as people do. The order is that of their bytes.
func names() []string {
	return []string{"", "A", "Z", "a", "a\t", "a ", "a b", "a'b%_\\", "ab", "b", "z", "ä", "ü", "\ud7ff", "\ue000", "\uffff", "🚚", "🚚🚚", "\U0010ffff"}
}

func testNames(t *testing.T, o *Opened) {
	var all []*auth.Client
	for _, name := range names()[1:] {
		c := newClient()
		c.Name = name
		all = append(all, c)
		o.put(t, c)
	}
	for _, want := range all {
		wantSame(t, "client by name", viewed(t, o, func(ctx context.Context, tx auth.Tx) (*auth.Client, error) {
			return tx.Clients().ClientByName(ctx, want.Name)
		}), want)
	}
	for _, name := range []string{"", "none", "A ", "a\u0308"} {
		wantError(t, "client by a name that none has", o.try(t, func(ctx context.Context, tx auth.Tx) error {
			_, err := tx.Clients().ClientByName(ctx, name)
			return err
		}), fault.NotFound)
	}
	twin, other := newClient(), *all[4]
	twin.Name, other.Name = all[3].Name, all[3].Name
	wantError(t, "a new client with a name that exists", o.tryPut(t, twin), fault.Conflict)
	wantError(t, "a change to a name that exists", o.tryPut(t, &other), fault.Conflict)
	long := newClient()
	long.Name, long.Owner = strings.Repeat("🚚", 200), strings.Repeat("🚚", 200)
	long.Labels = map[string]string{strings.Repeat("🚚", 200): strings.Repeat("🚚", 200)}
	o.put(t, long)
	wantSame(t, "the longest name", viewed(t, o, func(ctx context.Context, tx auth.Tx) (*auth.Client, error) {
		return tx.Clients().ClientByName(ctx, long.Name)
	}), long)
}

// pages collects a list page by page. place is where an item stands.
func pages[T any](t *testing.T, o *Opened, limit int, place func(*T) auth.Place, read func(context.Context, auth.Tx, *auth.Place) ([]*T, error)) (all []*T) {
	t.Helper()
	var after *auth.Place
	for {
		page := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*T, error) { return read(ctx, tx, after) })
		if all = append(all, page...); len(page) < limit {
			return all
		}
		at := place(page[len(page)-1])
		after = &at
	}
}

func placeOf(c *auth.Client, order auth.Order) auth.Place {
	if order == auth.ByName {
		return auth.Place{Key: c.Name, ID: c.ID}
	}
	return auth.Place{ID: c.ID}
}

func clientPages(t *testing.T, o *Opened, q auth.ClientQuery) []*auth.Client {
	t.Helper()
	return pages(t, o, q.Limit, func(c *auth.Client) auth.Place { return placeOf(c, q.Order) },
		func(ctx context.Context, tx auth.Tx, after *auth.Place) ([]*auth.Client, error) {
			q.After = after
			return tx.Clients().ListClients(ctx, q)
		})
}

// sortedClients returns what a query should find.
func sortedClients(all []*auth.Client, q auth.ClientQuery) (found []*auth.Client) {
	for _, c := range all {
		value, labelled := c.Labels[q.Label]
		if (q.Status == "" || c.Status == q.Status) && (q.Owner == "" || c.Owner == q.Owner) && strings.HasPrefix(c.Name, q.NamePrefix) &&
			(q.Label == "" || labelled && (q.LabelValue == "" || value == q.LabelValue)) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *auth.Client) int {
		if q.Order == auth.ByName {
			return cmp.Compare(a.Name, b.Name)
		}
		return compareIDs(a.ID, b.ID)
	})
	if q.Descending {
		slices.Reverse(found)
	}
	return found
}

// testListClients compares every kind of query with what it should find.
func testListClients(t *testing.T, o *Opened) {
	var all []*auth.Client
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		all = nil
		for i := range 3 * len(names()) {
			c := newClient()
			c.Name = names()[i*7%len(names())] + strings.Repeat("x", i%3+1)
			c.Owner = []string{"", "team", "team "}[i%3]
			c.Labels = map[string]string{"old": "1"}
			if err := put(ctx, tx, c); err != nil {
				return err
			}
			c.Status = []auth.Status{auth.Active, auth.Disabled}[i%2]
			c.Labels = []map[string]string{nil, {"tier": "1"}, {"tier": "2", "x": ""}, {"tier ": "1"}, {"ключ": "\"<&>\\"}}[i%5]
			if err := put(ctx, tx, c); err != nil {
				return err
			}
			all = append(all, c)
		}
		return nil
	})
	filters := []auth.ClientQuery{
		{},
		{Status: auth.Disabled},
		{Owner: "team"},
		{Owner: "team "},
		{Owner: "nobody"},
		{Status: auth.Active, Owner: "team"},
		{Label: "tier"},
		{Label: "tier", LabelValue: "2"},
		{Label: "tier "},
		{Label: "x"},
		{Label: "old"},
		{Label: "ключ", LabelValue: "\"<&>\\"},
		{Label: "tier", Status: auth.Disabled, Owner: "team", NamePrefix: "a"},
	}
	for _, name := range names() {
		filters = append(filters, auth.ClientQuery{NamePrefix: name}, auth.ClientQuery{NamePrefix: name + "x", Status: auth.Active})
	}
	for _, q := range filters {
		for _, q.Order = range []auth.Order{"", auth.ByCreation, auth.ByName} {
			for _, q.Descending = range []bool{false, true} {
				for _, q.Limit = range []int{4, 200} {
					wantSame(t, fmt.Sprintf("clients of %+v", q), clientPages(t, o, q), sortedClients(all, q))
				}
			}
		}
	}
}

// testStablePages changes a list while it is read: what is there all the time is read once.
func testStablePages(t *testing.T, o *Opened) {
	for _, order := range []auth.Order{auth.ByCreation, auth.ByName} {
		for _, descending := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", order, descending), func(t *testing.T) {
				var kept, passing []*auth.Client
				var all []any
				for range 30 {
					k, p := newClient(), newClient()
					kept, passing, all = append(kept, k), append(passing, p), append(all, k, p)
				}
				o.put(t, all...)
				q := auth.ClientQuery{Order: order, Descending: descending, Limit: 4}
				var got []*auth.Client
				for {
					page := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Client, error) { return tx.Clients().ListClients(ctx, q) })
					if len(page) == 0 {
						break
					}
					at := placeOf(page[len(page)-1], order)
					got, q.After = append(got, page...), &at
					if len(passing) == 0 {
						continue
					}
					gone := passing[0].ID
					passing = passing[1:]
					o.update(t, func(ctx context.Context, tx auth.Tx) error {
						return errors.Join(put(ctx, tx, newClient()), tx.Clients().DeleteClient(ctx, gone))
					})
				}
				for _, c := range kept {
					if n := len(slices.DeleteFunc(slices.Clone(got), func(g *auth.Client) bool { return g.ID != c.ID })); n != 1 {
						t.Errorf("a client that was there all the time was read %d times", n)
					}
				}
			})
		}
	}
}

func testListAPIs(t *testing.T, o *Opened) {
	server, other := newClient(), newClient()
	o.put(t, server, other)
	var all []*auth.API
	for i, name := range slices.Concat(names()[1:], names()[1:]) { // names of APIs are not unique
		a := newAPI(fmt.Sprintf("https://%d.example", i))
		a.Name = name
		a.Servers = [][]auth.ClientID{nil, {server.ID}, {other.ID}}[i%3]
		all = append(all, a)
		o.put(t, a)
	}
	for _, q := range []auth.APIQuery{
		{},
		{Identifier: all[3].Identifier},
		{Identifier: "none"},
		{NamePrefix: "a"},
		{NamePrefix: "\U0010ffff"},
		{Server: server.ID},
		{Server: server.ID, NamePrefix: "a"},
		{Server: auth.ClientID{1}},
	} {
		for _, q.Order = range []auth.Order{"", auth.ByCreation, auth.ByName} {
			for _, q.Descending = range []bool{false, true} {
				want := slices.DeleteFunc(slices.Clone(all), func(a *auth.API) bool {
					return q.Identifier != "" && q.Identifier != a.Identifier || !strings.HasPrefix(a.Name, q.NamePrefix) ||
						q.Server != auth.ClientID{} && !a.ServedBy(q.Server)
				})
				slices.SortFunc(want, func(a, b *auth.API) int {
					if order := cmp.Compare(a.Name, b.Name); q.Order == auth.ByName && order != 0 {
						return order
					}
					return compareIDs(a.ID, b.ID)
				})
				if q.Descending {
					slices.Reverse(want)
				}
				q.Limit = 4
				got := pages(t, o, q.Limit, func(a *auth.API) auth.Place { return auth.Place{Key: a.Name, ID: a.ID} },
					func(ctx context.Context, tx auth.Tx, after *auth.Place) ([]*auth.API, error) {
						q.After = after
						return tx.APIs().ListAPIs(ctx, q)
					})
				if len(want) == 0 {
					want = nil
				}
				wantSame(t, fmt.Sprintf("apis of %+v", q), got, want)
			}
		}
	}
}

func testListGrants(t *testing.T, o *Opened) {
	var clients []*auth.Client
	var apis []*auth.API
	for i := range 7 {
		c, a := newClient(), newAPI(fmt.Sprintf("https://%d.example", i))
		clients, apis = append(clients, c), append(apis, a)
		o.put(t, c, a)
	}
	var all []*auth.Grant
	for i, c := range clients {
		for j, a := range apis {
			if (i+j)%5 != 0 {
				g := newGrant(c.ID, a.ID, "read")
				all = append(all, g)
				o.put(t, g)
			}
		}
	}
	for _, q := range []auth.GrantQuery{
		{}, {Client: clients[2].ID}, {API: apis[3].ID}, {Client: clients[2].ID, API: apis[4].ID}, {Client: clients[0].ID, API: apis[0].ID}, {API: auth.APIID{1}},
	} {
		for _, q.Descending = range []bool{false, true} {
			for _, q.Limit = range []int{1, 3, 100} {
				var want []*auth.Grant
				for _, g := range all {
					if (q.Client == auth.ClientID{} || q.Client == g.Client) && (q.API == auth.APIID{} || q.API == g.API) {
						want = append(want, g)
					}
				}
				slices.SortFunc(want, func(a, b *auth.Grant) int { return cmp.Or(compareIDs(a.Client, b.Client), compareIDs(a.API, b.API)) })
				if q.Descending {
					slices.Reverse(want)
				}
				got := pages(t, o, q.Limit, func(g *auth.Grant) auth.Place { return auth.Place{ID: g.Client, Second: g.API} },
					func(ctx context.Context, tx auth.Tx, after *auth.Place) ([]*auth.Grant, error) {
						q.After = after
						return tx.Grants().ListGrants(ctx, q)
					})
				wantSame(t, fmt.Sprintf("grants of %+v", q), got, want)
			}
		}
	}
}

func testListTokens(t *testing.T, o *Opened) {
	const many = 1300 // more than a page of any store
	client := auth.NewClientID(now())
	all := newTokens(many)
	var of []*auth.Token
	for i, token := range all {
		token.Expires = token.Issued.Add(auth.MinLifetime + time.Duration(i)*time.Minute) // to most of a day
		token.ID = auth.NewTokenID(token.Issued, token.Expires)
		if i%10 == 0 {
			token.Client = client
			of = append(of, token)
		}
	}
	o.insert(t, all...)
	byID := func(a, b *auth.Token) int { return compareIDs(a.ID, b.ID) }
	slices.SortFunc(all, byID)
	slices.SortFunc(of, byID)
	var got []*auth.Token
	for after := (auth.TokenID{}); ; {
		page, err := o.Ledger.ClientTokens(t.Context(), client, after, 50)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, page...); len(page) < 50 {
			break
		}
		after = page[len(page)-1].ID
	}
	wantSame(t, "a client's tokens", got, of)
	each := func(after auth.TokenID) []*auth.Token {
		all, err := collected(func(ctx context.Context, do func(*auth.Token) error) error { return o.Ledger.EachToken(ctx, after, do) })(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	wantSame(t, "all tokens", each(auth.TokenID{}), all)
	wantSame(t, "tokens behind one", each(all[99].ID), all[100:])
	enough := fault.New(fault.Conflict, "enough")
	wantError(t, "the callback's error", o.Ledger.EachToken(t.Context(), auth.TokenID{}, func(*auth.Token) error { return enough }), enough)
}
