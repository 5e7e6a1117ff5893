package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Registry changes clients, secrets, APIs and grants. Each operation does its change, its audit record and its entries in
// the change log in one transaction. Whatever takes a permission away also takes back the tokens that were issued under it.
type Registry struct {
	Store   Store
	Peppers func() *Peppers
	Now     func() time.Time
}

// CreateClient stores a new client. ID, Created, Updated and Revision are set by it; Status and AuthMethod have defaults.
func (r *Registry) CreateClient(ctx context.Context, actor Actor, c Client) (*Client, error) {
	now := r.Now().UTC()
	c.ID, c.Revision, c.Created, c.Updated = NewClientID(now), 0, now, now
	if c.Status == "" {
		c.Status = Active
	}
	if c.AuthMethod == "" {
		c.AuthMethod = SecretBasic
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	err := r.Store.Update(ctx, func(tx Tx) error {
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
func (r *Registry) SetClientStatus(ctx context.Context, actor Actor, id ClientID, status Status) error {
	return r.Store.Update(ctx, func(tx Tx) error {
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
		changes, action := []Change{clientChanged(id)}, "client.enable"
		if status == Disabled {
			changes, action = append(changes, Change{Kind: RevokeClient, Subject: id}), "client.disable"
		}
		return r.note(ctx, tx, record{actor, action, id.String(), before, *c}, changes...)
	})
}

// DeleteClient removes a client with its secrets and grants, and takes back all of its tokens.
func (r *Registry) DeleteClient(ctx context.Context, actor Actor, id ClientID) error {
	return r.Store.Update(ctx, func(tx Tx) error {
		before, err := tx.Clients().Client(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.Clients().DeleteClient(ctx, id); err != nil {
			return err
		}
		return r.note(ctx, tx, record{actor, "client.delete", id.String(), *before, nil},
			clientChanged(id), Change{Kind: RevokeClient, Subject: id})
	})
}

// AddSecret makes a further secret for a client and returns its value, which cannot be had again. expires is when it ends;
// zero is never.
func (r *Registry) AddSecret(ctx context.Context, actor Actor, client ClientID, expires time.Time) (*Secret, SecretValue, error) {
	now, value := r.Now().UTC(), NewSecretValue()
	s := Secret{ID: NewSecretID(now), Client: client, Hint: value.hint(), Status: Active, Created: now, Expires: expires}
	s.Hash, s.Pepper = r.Peppers().Hash(value)
	err := r.Store.Update(ctx, func(tx Tx) error {
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
		return nil, SecretValue{}, err
	}
	s.Revision = 1
	return &s, value, nil
}

// DisableSecret makes a secret unusable. With takeBack, the tokens that were asked for with it are taken back as well.
func (r *Registry) DisableSecret(ctx context.Context, actor Actor, id SecretID, takeBack bool) error {
	return r.Store.Update(ctx, func(tx Tx) error {
		s, err := tx.Secrets().Secret(ctx, id)
		if err != nil {
			return err
		}
		before := secretView(s)
		s.Status = Disabled
		if err := tx.Secrets().PutSecret(ctx, s); err != nil {
			return err
		}
		changes := []Change{clientChanged(s.Client)}
		if takeBack {
			changes = append(changes, Change{Kind: RevokeCredential, Subject: id})
		}
		return r.note(ctx, tx, record{actor, "secret.disable", id.String(), before, secretView(s)}, changes...)
	})
}

// CreateAPI stores a new API; fault.Conflict if its identifier is taken. ID, Created, Updated and Revision are set by it; Format, Lifetime and Algorithm have defaults.
func (r *Registry) CreateAPI(ctx context.Context, actor Actor, a API) (*API, error) {
	now := r.Now().UTC()
	a.ID, a.Revision, a.Created, a.Updated = NewAPIID(now), 0, now, now
	if a.Format == "" {
		a.Format = JWT
	}
	if a.Lifetime == 0 {
		a.Lifetime = DefaultLifetime
	}
	if a.Algorithm == "" {
		a.Algorithm = ES256
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if a.BuiltIn() {
		return nil, fault.New(fault.InvalidRequest, "identifiers that begin with urn:countersign: are built in").At("identifier")
	}
	err := r.Store.Update(ctx, func(tx Tx) error {
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
func (r *Registry) DeleteAPI(ctx context.Context, actor Actor, id APIID) error {
	return r.Store.Update(ctx, func(tx Tx) error {
		before, err := tx.APIs().API(ctx, id)
		if err != nil {
			return err
		}
		if before.BuiltIn() {
			return fault.New(fault.InvalidRequest, "a built-in API cannot be deleted")
		}
		grants, err := tx.Grants().APIGrants(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.APIs().DeleteAPI(ctx, id); err != nil {
			return err
		}
		changes := []Change{apiChanged(id), {Kind: RevokeAPI, Subject: id, Audience: before.Identifier}}
		for _, g := range grants {
			changes = append(changes, clientChanged(g.Client))
		}
		return r.note(ctx, tx, record{actor, "api.delete", id.String(), *before, nil}, changes...)
	})
}

// SetServer says whether a client serves an API: whether it may introspect the API's tokens and read the revocation feed.
func (r *Registry) SetServer(ctx context.Context, actor Actor, id APIID, client ClientID, serves bool) error {
	return r.Store.Update(ctx, func(tx Tx) error {
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
			a.Servers, action = slices.DeleteFunc(slices.Clone(a.Servers), func(c ClientID) bool { return c == client }), "api.server.remove"
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
func (r *Registry) PutGrant(ctx context.Context, actor Actor, client ClientID, api APIID, scopes Scopes) error {
	return r.Store.Update(ctx, func(tx Tx) error {
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
			g = &Grant{Client: client, API: api, Created: now}
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
		if c.DefaultResource == (APIID{}) {
			c.DefaultResource, c.Updated = api, now
			if err := tx.Clients().PutClient(ctx, c); err != nil {
				return err
			}
		}
		changes := []Change{clientChanged(client)}
		if narrowed {
			changes = append(changes, Change{Kind: RevokeGrant, Subject: client, Object: api, Audience: a.Identifier})
		}
		return r.note(ctx, tx, record{actor, "grant.put", grantTarget(client, api), before, *g}, changes...)
	})
}

// DeleteGrant takes an API away from a client, and its tokens for the API with it.
func (r *Registry) DeleteGrant(ctx context.Context, actor Actor, client ClientID, api APIID) error {
	return r.Store.Update(ctx, func(tx Tx) error {
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
			clientChanged(client), Change{Kind: RevokeGrant, Subject: client, Object: api, Audience: a.Identifier})
	})
}

// Restored tells the change log that the database was restored from a backup, or that a replica which lagged was promoted. What
// was lost with it cannot be known, so every token is taken back, and those who follow the log learn that it is another one.
// Secrets, grants and keys are what they were at the time of the backup: what was withdrawn since must be withdrawn again.
func (r *Registry) Restored(ctx context.Context, actor Actor) error {
	return r.Store.Update(ctx, func(tx Tx) error {
		if err := tx.Changes().Begin(ctx); err != nil {
			return err
		}
		keys, err := tx.Keys().SigningKeys(ctx)
		if err != nil {
			return err
		}
		changes := []Change{{Kind: RevokeAll}}
		for _, key := range keys {
			if !key.RevokedAt.IsZero() { // whoever has stolen it writes himself from when his tokens are
				changes = append(changes, Change{Kind: RevokeKey, Subject: key.ID})
			}
		}
		return r.note(ctx, tx, record{actor, "database.restored", "database", nil, nil}, changes...)
	})
}

func clientChanged(id ClientID) Change { return Change{Kind: ClientChanged, Subject: id} }

func apiChanged(id APIID) Change { return Change{Kind: APIChanged, Subject: id} }

func grantTarget(client ClientID, api APIID) string { return client.String() + "/" + api.String() }

// secretView is a secret as the audit log may show it.
func secretView(s *Secret) map[string]any {
	return map[string]any{"id": s.ID.String(), "client": s.Client.String(), "hint": s.Hint, "status": s.Status, "expires": s.Expires}
}

// record is what the audit log says of one operation.
type record struct {
	actor         Actor
	action        string
	target        string
	before, after any
}

// note writes the audit record and the entries of the change log that belong to one operation.
func (r *Registry) note(ctx context.Context, tx Tx, rec record, changes ...Change) error {
	now := r.Now().UTC()
	text, err := json.Marshal(map[string]any{"before": rec.before, "after": rec.after})
	if err != nil {
		return fmt.Errorf("encode audit record of %s: %w", rec.action, err)
	}
	event := AuditEvent{ID: EventID(newID(now)), At: now, Actor: rec.actor, Action: rec.action, Target: rec.target, Changes: string(text)}
	if err := tx.Audit().Record(ctx, event); err != nil {
		return err
	}
	for i := range changes {
		changes[i].At = now
	}
	return tx.Changes().Append(ctx, changes...)
}
