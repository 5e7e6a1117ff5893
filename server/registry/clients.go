package registry

import (
	"context"
	"errors"
	"maps"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// put is what replacing a resource came to.
type put[T any] struct {
	Stored  T
	Created bool
}

// CreateClient stores a new client; fault.Conflict if its name, or its ID if that is set, is taken. Revision, Created and Updated
// are set by it; ID, Status and AuthMethod have defaults. A default resource it cannot have before it is granted anything. It needs
// clients:write, and for keys, a certificate or rules to authenticate by also secrets:write.
func (r *Registry) CreateClient(ctx context.Context, actor auth.Actor, c auth.Client) (*auth.Client, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, err
	}
	if err := r.checkURL(ctx, c.Proofs.JWKSURI, jwksURI); err != nil {
		return nil, err
	}
	made, err := update(ctx, r, func(tx auth.Tx) (auth.Client, error) {
		stored := c
		err := r.addClient(ctx, tx, actor, &stored)
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

func (r *Registry) addClient(ctx context.Context, tx auth.Tx, actor auth.Actor, c *auth.Client) error {
	now := r.now()
	c.Revision, c.Created, c.Updated = 0, now, now
	if c.ID == (auth.ClientID{}) {
		c.ID = auth.NewClientID(now)
	}
	defaultClient(c)
	if err := r.checkCredentials(ctx, tx, actor, &auth.Client{ID: c.ID, AuthMethod: auth.SecretBasic}, c); err != nil {
		return err
	}
	if err := mayDefault(ctx, tx, c); err != nil {
		return err
	}
	switch _, err := tx.Clients().Client(ctx, c.ID); {
	case err == nil:
		return fault.New(fault.Conflict, "a client with this id exists already").At("client_id")
	case !errors.Is(err, fault.NotFound):
		return err
	}
	if err := nameFree(ctx, tx, c); err != nil {
		return err
	}
	if err := tx.Clients().PutClient(ctx, c); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "client.create", c.ID.String(), nil, clientView(c)}, clientChanged(c.ID))
}

func defaultClient(c *auth.Client) {
	if c.Status == "" {
		c.Status = auth.Active
	}
	if c.AuthMethod == "" {
		c.AuthMethod = auth.SecretBasic
	}
}

func nameFree(ctx context.Context, tx auth.Tx, c *auth.Client) error {
	switch other, err := tx.Clients().ClientByName(ctx, c.Name); {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case other.ID != c.ID:
		return fault.New(fault.Conflict, "another client has this name").At("name")
	}
	return nil
}

// mayDefault returns fault.InvalidRequest for a default resource that the client is not granted.
func mayDefault(ctx context.Context, tx auth.Tx, c *auth.Client) error {
	if c.DefaultResource == (auth.APIID{}) {
		return nil
	}
	_, err := tx.Grants().Grant(ctx, c.ID, c.DefaultResource)
	if errors.Is(err, fault.NotFound) {
		return errNotGranted()
	}
	return err
}

// PutClient stores a client under c.ID, or replaces the one that is there but for its status, if m allows. It needs what CreateClient and
// UpdateClient need.
func (r *Registry) PutClient(ctx context.Context, actor auth.Actor, c auth.Client, m Match) (stored *auth.Client, created bool, err error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, false, err
	}
	if err := r.checkURL(ctx, c.Proofs.JWKSURI, jwksURI); err != nil {
		return nil, false, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (put[auth.Client], error) {
		now, err := tx.Clients().Client(ctx, c.ID)
		if errors.Is(err, fault.NotFound) {
			made := c
			if err = m.check(0); err == nil {
				err = r.addClient(ctx, tx, actor, &made)
			}
			return put[auth.Client]{made, true}, err
		}
		if err != nil {
			return put[auth.Client]{}, err
		}
		err = r.changeClient(ctx, tx, actor, editing[auth.Client]{stored: now, match: m, change: func(to *auth.Client) error {
			to.Name, to.Description, to.Owner, to.Labels = c.Name, c.Description, c.Owner, c.Labels
			to.AuthMethod, to.Proofs, to.DefaultResource = c.AuthMethod, c.Proofs, c.DefaultResource
			if to.AuthMethod == "" {
				to.AuthMethod = auth.SecretBasic
			}
			return nil
		}})
		return put[auth.Client]{*now, false}, err
	})
	if err != nil {
		return nil, false, err
	}
	return &done.Stored, done.Created, nil
}

// ClientEdit is a change of a client.
type ClientEdit struct {
	Match Match
	// Change edits what is stored: name, description, owner, labels, method, proofs and default resource. What else it sets is ignored. It may be
	// called several times.
	Change func(*auth.Client) error
	// RevokeTokens takes all of the client's tokens back. Without it those go on that it got by keys or rules which it has no longer.
	RevokeTokens bool
}

// ClientChange is what a change of a client came to.
type ClientChange struct {
	auth.Client
	Revoked Hit
}

// UpdateClient edits a client. It needs clients:write, and every scope of Countersign's own APIs that the client holds. To change how the client
// authenticates needs secrets:write too, or if the client is the caller, secrets:own; fault.Conflict if nobody would be left who
// can administer everything.
func (r *Registry) UpdateClient(ctx context.Context, actor auth.Actor, id auth.ClientID, e ClientEdit) (*ClientChange, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, err
	}
	hit := none()
	if e.RevokeTokens {
		var err error
		if hit, err = r.count(ctx, everyToken, id); err != nil {
			return nil, err
		}
	}
	done, err := r.editClient(ctx, actor, id, pendingEdit{ClientEdit: e, hit: hit})
	if strange, ok := errors.AsType[strangeURL](err); ok {
		if err := r.checkURL(ctx, string(strange), jwksURI); err != nil {
			return nil, err
		}
		done, err = r.editClient(ctx, actor, id, pendingEdit{ClientEdit: e, hit: hit, looked: strange})
	}
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// pendingEdit is an edit, with what was found out before its transaction.
type pendingEdit struct {
	ClientEdit
	looked strangeURL // address at which somebody has looked
	hit    Hit
}

// editClient edits a client in one transaction.
func (r *Registry) editClient(ctx context.Context, actor auth.Actor, id auth.ClientID, e pendingEdit) (ClientChange, error) {
	return update(ctx, r, func(tx auth.Tx) (ClientChange, error) {
		c, err := tx.Clients().Client(ctx, id)
		if err != nil {
			return ClientChange{}, err
		}
		editing := editing[auth.Client]{stored: c, match: e.Match, change: vetted(e.looked, e.Change)}
		if e.RevokeTokens {
			editing.revoked = &e.hit
		}
		err = r.changeClient(ctx, tx, actor, editing)
		return ClientChange{*c, e.hit}, err
	})
}

// editing is a resource that is about to be edited.
type editing[T any] struct {
	stored *T
	match  Match
	change func(*T) error
	// revoked is what of tokens is taken back; nil: nothing.
	revoked *Hit
}

// changeClient edits e.stored in place.
func (r *Registry) changeClient(ctx context.Context, tx auth.Tx, actor auth.Actor, e editing[auth.Client]) error {
	c := e.stored
	if err := r.outranks(ctx, tx, actor, c.ID, powers{}); err != nil {
		return err
	}
	if err := e.match.check(c.Revision); err != nil {
		return err
	}
	before := *c
	before.Labels = maps.Clone(c.Labels)
	if err := e.change(c); err != nil {
		return err
	}
	c.ID, c.Revision, c.Status, c.Created, c.Updated = before.ID, before.Revision, before.Status, before.Created, before.Updated
	if err := r.checkCredentials(ctx, tx, actor, &before, c); err != nil {
		return err
	}
	if sameClient(&before, c) && e.revoked == nil {
		return nil
	}
	if err := nameFree(ctx, tx, c); err != nil {
		return err
	}
	if c.DefaultResource != before.DefaultResource {
		if err := mayDefault(ctx, tx, c); err != nil {
			return err
		}
	}
	c.Updated = r.now()
	if sameCredentials(&before, c) {
		return r.storeClient(ctx, tx, actor, &before, e)
	}
	return r.keeping(ctx, tx, actor, func() error { return r.storeClient(ctx, tx, actor, &before, e) })
}

// storeClient stores what was edited and tells of it.
func (r *Registry) storeClient(ctx context.Context, tx auth.Tx, actor auth.Actor, before *auth.Client, e editing[auth.Client]) error {
	c := e.stored
	if err := tx.Clients().PutClient(ctx, c); err != nil {
		return err
	}
	rec := record{actor, "client.update", c.ID.String(), clientView(before), clientView(c)}
	if !sameCredentials(before, c) {
		rec.action = "client.credentials"
	}
	changes := []auth.Change{clientChanged(c.ID)}
	if e.revoked != nil {
		changes = append(changes, auth.Change{Kind: auth.RevokeClient, Subject: c.ID})
		rec.after = telling(clientView(c), *e.revoked)
	}
	return r.note(ctx, tx, rec, changes...)
}

func sameClient(a, b *auth.Client) bool {
	return a.Name == b.Name && a.Description == b.Description && a.Owner == b.Owner && maps.Equal(a.Labels, b.Labels) &&
		a.AuthMethod == b.AuthMethod && a.Proofs.Equal(&b.Proofs) && a.DefaultResource == b.DefaultResource
}
