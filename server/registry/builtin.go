package registry

import (
	"context"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// builtIns are the APIs of Countersign itself, as the first start stores them.
func builtIns() []auth.API {
	return []auth.API{
		{Identifier: auth.AdminAPI, Name: "Countersign administration", Scopes: []auth.ScopeDefinition{
			{Name: auth.ScopeClientsRead, Description: "see clients and the hints of their secrets"},
			{Name: auth.ScopeClientsWrite, Description: "create, change and delete clients"},
			{Name: auth.ScopeSecretsWrite, Description: "add, disable and delete secrets of other clients"},
			{Name: auth.ScopeSecretsOwn, Description: "add, rotate and end secrets of one's own"},
			{Name: auth.ScopeAPIsRead, Description: "see APIs"},
			{Name: auth.ScopeAPIsWrite, Description: "create, change and delete APIs"},
			{Name: auth.ScopeGrantsRead, Description: "see grants"},
			{Name: auth.ScopeGrantsWrite, Description: "create, change and delete grants"},
			{Name: auth.ScopeTokensRead, Description: "see tokens"},
			{Name: auth.ScopeTokensWrite, Description: "revoke tokens"},
			{Name: auth.ScopeKeysRead, Description: "see signing keys"},
			{Name: auth.ScopeKeysWrite, Description: "rotate signing keys"},
			{Name: auth.ScopeAuditRead, Description: "read the audit log"},
			{Name: auth.ScopeIssuersRead, Description: "see trusted issuers"},
			{Name: auth.ScopeIssuersWrite, Description: "create, change and delete trusted issuers"},
		}},
		{Identifier: auth.ServerAPI, Name: "Countersign authorization server", Scopes: []auth.ScopeDefinition{
			{Name: auth.ScopeIntrospectAll, Description: "introspect every token"},
			{Name: auth.ScopeRevokeAll, Description: "revoke every token"},
			{Name: auth.ScopeRevocationsRead, Description: "read the revocation feed"},
		}},
	}
}

// AdminScopes are the scopes of the admin API.
func AdminScopes() []auth.ScopeDefinition { return builtIns()[0].Scopes }

// EnsureBuiltIns stores the built-in APIs that are missing, and gives those that exist the scopes of this version. Who held every scope of
// one goes on doing so. Only the system may call it.
func (r *Registry) EnsureBuiltIns(ctx context.Context, actor auth.Actor) error {
	if err := system(actor); err != nil {
		return err
	}
	now := r.now()
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		for _, want := range builtIns() {
			stored, err := tx.APIs().APIByIdentifier(ctx, want.Identifier)
			var before any
			var former auth.Scopes
			switch found := fault.From(err); {
			case found == nil:
				if stored.ScopeNames().Contains(want.ScopeNames()) {
					continue
				}
				before = apiView(stored)
				former = stored.ScopeNames()
				stored.Scopes, stored.Updated = want.Scopes, now
			case found.Code == fault.NotFound:
				stored = &want
				stored.ID, stored.Created, stored.Updated = auth.NewAPIID(now), now, now
				stored.Format, stored.Lifetime, stored.Algorithm = auth.JWT, auth.DefaultLifetime, auth.ES256
			default:
				return err
			}
			if err := tx.APIs().PutAPI(ctx, stored); err != nil {
				return err
			}
			widened, err := widenGrants(ctx, tx, stored, former)
			if err != nil {
				return err
			}
			if err := r.note(ctx, tx, record{actor, "api.builtin", stored.ID.String(), before, apiView(stored)}, append(widened, apiChanged(stored.ID))...); err != nil {
				return err
			}
		}
		return nil
	})
}

// widenGrants gives every scope of the API to the clients that held all of its former ones. A new API had none.
func widenGrants(ctx context.Context, tx auth.Tx, api *auth.API, former auth.Scopes) (changes []auth.Change, err error) {
	if len(former) == 0 {
		return nil, nil
	}
	grants, err := tx.Grants().APIGrants(ctx, api.ID)
	if err != nil {
		return nil, err
	}
	for _, g := range grants {
		if !g.Scopes.Contains(former) {
			continue
		}
		g.Scopes, g.Updated = api.ScopeNames(), api.Updated
		if err := tx.Grants().PutGrant(ctx, g); err != nil {
			return nil, err
		}
		changes = append(changes, clientChanged(g.Client))
	}
	return changes, nil
}
