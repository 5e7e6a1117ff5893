// Package registry is what administration does: each operation says who may do it, makes its change, records it and tells the
// change log, in one transaction. No front door can leave out any of these.
package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Registry administers everything that the server knows. Whatever takes a permission away also takes back the tokens that were issued
// under it. Its methods may be called by any number of goroutines; those that change something return fault.Unavailable when it is
// not known to be done.
type Registry struct {
	Store   auth.Store
	Peppers func() *auth.Peppers
	Now     func() time.Time
	// Ledger and Denied tell of tokens, AuditKeys check the audit log, Master seals signing keys, Import hashes secrets from
	// outside: only what is called needs them.
	Ledger    auth.Ledger
	Denied    func(*auth.Token) bool
	AuditKeys func() *auth.AuditKeys
	Master    seal.Key
	Import    func(auth.SecretValue) (phc string, err error)

	underWay flights
	repeat   *Repeat
	root     *Registry // that Once was called on; nil: it is one
}

// Match is the precondition of a change: the revision that the resource must have.
type Match int64

// The preconditions that name no revision.
const (
	Any    Match = 0  // whatever is there, or nothing
	Absent Match = -1 // nothing must be there
	Exists Match = -2 // something must be there
)

// check returns fault.PreconditionFailed unless revision is what m asks for. 0 is the revision of what is not there.
func (m Match) check(revision int64) error {
	switch {
	case m == Any, m == Match(revision), m == Absent && revision == 0, m == Exists && revision != 0:
		return nil
	case m == Absent:
		return fault.New(fault.PreconditionFailed, "it exists already").At("If-None-Match")
	case revision == 0:
		return fault.New(fault.PreconditionFailed, "it does not exist").At("If-Match")
	}
	return fault.New(fault.PreconditionFailed, "it was changed meanwhile; read it again").At("If-Match")
}

// CreateClient stores a new client. ID, Created, Updated and Revision are set by it; Status and AuthMethod have defaults.
func (r *Registry) CreateClient(ctx context.Context, actor auth.Actor, c auth.Client) (*auth.Client, error) {
	now := r.Now().UTC()
	c.ID, c.Revision, c.Created, c.Updated = auth.NewClientID(now), 0, now, now
	if c.Status == "" {
		c.Status = auth.Active
	}
	if c.AuthMethod == "" {
		c.AuthMethod = auth.SecretBasic
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	err := r.Store.Update(ctx, func(tx auth.Tx) error {
		stored := c
		if err := tx.Clients().PutClient(ctx, &stored); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "client.create", stored.ID.String(), nil, stored}, clientChanged(stored.ID))
	})
	if err != nil {
		return nil, err
	}
	c.Revision = 1
	return &c, nil
}

// SetClientStatus enables or disables a client. Disabling takes back all of its tokens.
func (r *Registry) SetClientStatus(ctx context.Context, actor auth.Actor, id auth.ClientID, status auth.Status) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		c, err := tx.Clients().Client(ctx, id)
		if err != nil || c.Status == status {
			return err
		}
		before := *c
		c.Status, c.Updated = status, r.Now().UTC()
		if err := c.Validate(); err != nil {
			return err
		}
		if err := tx.Clients().PutClient(ctx, c); err != nil {
			return err
		}
		changes, action := []auth.Change{clientChanged(id)}, "client.enable"
		if status == auth.Disabled {
			changes, action = append(changes, auth.Change{Kind: auth.RevokeClient, Subject: id}), "client.disable"
		}
		return r.note(ctx, tx, record{actor, action, id.String(), before, *c}, changes...)
	})
}

// DeleteClient removes a client with its secrets and grants, and takes back all of its tokens.
func (r *Registry) DeleteClient(ctx context.Context, actor auth.Actor, id auth.ClientID) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		before, err := tx.Clients().Client(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.Clients().DeleteClient(ctx, id); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "client.delete", id.String(), *before, nil},
			clientChanged(id), auth.Change{Kind: auth.RevokeClient, Subject: id})
	})
}

// AddSecret makes a further secret for a client and returns its value, which cannot be had again. expires is when it ends;
// zero is never.
func (r *Registry) AddSecret(ctx context.Context, actor auth.Actor, client auth.ClientID, expires time.Time) (*auth.Secret, auth.SecretValue, error) {
	now, value := r.Now().UTC(), auth.NewSecretValue()
	s := auth.Secret{ID: auth.NewSecretID(now), Client: client, Hint: value.Hint(), Status: auth.Active, Created: now, Expires: expires}
	s.Hash, s.Pepper = r.Peppers().Hash(value)
	err := r.Store.Update(ctx, func(tx auth.Tx) error {
		if _, err := tx.Clients().Client(ctx, client); err != nil {
			return err
		}
		stored := s
		if err := tx.Secrets().PutSecret(ctx, &stored); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "secret.create", s.ID.String(), nil, secretView(&s)}, clientChanged(client))
	})
	if err != nil {
		return nil, auth.SecretValue{}, err
	}
	s.Revision = 1
	return &s, value, nil
}

// DisableSecret makes a secret unusable. With takeBack, the tokens that were asked for with it are taken back as well.
func (r *Registry) DisableSecret(ctx context.Context, actor auth.Actor, id auth.SecretID, takeBack bool) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		s, err := tx.Secrets().Secret(ctx, id)
		if err != nil {
			return err
		}
		before := secretView(s)
		s.Status = auth.Disabled
		if err := tx.Secrets().PutSecret(ctx, s); err != nil {
			return err
		}
		changes := []auth.Change{clientChanged(s.Client)}
		if takeBack {
			changes = append(changes, auth.Change{Kind: auth.RevokeCredential, Subject: id})
		}
		return r.note(ctx, tx, record{actor, "secret.disable", id.String(), before, secretView(s)}, changes...)
	})
}

// CreateAPI stores a new API; fault.Conflict if its identifier is taken. ID, Created, Updated and Revision are set by it; Format, Lifetime and Algorithm have defaults.
func (r *Registry) CreateAPI(ctx context.Context, actor auth.Actor, a auth.API) (*auth.API, error) {
	now := r.Now().UTC()
	a.ID, a.Revision, a.Created, a.Updated = auth.NewAPIID(now), 0, now, now
	if a.Format == "" {
		a.Format = auth.JWT
	}
	if a.Lifetime == 0 {
		a.Lifetime = auth.DefaultLifetime
	}
	if a.Algorithm == "" {
		a.Algorithm = auth.ES256
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if a.BuiltIn() {
		return nil, fault.New(fault.InvalidRequest, "identifiers that begin with urn:countersign: are built in").At("identifier")
	}
	err := r.Store.Update(ctx, func(tx auth.Tx) error {
		stored := a
		if err := tx.APIs().PutAPI(ctx, &stored); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "api.create", a.ID.String(), nil, a}, apiChanged(a.ID))
	})
	if err != nil {
		return nil, err
	}
	a.Revision = 1
	return &a, nil
}

// DeleteAPI removes an API with its grants, and takes back all of its tokens. Built-in APIs cannot be deleted.
func (r *Registry) DeleteAPI(ctx context.Context, actor auth.Actor, id auth.APIID) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		before, err := tx.APIs().API(ctx, id)
		if err != nil {
			return err
		}
		if before.BuiltIn() {
			return fault.New(fault.InvalidRequest, "a built-in auth.API cannot be deleted")
		}
		grants, err := tx.Grants().APIGrants(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.APIs().DeleteAPI(ctx, id); err != nil {
			return err
		}
		changes := []auth.Change{apiChanged(id), {Kind: auth.RevokeAPI, Subject: id, Audience: before.Identifier}}
		for _, g := range grants {
			changes = append(changes, clientChanged(g.Client))
		}
		return r.note(ctx, tx, record{actor, "api.delete", id.String(), *before, nil}, changes...)
	})
}

// SetServer says whether a client serves an API: whether it may introspect the API's tokens and read the revocation feed.
func (r *Registry) SetServer(ctx context.Context, actor auth.Actor, id auth.APIID, client auth.ClientID, serves bool) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		a, err := tx.APIs().API(ctx, id)
		if err != nil {
			return err
		}
		if _, err := tx.Clients().Client(ctx, client); err != nil {
			return err
		}
		if a.ServedBy(client) == serves {
			return nil
		}
		before, action := *a, "api.server.add"
		if serves {
			a.Servers = append(slices.Clone(a.Servers), client)
		} else {
			a.Servers, action = slices.DeleteFunc(slices.Clone(a.Servers), func(c auth.ClientID) bool { return c == client }), "api.server.remove"
		}
		a.Updated = r.Now().UTC()
		if err := tx.APIs().PutAPI(ctx, a); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, action, id.String(), before, *a}, apiChanged(id))
	})
}

// PutGrant gives a client exactly these scopes of an API. The first grant of a client sets its default resource. Scopes that
// the client had and loses take back its tokens for the API.
func (r *Registry) PutGrant(ctx context.Context, actor auth.Actor, client auth.ClientID, api auth.APIID, scopes auth.Scopes) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		c, err := tx.Clients().Client(ctx, client)
		if err != nil {
			return err
		}
		a, err := tx.APIs().API(ctx, api)
		if err != nil {
			return err
		}
		g, err := tx.Grants().Grant(ctx, client, api)
		now := r.Now().UTC()
		var before any
		narrowed := false
		switch {
		case fault.From(err) == nil:
			before, narrowed = *g, !scopes.Contains(g.Scopes)
		case fault.From(err).Code == fault.NotFound:
			g = &auth.Grant{Client: client, API: api, Created: now}
		default:
			return err
		}
		g.Scopes, g.Updated = scopes, now
		if err := g.Validate(a); err != nil {
			return err
		}
		if err := tx.Grants().PutGrant(ctx, g); err != nil {
			return err
		}
		if c.DefaultResource == (auth.APIID{}) {
			c.DefaultResource, c.Updated = api, now
			if err := tx.Clients().PutClient(ctx, c); err != nil {
				return err
			}
		}
		changes := []auth.Change{clientChanged(client)}
		if narrowed {
			changes = append(changes, auth.Change{Kind: auth.RevokeGrant, Subject: client, Object: api, Audience: a.Identifier})
		}
		return r.note(ctx, tx, record{actor, "grant.put", grantTarget(client, api), before, *g}, changes...)
	})
}

// DeleteGrant takes an API away from a client, and its tokens for the API with it.
func (r *Registry) DeleteGrant(ctx context.Context, actor auth.Actor, client auth.ClientID, api auth.APIID) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		before, err := tx.Grants().Grant(ctx, client, api)
		if err != nil {
			return err
		}
		a, err := tx.APIs().API(ctx, api)
		if err != nil {
			return err
		}
		if err := tx.Grants().DeleteGrant(ctx, client, api); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "grant.delete", grantTarget(client, api), *before, nil},
			clientChanged(client), auth.Change{Kind: auth.RevokeGrant, Subject: client, Object: api, Audience: a.Identifier})
	})
}

// Restored tells the change log that the database was restored from a backup, or that a replica which lagged was promoted. What
// was lost with it cannot be known, so every token is taken back, and those who follow the log learn that it is another one.
// Secrets, grants and keys are what they were at the time of the backup: what was withdrawn since must be withdrawn again.
func (r *Registry) Restored(ctx context.Context, actor auth.Actor) error {
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		if err := tx.Changes().Begin(ctx); err != nil {
			return err
		}
		keys, err := tx.Keys().SigningKeys(ctx)
		if err != nil {
			return err
		}
		changes := []auth.Change{{Kind: auth.RevokeAll}}
		for _, key := range keys {
			if !key.RevokedAt.IsZero() { // whoever has stolen it writes himself from when his tokens are
				changes = append(changes, auth.Change{Kind: auth.RevokeKey, Subject: key.ID})
			}
		}
		return r.note(ctx, tx, record{actor, "database.restored", "database", nil, nil}, changes...)
	})
}

func clientChanged(id auth.ClientID) auth.Change {
	return auth.Change{Kind: auth.ClientChanged, Subject: id}
}

func apiChanged(id auth.APIID) auth.Change { return auth.Change{Kind: auth.APIChanged, Subject: id} }

func grantTarget(client auth.ClientID, api auth.APIID) string {
	return client.String() + "/" + api.String()
}

// secretView is a secret as the audit log may show it.
func secretView(s *auth.Secret) map[string]any {
	return map[string]any{"id": s.ID.String(), "client": s.Client.String(), "hint": s.Hint, "status": s.Status, "expires": s.Expires}
}

// record is what the audit log says of one operation.
type record struct {
	actor         auth.Actor
	action        string
	target        string
	before, after any
}

// note writes the audit record and the entries of the change log that belong to one operation.
func (r *Registry) note(ctx context.Context, tx auth.Tx, rec record, changes ...auth.Change) error {
	now := r.Now().UTC()
	text, err := json.Marshal(map[string]any{"before": rec.before, "after": rec.after})
	if err != nil {
		return fmt.Errorf("encode audit record of %s: %w", rec.action, err)
	}
	event := auth.AuditEvent{ID: auth.NewEventID(now), At: now, Actor: rec.actor, Action: rec.action, Target: rec.target, Changes: string(text)}
	if err := tx.Audit().Record(ctx, event); err != nil {
		return err
	}
	for i := range changes {
		changes[i].At = now
	}
	return tx.Changes().Append(ctx, changes...)
}
