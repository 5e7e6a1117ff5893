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
// clients:write.
func (r *Registry) CreateClient(ctx context.Context, actor auth.Actor, c auth.Client) (*auth.Client, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
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
	if err := c.Validate(); err != nil {
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

// PutClient stores a client under c.ID, or replaces the one that is there but for its status, if m allows. It needs clients:write,
// and every scope of Countersign's own APIs that a client which is there holds.
func (r *Registry) PutClient(ctx context.Context, actor auth.Actor, c auth.Client, m Match) (stored *auth.Client, created bool, err error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
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
		err = r.changeClient(ctx, tx, actor, editing[auth.Client]{now, m, func(to *auth.Client) error {
			to.Name, to.Description, to.Owner, to.Labels = c.Name, c.Description, c.Owner, c.Labels
			to.AuthMethod, to.DefaultResource = c.AuthMethod, c.DefaultResource
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

// UpdateClient lets change edit a client: its name, description, owner, labels, method and default resource; what else it
// sets is ignored. It may be called several times. It needs clients:write, and every scope of Countersign's own APIs that the client
// holds.
func (r *Registry) UpdateClient(ctx context.Context, actor auth.Actor, id auth.ClientID, m Match, change func(*auth.Client) error) (*auth.Client, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, err
	}
	changed, err := update(ctx, r, func(tx auth.Tx) (auth.Client, error) {
		c, err := tx.Clients().Client(ctx, id)
		if err != nil {
			return auth.Client{}, err
		}
		err = r.changeClient(ctx, tx, actor, editing[auth.Client]{c, m, change})
		return *c, err
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

// editing is a resource that is about to be edited.
type editing[T any] struct {
	stored *T
	match  Match
	change func(*T) error
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
	if c.Name == before.Name && c.Description == before.Description && c.Owner == before.Owner && maps.Equal(c.Labels, before.Labels) &&
		c.AuthMethod == before.AuthMethod && c.DefaultResource == before.DefaultResource {
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
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
	if err := tx.Clients().PutClient(ctx, c); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "client.update", c.ID.String(), clientView(&before), clientView(c)}, clientChanged(c.ID))
}
