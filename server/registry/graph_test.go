package registry_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestGraph(t *testing.T) {
	d := newDesk(t)
	orders, billing, warehouse := d.client("orders"), d.client("billing", func(c *auth.Client) { c.Status = auth.Disabled }), d.client("warehouse")
	d.client("lonely")
	stock, parts := d.api("https://stock.example", func(a *auth.API) { a.Servers = []auth.ClientID{warehouse.ID} }), d.api("https://parts.example")
	d.api("https://lonely.example")
	d.grant(orders, stock, "read", "write")
	d.grant(orders, parts, "read")
	d.grant(billing, stock, "read")
	d.issued(orders, stock, "", 4)
	d.issued(orders, stock, "read", 4)
	d.issued(orders, stock, "", 2)

	nodes := map[string]registry.GraphClient{
		"orders": {orders.ID, "orders", auth.Active}, "billing": {billing.ID, "billing", auth.Disabled}, "warehouse": {warehouse.ID, "warehouse", auth.Active},
	}
	apis := map[string]registry.GraphAPI{
		"stock": {stock.ID, stock.Identifier, "stock", []auth.ClientID{warehouse.ID}}, "parts": {parts.ID, parts.Identifier, "stock", nil},
	}
	calls := []registry.GraphCall{
		{orders.ID, stock.ID, auth.NewScopes("read", "write"), ago(2), 6},
		{orders.ID, parts.ID, auth.NewScopes("read"), time.Time{}, 0},
		{billing.ID, stock.ID, auth.NewScopes("read"), time.Time{}, 0},
	}
	for _, tt := range []struct {
		name    string
		filter  registry.GraphFilter
		clients []string
		apis    []string
		calls   []registry.GraphCall
	}{
		{"all", registry.GraphFilter{}, []string{"orders", "billing", "warehouse"}, []string{"stock", "parts"}, calls},
		{"client", registry.GraphFilter{Client: orders.ID}, []string{"orders", "warehouse"}, []string{"stock", "parts"}, calls[:2]},
		{"api", registry.GraphFilter{API: parts.ID}, []string{"orders"}, []string{"parts"}, calls[1:2]},
		{"both", registry.GraphFilter{Client: billing.ID, API: stock.ID}, []string{"billing", "warehouse"}, []string{"stock"}, calls[2:]},
		{"nothing", registry.GraphFilter{Client: billing.ID, API: parts.ID}, nil, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := &registry.Graph{Calls: tt.calls}
			for _, name := range tt.clients {
				want.Clients = append(want.Clients, nodes[name])
			}
			for _, name := range tt.apis {
				want.APIs = append(want.APIs, apis[name])
			}
			got, err := d.Graph(t.Context(), officer("grants:read"), tt.filter)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestGraphIsBounded(t *testing.T) {
	d := newDesk(t)
	a := d.api("https://stock.example")
	d.put(func(tx auth.Tx) error {
		for range registry.MaxGraph + 1 {
			id := auth.NewClientID(time.Now())
			c := &auth.Client{ID: id, Name: id.String(), Status: auth.Active, AuthMethod: auth.SecretBasic, Created: long(), Updated: long()}
			if err := tx.Clients().PutClient(t.Context(), c); err != nil {
				return err
			}
			if err := tx.Grants().PutGrant(t.Context(), &auth.Grant{Client: id, API: a.ID, Scopes: auth.NewScopes("read"), Created: long(), Updated: long()}); err != nil {
				return err
			}
		}
		return nil
	})
	got, err := d.Graph(t.Context(), auth.Actor{}, registry.GraphFilter{})
	if err != nil || len(got.Calls) != registry.MaxGraph || len(got.Clients) != registry.MaxGraph || !got.Truncated {
		t.Errorf("%d calls, %d clients, truncated %t (%v)", len(got.Calls), len(got.Clients), got.Truncated, err)
	}
}
