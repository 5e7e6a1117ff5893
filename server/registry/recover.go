package registry

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Admin is a client that was given every scope of the AdminAPI, and the secret that it was given with them.
type Admin struct {
	Client auth.Client
	Secret auth.Secret
	Value  auth.SecretValue // cannot be had again
}

// FirstAdmin makes a client of this name, description and labels that has every scope of the AdminAPI, unless a client has them
// already: then it returns nil. However many instances call it at once, one client is made. value is its secret; one that this server
// did not make is stored as Import hashes it, and the zero value asks for a new one.
func (r *Registry) FirstAdmin(ctx context.Context, actor auth.Actor, c auth.Client, value auth.SecretValue) (*Admin, error) {
	if err := system(actor); err != nil {
		return nil, err
	}
	if known, err := r.HasAdmin(ctx); err != nil || known {
		return nil, err // without the work of hashing
	}
	made, err := r.newAdmin(c, value)
	if err != nil {
		return nil, err
	}
	return update(ctx, r, func(tx auth.Tx) (*Admin, error) {
		own, err := builtIn(ctx, tx)
		if err != nil {
			return nil, err
		}
		if known, err := hasAdmin(ctx, tx, own.admin); err != nil || known {
			return nil, err
		}
		stored := *made
		switch _, err := tx.Clients().ClientByName(ctx, stored.Client.Name); {
		case err == nil: // somebody's own client
			stored.Client.Name += "-" + stored.Client.Created.Format(nameTime)
		case !errors.Is(err, fault.NotFound):
			return nil, err
		}
		return &stored, r.install(ctx, tx, record{actor: actor, action: "admin.bootstrap"}, &stored)
	})
}

// HasAdmin reports whether a client has every scope of the AdminAPI.
func (r *Registry) HasAdmin(ctx context.Context) (known bool, err error) {
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		own, err := builtIn(ctx, tx)
		if err == nil {
			known, err = hasAdmin(ctx, tx, own.admin)
		}
		return err
	})
	return known, err
}

func hasAdmin(ctx context.Context, tx auth.Tx, admin *auth.API) (bool, error) {
	grants, err := tx.Grants().APIGrants(ctx, admin.ID)
	if err != nil {
		return false, err
	}
	all := admin.ScopeNames()
	for _, g := range grants {
		if g.Scopes.Contains(all) {
			return true, nil
		}
	}
	return false, nil
}

// RecoverAdmin gives the client with this name or id every scope of the AdminAPI and a new secret, and enables it. An empty
// name asks for a new client. It is for whoever has database and master key at hand: no other actor may call it.
func (r *Registry) RecoverAdmin(ctx context.Context, actor auth.Actor, name string) (*Admin, error) {
	if err := system(actor); err != nil {
		return nil, err
	}
	fresh, err := r.newAdmin(auth.Client{
		Name: "admin-recovered-" + r.Now().UTC().Format(nameTime), Description: "Made by " + actor.Name + ".",
	}, auth.SecretValue{})
	if err != nil {
		return nil, err
	}
	return update(ctx, r, func(tx auth.Tx) (*Admin, error) {
		made := *fresh
		if name != "" {
			found, err := named(ctx, tx, name)
			if err != nil {
				return nil, err
			}
			made.Client, made.Secret.Client = *found, found.ID
		}
		return &made, r.install(ctx, tx, record{actor: actor, action: "admin.recover"}, &made)
	})
}

// nameTime is how a name tells when its client was made: fine enough for two in a row.
const nameTime = "20060102-150405.000"

func system(actor auth.Actor) error {
	if actor.System() {
		return nil
	}
	return fault.New(fault.Forbidden, "this takes access to the database and the master key")
}

func named(ctx context.Context, tx auth.Tx, name string) (*auth.Client, error) {
	if id, err := auth.ParseClientID(name); err == nil {
		return tx.Clients().Client(ctx, id)
	}
	return tx.Clients().ClientByName(ctx, name)
}

// newAdmin returns a client and a secret of it that are not stored yet.
func (r *Registry) newAdmin(c auth.Client, value auth.SecretValue) (*Admin, error) {
	now := r.Now().UTC()
	if c.ID == (auth.ClientID{}) {
		c.ID = auth.NewClientID(now)
	}
	c.Status, c.AuthMethod, c.Created, c.Updated = auth.Active, auth.SecretBasic, now, now
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if value == (auth.SecretValue{}) {
		value = auth.NewSecretValue()
	}
	s := auth.Secret{ID: auth.NewSecretID(now), Client: c.ID, Status: auth.Active, Created: now}
	if value.WellFormed() {
		s.Hint = value.Hint()
		s.Hash, s.Pepper = r.Peppers().Hash(value)
		return &Admin{Client: c, Secret: s, Value: value}, nil
	}
	var err error
	s.Imported, err = r.Import(value)
	return &Admin{Client: c, Secret: s, Value: value}, err
}

// install stores an admin that is new or not, with every scope of the AdminAPI, and its new secret.
func (r *Registry) install(ctx context.Context, tx auth.Tx, rec record, made *Admin) error {
	own, err := builtIn(ctx, tx)
	if err != nil {
		return err
	}
	c, now := &made.Client, r.Now().UTC()
	if c.Revision > 0 {
		held, err := granted(ctx, tx, c.ID, own.admin.ID)
		if err != nil {
			return err
		}
		rec.before = map[string]any{"status": c.Status, "scopes": held, "token_endpoint_auth_method": c.AuthMethod}
	}
	c.Status, c.Updated = auth.Active, now
	if !c.AuthMethod.BySecret() {
		c.AuthMethod = auth.SecretBasic
	}
	c.Proofs = auth.Proofs{} // whoever recovers has a secret and nothing else
	if c.DefaultResource == (auth.APIID{}) {
		c.DefaultResource = own.admin.ID
	}
	if err := tx.Clients().PutClient(ctx, c); err != nil {
		return err
	}
	if err := putFullGrant(ctx, tx, c.ID, own.admin, now); err != nil {
		return err
	}
	if err := tx.Secrets().PutSecret(ctx, &made.Secret); err != nil {
		return err
	}
	rec.target = c.ID.String()
	rec.after = map[string]any{
		"name": c.Name, "status": c.Status, "scopes": own.admin.ScopeNames(), "token_endpoint_auth_method": c.AuthMethod, "secret_id": made.Secret.ID, "hint": made.Secret.Hint,
	}
	return r.note(ctx, tx, rec, clientChanged(c.ID))
}

func putFullGrant(ctx context.Context, tx auth.Tx, client auth.ClientID, api *auth.API, now time.Time) error {
	g, err := tx.Grants().Grant(ctx, client, api.ID)
	if errors.Is(err, fault.NotFound) {
		g, err = &auth.Grant{Client: client, API: api.ID, Created: now}, nil
	}
	if err != nil {
		return err
	}
	g.Scopes, g.Updated = api.ScopeNames(), now
	return tx.Grants().PutGrant(ctx, g)
}
