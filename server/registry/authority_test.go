package registry_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// dry is a store that carries changes out and then takes them back: what was allowed ends with errDry.
type dry struct{ auth.Store }

var errDry = errors.New("taken back")

func (d dry) Update(ctx context.Context, change func(auth.Tx) error) error {
	return d.Store.Update(ctx, func(tx auth.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return errDry
	})
}

// rehearsed returns a registry like the desk's that changes nothing.
func (d *desk) rehearsed() *registry.Registry {
	return &registry.Registry{
		Store: dry{d.store}, Peppers: d.Peppers, Now: d.Now, Ledger: d.Ledger, Denied: d.Denied, Refusals: d.Refusals, AuditKeys: d.AuditKeys, Master: d.Master,
	}
}

// call is a method of the registry on a certain target, and the scopes that it needs.
type call struct {
	needs []string
	do    func(r *registry.Registry, actor auth.Actor) error
}

// things are what the calls are about.
type things struct {
	client *auth.Client
	on     *auth.Secret
	off    *auth.Secret
	api    *auth.API
	token  *auth.Token
	target *auth.API // for which the client may exchange tokens
	issuer *auth.TrustedIssuer
	event  auth.EventID
	key    auth.KeyID // that does not sign yet
}

func (d *desk) things() (w things) {
	d.Helper()
	ctx := d.Context()
	w.client, w.api = d.client("orders"), d.api("https://stock.example/")
	w.on, _ = d.secret(w.client)
	w.off, _ = d.secret(w.client, func(s *auth.Secret) { s.Status = auth.Disabled })
	d.grant(w.client, w.api, "read")
	w.token = d.token(w.client, w.api, with(w.on))
	w.target, w.issuer = d.api("https://prices.example/"), d.issuer("cluster", "https://cluster.example")
	d.exchange(w.client, w.api, w.target, "read")
	next, err := d.RotateKey(ctx, auth.Actor{Name: "system"}, keys.Rotation{Algorithm: auth.ES256})
	d.must(err)
	w.key = next.ID
	last, _ := d.last()
	w.event = last.ID
	return w
}

func third[T, U any](_ T, _ U, err error) error { return err }

// calls returns a call of every method that an actor calls, by its name.
func (w things) calls(ctx context.Context) map[string]call {
	all := map[string]call{}
	for _, part := range []map[string]call{w.clientCalls(ctx), w.secretCalls(ctx), w.apiCalls(ctx), w.issuerCalls(ctx), w.otherCalls(ctx), w.declareCalls(ctx)} {
		maps.Copy(all, part)
	}
	return all
}

func rename[T any](edit func(*T)) func(*T) error {
	return func(t *T) error {
		edit(t)
		return nil
	}
}

func (w things) clientCalls(ctx context.Context) map[string]call {
	read, write := []string{auth.ScopeClientsRead}, []string{auth.ScopeClientsWrite}
	return map[string]call{
		"Client":       {read, func(r *registry.Registry, a auth.Actor) error { return second(r.Client(ctx, a, w.client.ID)) }},
		"ClientByName": {read, func(r *registry.Registry, a auth.Actor) error { return second(r.ClientByName(ctx, a, w.client.Name)) }},
		"ListClients": {read, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ListClients(ctx, a, auth.ClientQuery{Limit: 10}))
		}},
		"CreateClient": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.CreateClient(ctx, a, auth.Client{Name: "new"}))
		}},
		"PutClient": {write, func(r *registry.Registry, a auth.Actor) error {
			return third(r.PutClient(ctx, a, auth.Client{ID: w.client.ID, Name: "put"}, registry.Exists))
		}},
		"UpdateClient": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.UpdateClient(ctx, a, w.client.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) { c.Owner = "me" })}))
		}},
		"IssuersNamed": {write, func(r *registry.Registry, a auth.Actor) error {
			if err := second(r.IssuersNamed(ctx, a, []string{"nobody"})); !errors.Is(err, fault.InvalidRequest) {
				return err
			}
			return errDry
		}},
		"SetClientStatus": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.SetClientStatus(ctx, a, w.client.ID, auth.Disabled))
		}},
		"DeleteClient": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.DeleteClient(ctx, a, w.client.ID, registry.Any))
		}},
	}
}

func (w things) secretCalls(ctx context.Context) map[string]call {
	read, write := []string{auth.ScopeClientsRead}, []string{auth.ScopeSecretsWrite}
	return map[string]call{
		"ListSecrets": {read, func(r *registry.Registry, a auth.Actor) error { return second(r.ListSecrets(ctx, a, w.client.ID)) }},
		"Secret":      {read, func(r *registry.Registry, a auth.Actor) error { return second(r.Secret(ctx, a, w.client.ID, w.on.ID)) }},
		"AddSecret": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.AddSecret(ctx, a, w.client.ID, registry.NewSecretRequest{}))
		}},
		"RotateSecret": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.RotateSecret(ctx, a, w.client.ID, registry.Rotation{}))
		}},
		"ExpireSecret": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ExpireSecret(ctx, a, registry.SecretRef{Client: w.client.ID, ID: w.on.ID}, time.Now().Add(time.Hour)))
		}},
		"DisableSecret": {write, func(r *registry.Registry, a auth.Actor) error { return second(r.DisableSecret(ctx, a, w.on.ID, true)) }},
		"EnableSecret":  {write, func(r *registry.Registry, a auth.Actor) error { return second(r.EnableSecret(ctx, a, w.off.ID)) }},
		"DeleteSecret": {write, func(r *registry.Registry, a auth.Actor) error {
			return r.DeleteSecret(ctx, a, registry.SecretRef{Client: w.client.ID, ID: w.off.ID})
		}},
		"ReportLeak": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ReportLeak(ctx, a, auth.NewSecretValue().Reveal()))
		}},
	}
}

func (w things) apiCalls(ctx context.Context) map[string]call {
	read, write := []string{auth.ScopeAPIsRead}, []string{auth.ScopeAPIsWrite}
	grantsRead, grantsWrite := []string{auth.ScopeGrantsRead}, []string{auth.ScopeGrantsWrite}
	return map[string]call{
		"API": {read, func(r *registry.Registry, a auth.Actor) error { return second(r.API(ctx, a, w.api.ID)) }},
		"APIByIdentifier": {read, func(r *registry.Registry, a auth.Actor) error {
			return second(r.APIByIdentifier(ctx, a, w.api.Identifier))
		}},
		"ListAPIs": {read, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ListAPIs(ctx, a, auth.APIQuery{Limit: 10}))
		}},
		"CreateAPI": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.CreateAPI(ctx, a, auth.API{Identifier: "https://new.example", Name: "new"}))
		}},
		"PutAPI": {write, func(r *registry.Registry, a auth.Actor) error {
			return third(r.PutAPI(ctx, a, auth.API{ID: auth.NewAPIID(time.Now()), Identifier: "https://new.example", Name: "new"}, registry.Absent))
		}},
		"UpdateAPI": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.UpdateAPI(ctx, a, w.api.ID, registry.Any, rename(func(a *auth.API) { a.Name = "renamed" })))
		}},
		"DeleteAPI": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.DeleteAPI(ctx, a, w.api.ID, registry.Any))
		}},
		"SetServer": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.SetServer(ctx, a, w.api.ID, w.client.ID, true))
		}},
		"Grant": {grantsRead, func(r *registry.Registry, a auth.Actor) error { return second(r.Grant(ctx, a, w.client.ID, w.api.ID)) }},
		"ListGrants": {grantsRead, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ListGrants(ctx, a, auth.GrantQuery{Limit: 10}))
		}},
		"PutGrant": {grantsWrite, func(r *registry.Registry, a auth.Actor) error {
			return third(r.PutGrant(ctx, a, auth.Grant{Client: w.client.ID, API: w.api.ID, Scopes: auth.NewScopes("write")}, registry.Any))
		}},
		"DeleteGrant": {grantsWrite, func(r *registry.Registry, a auth.Actor) error {
			return second(r.DeleteGrant(ctx, a, registry.GrantRef{Client: w.client.ID, API: w.api.ID}))
		}},
	}
}

func (w things) issuerCalls(ctx context.Context) map[string]call {
	read, write := []string{auth.ScopeIssuersRead}, []string{auth.ScopeIssuersWrite}
	grantsRead, grantsWrite := []string{auth.ScopeGrantsRead}, []string{auth.ScopeGrantsWrite}
	ref := registry.ExchangeRef{Client: w.client.ID, Source: w.api.ID, Target: w.target.ID}
	return map[string]call{
		"Issuer":      {read, func(r *registry.Registry, a auth.Actor) error { return second(r.Issuer(ctx, a, w.issuer.ID)) }},
		"ListIssuers": {read, func(r *registry.Registry, a auth.Actor) error { return second(r.ListIssuers(ctx, a)) }},
		"CreateIssuer": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.CreateIssuer(ctx, a, auth.TrustedIssuer{Name: "new", Issuer: "https://new.example"}))
		}},
		"UpdateIssuer": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.UpdateIssuer(ctx, a, w.issuer.ID, registry.IssuerEdit{Change: rename(func(i *auth.TrustedIssuer) { i.Status = auth.Disabled })}))
		}},
		"DeleteIssuer": {write, func(r *registry.Registry, a auth.Actor) error {
			return second(r.DeleteIssuer(ctx, a, w.issuer.ID, registry.Any))
		}},
		"Exchange": {grantsRead, func(r *registry.Registry, a auth.Actor) error { return second(r.Exchange(ctx, a, ref)) }},
		"ListExchanges": {grantsRead, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ListExchanges(ctx, a, registry.ExchangeQuery{}))
		}},
		"PutExchange": {grantsWrite, func(r *registry.Registry, a auth.Actor) error {
			return third(r.PutExchange(ctx, a, auth.ExchangeGrant{
				Client: ref.Client, Source: ref.Source, Target: ref.Target, Scopes: []auth.ExchangeScope{{Scope: "write", Needs: "write"}},
			}, registry.Exists))
		}},
		"DeleteExchange": {grantsWrite, func(r *registry.Registry, a auth.Actor) error { return second(r.DeleteExchange(ctx, a, ref)) }},
	}
}

func (w things) otherCalls(ctx context.Context) map[string]call {
	tokensRead, tokensWrite := []string{auth.ScopeTokensRead}, []string{auth.ScopeTokensWrite}
	keysRead, keysWrite, audit := []string{auth.ScopeKeysRead}, []string{auth.ScopeKeysWrite}, []string{auth.ScopeAuditRead}
	insight := []string{auth.ScopeGrantsRead}
	return map[string]call{
		"ClientTokens": {tokensRead, func(r *registry.Registry, a auth.Actor) error {
			return second(r.ClientTokens(ctx, a, w.client.ID, auth.TokenID{}, 10))
		}},
		"Token":       {tokensRead, func(r *registry.Registry, a auth.Actor) error { return second(r.Token(ctx, a, w.token.ID)) }},
		"RevokeToken": {tokensWrite, func(r *registry.Registry, a auth.Actor) error { return second(r.RevokeToken(ctx, a, w.token.ID)) }},
		"Revoke": {tokensWrite, func(r *registry.Registry, a auth.Actor) error {
			return second(r.Revoke(ctx, a, registry.Selector{All: true}))
		}},
		"ListKeys": {keysRead, func(r *registry.Registry, a auth.Actor) error { return second(r.ListKeys(ctx, a)) }},
		"RotateKey": {keysWrite, func(r *registry.Registry, a auth.Actor) error {
			return second(r.RotateKey(ctx, a, keys.Rotation{Algorithm: auth.EdDSA}))
		}},
		"RevokeKey": {keysWrite, func(r *registry.Registry, a auth.Actor) error { return second(r.RevokeKey(ctx, a, w.key)) }},
		"Events": {audit, func(r *registry.Registry, a auth.Actor) error {
			return second(r.Events(ctx, a, auth.AuditQuery{Limit: 1}))
		}},
		"Event":       {audit, func(r *registry.Registry, a auth.Actor) error { return second(r.Event(ctx, a, w.event)) }},
		"AuditHead":   {audit, func(r *registry.Registry, a auth.Actor) error { return second(r.AuditHead(ctx, a)) }},
		"VerifyAudit": {audit, func(r *registry.Registry, a auth.Actor) error { return second(r.VerifyAudit(ctx, a, nil)) }},
		"Failures":    {audit, func(r *registry.Registry, a auth.Actor) error { return second(r.Failures(ctx, a, nil, 10)) }},
		"Unused": {[]string{auth.ScopeGrantsRead, auth.ScopeClientsRead}, func(r *registry.Registry, a auth.Actor) error {
			return second(r.Unused(ctx, a, 30))
		}},
		"Graph": {insight, func(r *registry.Registry, a auth.Actor) error { return second(r.Graph(ctx, a, registry.GraphFilter{})) }},
		"Explain": {insight, func(r *registry.Registry, a auth.Actor) error {
			return second(r.Explain(ctx, a, registry.Question{Client: w.client.Name}))
		}},
	}
}

func (w things) declareCalls(ctx context.Context) map[string]call {
	reads := []string{auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead}
	doc := &registry.Document{APIs: []registry.DeclaredAPI{{Identifier: "https://declared.example", Name: "declared"}}}
	return map[string]call{
		"Export": {append([]string{auth.ScopeIssuersRead}, reads...), func(r *registry.Registry, a auth.Actor) error { return second(r.Export(ctx, a)) }},
		"Plan":   {reads, func(r *registry.Registry, a auth.Actor) error { return second(r.Plan(ctx, a, doc, false)) }},
		"Apply": {append([]string{auth.ScopeAPIsWrite}, reads...), func(r *registry.Registry, a auth.Actor) error {
			return second(r.Apply(ctx, a, doc, registry.ApplyOptions{}))
		}},
	}
}

// systemCalls are those that no actor with a token may make.
func systemCalls(ctx context.Context) map[string]func(r *registry.Registry, a auth.Actor) error {
	return map[string]func(r *registry.Registry, a auth.Actor) error{
		"EnsureBuiltIns": func(r *registry.Registry, a auth.Actor) error { return r.EnsureBuiltIns(ctx, a) },
		"Restored":       func(r *registry.Registry, a auth.Actor) error { return r.Restored(ctx, a) },
		"RecoverAdmin":   func(r *registry.Registry, a auth.Actor) error { return second(r.RecoverAdmin(ctx, a, "orders")) },
		"FirstAdmin": func(r *registry.Registry, a auth.Actor) error {
			return second(r.FirstAdmin(ctx, a, auth.Client{Name: "first"}, auth.SecretValue{}))
		},
	}
}

// adminScopes are all scopes of the AdminAPI.
func adminScopes() (names auth.Scopes) {
	for _, s := range registry.AdminScopes() {
		names = append(names, s.Name)
	}
	return auth.NewScopes(names...)
}

func lacking(all auth.Scopes, scopes ...string) auth.Scopes {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(scopes, s) })
}

// No operation can be carried out without each scope that it needs, and none needs more than it says.
func TestEveryOperationNeedsItsScopes(t *testing.T) {
	d := newDesk(t)
	w, system := d.things(), systemCalls(t.Context())
	calls := w.calls(t.Context())
	for method := range reflect.TypeFor[*registry.Registry]().Methods() {
		takesActor := false
		for in := range method.Type.Ins() {
			takesActor = takesActor || in == reflect.TypeFor[auth.Actor]()
		}
		if takesActor && calls[method.Name].do == nil && system[method.Name] == nil {
			t.Errorf("%s is not tested", method.Name)
		}
	}
	caller := d.client("caller")
	actor := auth.Actor{Client: caller.ID, Name: caller.Name}
	for name, c := range calls {
		t.Run(name, func(t *testing.T) {
			actor.Scope = strings.Join(c.needs, " ")
			if err := c.do(d.rehearsed(), actor); err != nil && !errors.Is(err, errDry) {
				t.Errorf("with what it needs: %v", err)
			}
			before := d.state()
			for _, missing := range c.needs {
				actor.Scope = lacking(adminScopes(), missing).String()
				err := c.do(d.Registry, actor)
				if found := fault.From(err); found == nil || found.Code != fault.InsufficientScope || found.Field != missing {
					t.Errorf("without %s: %v", missing, err)
				}
			}
			actor.Scope = ""
			if err := c.do(d.Registry, actor); !errors.Is(err, fault.InsufficientScope) {
				t.Errorf("without any scope: %v", err)
			}
			if after := d.state(); after != before {
				t.Errorf("a refused call changed something: %+v, %+v", before, after)
			}
		})
	}
	for name, do := range system {
		t.Run(name, func(t *testing.T) {
			actor.Scope = adminScopes().String()
			before := d.state()
			if err := do(d.Registry, actor); !errors.Is(err, fault.Forbidden) {
				t.Error(err)
			}
			if after := d.state(); after != before {
				t.Error("a refused call changed something")
			}
		})
	}
}

// state is how far change log and audit log have come.
type state struct {
	position auth.Position
	audit    auth.AuditHead
}

func (d *desk) state() (now state) {
	d.Helper()
	d.view(func(tx auth.Tx) (err error) {
		if now.position, err = tx.Changes().Position(d.Context()); err == nil {
			now.audit, err = tx.Audit().AuditHead(d.Context())
		}
		return err
	})
	return now
}
