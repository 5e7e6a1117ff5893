package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// subject is a client that somebody wants to change, with what it holds of Countersign's own APIs.
type subject struct {
	name          string
	id            auth.ClientID
	on, off       auth.SecretID
	admin, server auth.Scopes
}

// attempt is an operation on a client.
type attempt struct {
	name  string
	scope string // that it needs, on clients other than the caller
	own   string // that it needs on the caller; empty: the same
	// then is needed besides, and thenOwn in place of it on the caller.
	then, thenOwn string
	// either says that on the caller one of the two is enough.
	either bool
	// unranked operations do not ask what the client holds.
	unranked      bool
	admin, server auth.Scopes // that the client gains
	do            func(r *registry.Registry, actor auth.Actor, of subject) error
}

func (e *escalation) attempts(ctx context.Context) []attempt {
	edit := func(change func(*auth.Client)) func(*registry.Registry, auth.Actor, subject) error {
		return func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.UpdateClient(ctx, a, of.id, registry.ClientEdit{Match: registry.Exists, Change: rename(change)}))
		}
	}
	put := func(api *auth.API, scopes auth.Scopes) func(*registry.Registry, auth.Actor, subject) error {
		return func(r *registry.Registry, a auth.Actor, of subject) error {
			return third(r.PutGrant(ctx, a, auth.Grant{Client: of.id, API: api.ID, Scopes: scopes}, registry.Any))
		}
	}
	disable := func(compromised bool) func(*registry.Registry, auth.Actor, subject) error {
		return func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DisableSecret(ctx, a, of.on, compromised))
		}
	}
	read, introspect := auth.NewScopes(auth.ScopeClientsRead), auth.NewScopes(auth.ScopeIntrospectAll)
	clients, secrets, own, grants := auth.ScopeClientsWrite, auth.ScopeSecretsWrite, auth.ScopeSecretsOwn, auth.ScopeGrantsWrite
	return []attempt{
		{name: "update", scope: clients, do: edit(func(c *auth.Client) { c.Owner = "somebody else" })},
		{name: "default resource", scope: clients, do: edit(func(c *auth.Client) { c.DefaultResource = e.stock.ID })},
		{name: "replace", scope: clients, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return third(r.PutClient(ctx, a, auth.Client{ID: of.id, Name: "replaced"}, registry.Exists))
		}},
		{name: "keys", scope: clients, then: secrets, thenOwn: own, do: edit(func(c *auth.Client) {
			c.AuthMethod, c.Proofs.JWKS = auth.PrivateKeyJWT, json.RawMessage(publicKey)
		})},
		{name: "address of keys", scope: clients, then: secrets, thenOwn: own, do: edit(func(c *auth.Client) {
			c.AuthMethod, c.Proofs.JWKSURI = auth.PrivateKeyJWT, "https://keys.example/"
		})},
		{name: "certificate", scope: clients, then: secrets, thenOwn: own, do: edit(func(c *auth.Client) {
			c.AuthMethod, c.Proofs.Certificate = auth.TLSClientAuth, &auth.CertificateName{Field: auth.SANDNS, Value: "mine.example"}
		})},
		{name: "rules", scope: clients, then: secrets, thenOwn: own, do: edit(func(c *auth.Client) {
			c.AuthMethod = auth.FederatedJWT
			c.Proofs.Federation = []auth.FederationRule{{Issuer: e.cluster, Claims: []auth.ClaimMatch{{Path: []string{"sub"}, Equals: "me"}}}}
		})},
		{name: "replace with keys", scope: clients, then: secrets, thenOwn: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return third(r.PutClient(ctx, a, auth.Client{
				ID: of.id, Name: "replaced", AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: json.RawMessage(publicKey)},
			}, registry.Exists))
		}},
		{name: "bind tokens", scope: clients, do: edit(func(c *auth.Client) { c.Proofs.DPoPBound = true })},
		{name: "disable", scope: clients, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.SetClientStatus(ctx, a, of.id, auth.Disabled))
		}},
		{name: "delete", scope: clients, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DeleteClient(ctx, a, of.id, registry.Any))
		}},
		{name: "add secret", scope: secrets, own: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.AddSecret(ctx, a, of.id, registry.NewSecretRequest{}))
		}},
		{name: "rotate secret", scope: secrets, own: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.RotateSecret(ctx, a, of.id, registry.Rotation{Overlap: time.Hour}))
		}},
		{name: "expire secret", scope: secrets, own: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.ExpireSecret(ctx, a, registry.SecretRef{Client: of.id, ID: of.on}, time.Now().Add(time.Hour)))
		}},
		{name: "enable secret", scope: secrets, own: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.EnableSecret(ctx, a, of.off))
		}},
		{name: "delete secret", scope: secrets, own: own, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return r.DeleteSecret(ctx, a, registry.SecretRef{Client: of.id, ID: of.off})
		}},
		{name: "disable secret", scope: secrets, own: own, either: true, do: disable(false)},
		{name: "disable compromised secret", scope: secrets, own: own, either: true, do: disable(true)},
		{name: "grant a part", scope: grants, admin: read, do: put(e.admin, read)},
		{name: "grant everything", scope: grants, admin: adminScopes(), do: put(e.admin, adminScopes())},
		{name: "grant introspection", scope: grants, server: introspect, do: put(e.server, introspect)},
		{name: "grant another API", scope: grants, unranked: true, do: put(e.stock, auth.NewScopes("write"))},
		{name: "take a grant away", scope: grants, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			err := second(r.DeleteGrant(ctx, a, registry.GrantRef{Client: of.id, API: e.admin.ID}))
			if len(of.admin) == 0 && errors.Is(err, fault.NotFound) {
				return errDry // there is none, which is another matter
			}
			return err
		}},
		{name: "make server", scope: auth.ScopeAPIsWrite, do: func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.SetServer(ctx, a, e.stock.ID, of.id, true))
		}},
	}
}

// who is a caller: what its client is granted, and what of that its token holds.
type who struct {
	name           string
	granted, token auth.Scopes
	server         auth.Scopes
}

func callers() []who {
	all, part := adminScopes(), auth.NewScopes(auth.ScopeClientsRead, auth.ScopeGrantsRead)
	writes := auth.NewScopes(auth.ScopeClientsWrite, auth.ScopeSecretsWrite, auth.ScopeGrantsWrite, auth.ScopeAPIsWrite)
	trusted := auth.NewScopes(auth.ScopeIntrospectAll, auth.ScopeRevocationsRead)
	both := auth.NewScopes(append(part, writes...)...)
	found := []who{
		{"everything", all, all, nil},
		{"all that writes", writes, writes, nil},
		{"all that writes and its own secrets", auth.NewScopes(append(writes, auth.ScopeSecretsOwn)...), auth.NewScopes(append(writes, auth.ScopeSecretsOwn)...), nil},
		{"all that writes and a part", both, both, nil},
		{"all that writes and introspection", writes, writes, trusted},
		{"all that writes and some introspection", writes, writes, trusted[:1]},
		{"both", both, both, trusted},
		{"a token of less: what writes", all, writes, trusted},
		{"a token of less: what writes and a part", all, both, trusted},
		{"a token of less: its own secrets", all, auth.NewScopes(auth.ScopeSecretsOwn), nil},
		{"introspection without a token for it", nil, nil, trusted},
	}
	for _, s := range all {
		found = append(found,
			who{"only " + s, auth.NewScopes(s), auth.NewScopes(s), nil},
			who{"all but " + s, lacking(all, s), lacking(all, s), nil})
	}
	return found
}

// allowed is the rule, told as simply as can be: empty for what may be done.
func allowed(w who, a attempt, of subject, self bool) fault.Code {
	scope := a.scope
	if self && a.own != "" && (!a.either || !w.token.Has(scope)) {
		scope = a.own
	}
	switch {
	case !w.token.Has(scope):
		return fault.InsufficientScope
	case a.unranked, w.token.Contains(adminScopes()):
		return ""
	}
	for _, held := range [][2]auth.Scopes{{of.admin, w.token}, {a.admin, w.token}, {of.server, w.server}, {a.server, w.server}} {
		if !held[1].Contains(held[0]) {
			return fault.Forbidden
		}
	}
	then := a.then
	if self && then != "" {
		then = a.thenOwn
	}
	if then != "" && !w.token.Has(then) {
		return fault.InsufficientScope
	}
	return ""
}

type escalation struct {
	*desk
	admin, server, stock *auth.API
	cluster              auth.TrustedIssuerID
	keeper               subject // a full administrator, so that nobody is the last
	subjects             int
}

func newEscalation(t *testing.T) *escalation {
	t.Helper()
	e := &escalation{desk: newDesk(t)}
	e.stock = e.api("https://stock.example/")
	e.cluster = e.issuer("cluster", "https://cluster.example").ID
	e.view(func(tx auth.Tx) (err error) {
		if e.admin, err = tx.APIs().APIByIdentifier(t.Context(), auth.AdminAPI); err == nil {
			e.server, err = tx.APIs().APIByIdentifier(t.Context(), auth.ServerAPI)
		}
		return err
	})
	e.keeper = e.subject("keeper", adminScopes(), nil)
	return e
}

func (e *escalation) subject(name string, admin, server auth.Scopes) subject {
	e.Helper()
	e.subjects++
	c := e.client(fmt.Sprintf("%s %d", name, e.subjects))
	on, _ := e.secret(c)
	off, _ := e.secret(c, func(s *auth.Secret) { s.Status = auth.Disabled })
	e.grant(c, e.stock, "read")
	if len(admin) > 0 {
		e.grant(c, e.admin, admin...)
	}
	if len(server) > 0 {
		e.grant(c, e.server, server...)
	}
	return subject{name, c.ID, on.ID, off.ID, admin, server}
}

// Whoever administers a part cannot make it the whole: each caller, on each kind of client, with each operation.
func TestNoWayUp(t *testing.T) {
	e := newEscalation(t)
	rehearsed := e.rehearsed()
	rehearsed.Ledger = nil // how many tokens are hit does not matter
	subjects := []subject{
		e.subject("plain", nil, nil),
		e.subject("part", auth.NewScopes(auth.ScopeClientsRead, auth.ScopeGrantsWrite), nil),
		e.subject("full", adminScopes(), nil),
		e.subject("server", nil, auth.NewScopes(auth.ScopeIntrospectAll, auth.ScopeRevocationsRead)),
	}
	attempts, outcomes := e.attempts(t.Context()), map[fault.Code]int{}
	for _, w := range callers() {
		t.Run(w.name, func(t *testing.T) {
			self := e.subject("self", w.granted, w.server)
			actor := auth.Actor{Client: self.id, Credential: self.on, Name: "caller", Scope: w.token.String()}
			for _, of := range append(subjects, self) {
				for _, a := range attempts {
					want, got := allowed(w, a, of, of.id == self.id), fault.Code("")
					if err := a.do(rehearsed, actor, of); !errors.Is(err, errDry) {
						got = fault.From(err).Code
					}
					if got != want {
						t.Errorf("%s of %s: %q, want %q", a.name, of.name, got, want)
					}
					outcomes[got]++
				}
			}
		})
	}
	for _, code := range []fault.Code{"", fault.Forbidden, fault.InsufficientScope} {
		if outcomes[code] < 100 {
			t.Errorf("%q only %d times", code, outcomes[code])
		}
	}
}

// A credential reaches what it made: who may not touch a client must not disable its secrets by way of the one that made them.
func TestCompromisedReachesNoHigher(t *testing.T) {
	e := newEscalation(t)
	low, high := e.subject("plain", nil, nil), e.subject("full", adminScopes(), nil)
	e.put(func(tx auth.Tx) error {
		s, err := tx.Secrets().Secret(t.Context(), high.on)
		if err == nil {
			s.By = low.on
			err = tx.Secrets().PutSecret(t.Context(), s)
		}
		return err
	})
	operator := e.subject("operator", auth.NewScopes(auth.ScopeSecretsWrite), nil)
	actor := auth.Actor{Client: operator.id, Name: "operator", Scope: auth.ScopeSecretsWrite}
	before := e.state()
	if _, err := e.DisableSecret(t.Context(), actor, low.on, true); !errors.Is(err, fault.Forbidden) || e.state() != before {
		t.Error(err)
	}
	if _, err := e.DisableSecret(t.Context(), actor, low.on, false); err != nil {
		t.Error(err)
	}
	actor.Scope = adminScopes().String()
	done, err := e.DisableSecret(t.Context(), actor, low.on, true)
	if err != nil || len(done.Reached) != 1 || done.Reached[0] != high.on {
		t.Errorf("%+v, %v", done, err)
	}
}
