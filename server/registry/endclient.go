package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

// StatusChange is what enabling or disabling a client came to.
type StatusChange struct {
	Client  auth.Client
	Revoked Hit
}

// SetClientStatus enables or disables a client. Disabling takes back all of its tokens. It needs clients:write, and every scope of
// Countersign's own APIs that the client holds; fault.Conflict if nobody would be left who can administer everything.
func (r *Registry) SetClientStatus(ctx context.Context, actor auth.Actor, id auth.ClientID, status auth.Status) (*StatusChange, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, err
	}
	hit := none()
	if status == auth.Disabled {
		var err error
		if hit, err = r.count(ctx, everyToken, id); err != nil {
			return nil, err
		}
	}
	done, err := update(ctx, r, func(tx auth.Tx) (StatusChange, error) {
		c, err := tx.Clients().Client(ctx, id)
		if err != nil {
			return StatusChange{}, err
		}
		if err := r.outranks(ctx, tx, actor, id, powers{}); err != nil {
			return StatusChange{}, err
		}
		if c.Status == status {
			return StatusChange{*c, none()}, nil
		}
		turned := StatusChange{*c, hit}
		err = r.keeping(ctx, tx, actor, func() error { return r.turnClient(ctx, tx, actor, &turned, status) })
		return turned, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

func everyToken(*auth.Token) bool { return true }

func (r *Registry) turnClient(ctx context.Context, tx auth.Tx, actor auth.Actor, turned *StatusChange, status auth.Status) error {
	c := &turned.Client
	before := clientView(c)
	c.Status, c.Updated = status, r.now()
	if err := c.Validate(); err != nil {
		return err
	}
	if err := tx.Clients().PutClient(ctx, c); err != nil {
		return err
	}
	changes, action, after := []auth.Change{clientChanged(c.ID)}, "client.enable", clientView(c)
	if status == auth.Disabled {
		changes = append(changes, auth.Change{Kind: auth.RevokeClient, Subject: c.ID})
		action, after = "client.disable", telling(after, turned.Revoked)
	}
	return r.note(ctx, tx, record{actor, action, c.ID.String(), before, after}, changes...)
}

// DeleteClient removes a client with its secrets and grants, and takes back all of its tokens. It needs clients:write, and every scope of
// Countersign's own APIs that the client holds; fault.Conflict if nobody would be left who can administer everything.
func (r *Registry) DeleteClient(ctx context.Context, actor auth.Actor, id auth.ClientID, m Match) (Hit, error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return Hit{}, err
	}
	hit, err := r.count(ctx, everyToken, id)
	if err != nil {
		return Hit{}, err
	}
	return update(ctx, r, func(tx auth.Tx) (Hit, error) {
		return hit, r.keeping(ctx, tx, actor, func() error { return r.removeClient(ctx, tx, actor, id, removal{m, hit}) })
	})
}

// removal is the precondition of a removal, and what it takes back.
type removal struct {
	match Match
	hit   Hit
}

func (r *Registry) removeClient(ctx context.Context, tx auth.Tx, actor auth.Actor, id auth.ClientID, w removal) error {
	c, err := tx.Clients().Client(ctx, id)
	if err != nil {
		return err
	}
	if err := r.outranks(ctx, tx, actor, id, powers{}); err != nil {
		return err
	}
	if err := w.match.check(c.Revision); err != nil {
		return err
	}
	if err := tx.Clients().DeleteClient(ctx, id); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "client.delete", id.String(), clientView(c), hitView(w.hit)},
		clientChanged(id), auth.Change{Kind: auth.RevokeClient, Subject: id})
}
