package registry_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestExplain(t *testing.T) {
	d := newDesk(t)
	stock, parts := d.api("https://stock.example"), d.api("https://parts.example?$x")
	orders := d.client("orders", func(c *auth.Client) { c.DefaultResource = stock.ID })
	d.secret(orders)
	d.grant(orders, stock, "read")
	d.issued(orders, stock, "", 5)
	off := d.client("off", func(c *auth.Client) { c.Status = auth.Disabled })
	worn := d.client("worn out")
	d.secret(worn, func(s *auth.Secret) { s.Expires = ago(1) })
	d.secret(worn, func(s *auth.Secret) { s.Status = auth.Disabled })
	grant := &registry.GrantDetail{
		Grant:    auth.Grant{Client: orders.ID, API: stock.ID, Revision: 1, Scopes: auth.NewScopes("read"), Created: long(), Updated: long()},
		LastUsed: ago(5), Tokens: 3,
	}
	for _, tt := range []struct {
		name     string
		question registry.Question
		want     registry.Verdict
	}{
		{
			"by names",
			registry.Question{Client: "orders", API: stock.Identifier, Scope: "read"},
			registry.Verdict{
				Allowed: true, Client: orders.ID, API: stock.ID, Scopes: auth.NewScopes("read"), Grant: grant,
				Reasons: []string{"the grant of orders on https://stock.example holds read"},
			},
		},
		{
			"by ids, the whole grant",
			registry.Question{Client: orders.ID.String(), API: stock.ID.String()},
			registry.Verdict{
				Allowed: true, Client: orders.ID, API: stock.ID, Scopes: auth.NewScopes("read"), Grant: grant,
				Reasons: []string{"the grant of orders on https://stock.example holds read"},
			},
		},
		{
			"a scope that is not granted",
			registry.Question{Client: "orders", API: stock.Identifier, Scope: "write read"},
			registry.Verdict{
				Client: orders.ID, API: stock.ID, Grant: grant,
				Reasons: []string{"the grant of orders on https://stock.example lacks write: countersign grant put orders https://stock.example read write"},
			},
		},
		{
			"a scope that is not offered",
			registry.Question{Client: "orders", Scope: "fly"},
			registry.Verdict{Client: orders.ID, API: stock.ID, Grant: grant, Reasons: []string{
				"https://stock.example does not offer fly: countersign api show https://stock.example tells what it does",
			}},
		},
		{
			"no grant",
			registry.Question{Client: "orders", API: parts.Identifier, Scope: "write"},
			registry.Verdict{Client: orders.ID, API: parts.ID, Reasons: []string{
				"the client orders has no grant on https://parts.example?$x: countersign grant put orders " + parts.ID.String() + " write",
			}},
		},
		{
			"disabled, without a secret, API or grant",
			registry.Question{Client: "off"},
			registry.Verdict{Client: off.ID, Reasons: []string{
				"the client off is disabled: countersign client enable off",
				"the client off cannot authenticate, since it has no secret: countersign secret add off",
				"the client off has no default resource, and no API is named: countersign client update off --default-resource IDENTIFIER",
			}},
		},
		{
			"nothing that works",
			registry.Question{Client: "worn out", API: "https://nothing.example", Scope: `"`},
			registry.Verdict{Client: worn.ID, Reasons: []string{
				"the client worn out cannot authenticate, since every secret it has is disabled or expired: countersign secret add " + worn.ID.String(),
				`there is no API "https://nothing.example": countersign api create makes one, countersign api list shows all`,
				"the scope is malformed: scopes are printable ASCII without quote and backslash, and stand apart by spaces",
			}},
		},
		{
			"nobody",
			registry.Question{Client: "nobody", API: stock.Identifier},
			registry.Verdict{API: stock.ID, Reasons: []string{`there is no client "nobody": countersign client create makes one, countersign client list shows all`}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := d.Explain(t.Context(), officer("grants:read"), tt.question)
			d.must(err)
			if got.Grant != nil { // all were made at nearly the same time
				got.Grant.Created, got.Grant.Updated = grant.Created, grant.Updated
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := d.Explain(t.Context(), auth.Actor{}, registry.Question{}); !errors.Is(err, fault.InvalidRequest) {
		t.Errorf("nobody asked about: %v", err)
	}
}

// What Explain says is what the token endpoint decides, in every combination.
func TestExplainAgreesWithTheDecision(t *testing.T) {
	d := newDesk(t)
	stock := d.api("https://stock.example")
	door := &auth.Authenticator{Directory: d.directory, Peppers: d.Peppers, Now: time.Now}
	allowed := 0
	for _, status := range []auth.Status{auth.Active, auth.Disabled} {
		for secret := range 4 { // none, usable, disabled, expired
			for _, standard := range []auth.APIID{{}, stock.ID} {
				for _, scopes := range [][]string{nil, {"read"}, {"read", "write"}} {
					c := d.client(fmt.Sprint(status, secret, standard, scopes), func(c *auth.Client) { c.Status, c.DefaultResource = status, standard })
					value := auth.NewSecretValue()
					if secret > 0 {
						_, value = d.secret(c, func(s *auth.Secret) {
							switch secret {
							case 2:
								s.Status = auth.Disabled
							case 3:
								s.Expires = ago(1)
							}
						})
					}
					if scopes != nil {
						d.grant(c, stock, scopes...)
					}
					allowed += d.agrees(door, c, value)
				}
			}
		}
	}
	if allowed == 0 || allowed == 2*4*2*3*3*5 {
		t.Errorf("%d were allowed: nothing was compared", allowed)
	}
}

// agrees asks of a client everything there is to ask, and returns how much was allowed.
func (d *desk) agrees(door *auth.Authenticator, c *auth.Client, value auth.SecretValue) (allowed int) {
	d.Helper()
	for _, resource := range []string{"", "https://stock.example", "https://nothing.example"} {
		for _, scope := range []string{"", "read", "write read", "fly", `\`} {
			scopes, decided := "", false
			if caller, err := door.Authenticate(d.Context(), auth.Credentials{ClientID: c.ID.String(), Secret: value, Method: c.AuthMethod}); err == nil {
				request := auth.TokenRequest{Caller: caller, Scope: scope}
				if resource != "" {
					request.Resource = []string{resource}
				}
				if decision, err := auth.Decide(d.directory, request, d.directory.Sequence()); err == nil {
					scopes, decided = decision.Scope, true
				}
			}
			got, err := d.Explain(d.Context(), auth.Actor{}, registry.Question{Client: c.Name, API: resource, Scope: scope})
			d.must(err)
			if got.Allowed != decided || got.Scopes.String() != scopes || len(got.Reasons) == 0 {
				d.Errorf("%s on %q with %q: explained %+v, decided %t with %q", c.Name, resource, scope, got, decided, scopes)
			}
			if decided {
				allowed++
			}
		}
	}
	return allowed
}
