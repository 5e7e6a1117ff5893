package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// CreateAPI stores a new API; fault.Conflict if its identifier, or its ID if that is set, is taken. Revision, Created and Updated
// are set by it; ID, Format, Lifetime and Algorithm have defaults; nobody serves it yet. It needs apis:write.
func (r *Registry) CreateAPI(ctx context.Context, actor auth.Actor, a auth.API) (*auth.API, error) {
	if err := need(actor, auth.ScopeAPIsWrite); err != nil {
		return nil, err
	}
	made, err := update(ctx, r, func(tx auth.Tx) (auth.API, error) {
		stored := a
		err := r.addAPI(ctx, tx, actor, &stored)
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

func (r *Registry) addAPI(ctx context.Context, tx auth.Tx, actor auth.Actor, a *auth.API) error {
	now := r.now()
	a.Revision, a.Servers, a.Created, a.Updated = 0, nil, now, now
	if a.ID == (auth.APIID{}) {
		a.ID = auth.NewAPIID(now)
	}
	defaultAPI(a)
	if err := a.Validate(); err != nil {
		return err
	}
	if a.BuiltIn() {
		return fault.New(fault.InvalidRequest, "identifiers that begin with urn:countersign: are built in").At("identifier")
	}
	switch _, err := tx.APIs().API(ctx, a.ID); {
	case err == nil:
		return fault.New(fault.Conflict, "an API with this id exists already").At("api_id")
	case !errors.Is(err, fault.NotFound):
		return err
	}
	switch _, err := tx.APIs().APIByIdentifier(ctx, a.Identifier); {
	case err == nil:
		return fault.New(fault.Conflict, "another API has this identifier").At("identifier")
	case !errors.Is(err, fault.NotFound):
		return err
	}
	if err := tx.APIs().PutAPI(ctx, a); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "api.create", a.ID.String(), nil, apiView(a)}, apiChanged(a.ID))
}

func defaultAPI(a *auth.API) {
	if a.Format == "" {
		a.Format = auth.JWT
	}
	if a.Lifetime == 0 {
		a.Lifetime = auth.DefaultLifetime
	}
	if a.Algorithm == "" {
		a.Algorithm = auth.ES256
	}
}

// PutAPI stores an API under a.ID, or replaces the one that is there but for its servers, if m allows. It needs apis:write. What it
// refuses to change, UpdateAPI does too.
func (r *Registry) PutAPI(ctx context.Context, actor auth.Actor, a auth.API, m Match) (stored *auth.API, created bool, err error) {
	if err := need(actor, auth.ScopeAPIsWrite); err != nil {
		return nil, false, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (put[auth.API], error) {
		now, err := tx.APIs().API(ctx, a.ID)
		if errors.Is(err, fault.NotFound) {
			made := a
			if err = m.check(0); err == nil {
				err = r.addAPI(ctx, tx, actor, &made)
			}
			return put[auth.API]{made, true}, err
		}
		if err != nil {
			return put[auth.API]{}, err
		}
		err = r.changeAPI(ctx, tx, actor, editing[auth.API]{stored: now, match: m, change: func(to *auth.API) error {
			to.Identifier, to.Name, to.Scopes = a.Identifier, a.Name, a.Scopes
			to.Format, to.Lifetime, to.Algorithm, to.Constraint = a.Format, a.Lifetime, a.Algorithm, a.Constraint
			return nil
		}})
		return put[auth.API]{*now, false}, err
	})
	if err != nil {
		return nil, false, err
	}
	return &done.Stored, done.Created, nil
}

// UpdateAPI lets change edit an API: its name, scopes, format, lifetime, algorithm and constraint, of which all but the first are for tokens to
// come; what else it sets is ignored, but for the identifier, which cannot be changed. It may be called several times. It needs
// apis:write and returns fault.Conflict if a scope would be missing that some grant holds.
func (r *Registry) UpdateAPI(ctx context.Context, actor auth.Actor, id auth.APIID, m Match, change func(*auth.API) error) (*auth.API, error) {
	if err := need(actor, auth.ScopeAPIsWrite); err != nil {
		return nil, err
	}
	changed, err := update(ctx, r, func(tx auth.Tx) (auth.API, error) {
		a, err := tx.APIs().API(ctx, id)
		if err != nil {
			return auth.API{}, err
		}
		err = r.changeAPI(ctx, tx, actor, editing[auth.API]{stored: a, match: m, change: change})
		return *a, err
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

// changeAPI edits e.stored in place.
func (r *Registry) changeAPI(ctx context.Context, tx auth.Tx, actor auth.Actor, e editing[auth.API]) error {
	a := e.stored
	if err := editable(a, e.match); err != nil {
		return err
	}
	before := *a
	before.Scopes, before.Servers = slices.Clone(a.Scopes), slices.Clone(a.Servers)
	if err := e.change(a); err != nil {
		return err
	}
	defaultAPI(a)
	a.ID, a.Revision, a.Servers, a.Created, a.Updated = before.ID, before.Revision, before.Servers, before.Created, before.Updated
	if a.Identifier != before.Identifier {
		return fault.New(fault.InvalidRequest, "cannot be changed: tokens and those who verify them know the API by it").At("identifier")
	}
	if a.Name == before.Name && slices.Equal(a.Scopes, before.Scopes) && a.Format == before.Format && a.Lifetime == before.Lifetime &&
		a.Algorithm == before.Algorithm && a.Constraint == before.Constraint {
		return nil
	}
	if err := a.Validate(); err != nil {
		return err
	}
	if err := unheld(ctx, tx, &before, a); err != nil {
		return err
	}
	a.Updated = r.now()
	if err := tx.APIs().PutAPI(ctx, a); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "api.update", a.ID.String(), apiView(&before), apiView(a)}, apiChanged(a.ID))
}

// editable returns an error for an API that is built in, or not in the state that m names.
func editable(a *auth.API, m Match) error {
	if a.BuiltIn() {
		return fault.New(fault.InvalidRequest, "a built-in API can be granted, but neither changed nor deleted")
	}
	return m.check(a.Revision)
}

// unheld returns fault.Conflict if a grant holds a scope that the API is about to lose.
func unheld(ctx context.Context, tx auth.Tx, before, after *auth.API) error {
	offered := after.ScopeNames()
	if offered.Contains(before.ScopeNames()) {
		return nil
	}
	grants, err := tx.Grants().APIGrants(ctx, before.ID)
	if err != nil {
		return err
	}
	holding, err := exchanging(ctx, tx, before.ID, offered)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if !offered.Contains(g.Scopes) {
			holding++
		}
	}
	if holding == 0 {
		return nil
	}
	return fault.New(fault.Conflict, fmt.Sprintf("%d grants hold a scope that would be missing; take it from them first", holding)).At("scopes")
}

// API returns an API, or fault.NotFound. It needs apis:read.
func (r *Registry) API(ctx context.Context, actor auth.Actor, id auth.APIID) (*auth.API, error) {
	return r.readAPI(ctx, actor, func(tx auth.Tx) (*auth.API, error) { return tx.APIs().API(ctx, id) })
}

// APIByIdentifier returns the API with this audience, or fault.NotFound. It needs apis:read.
func (r *Registry) APIByIdentifier(ctx context.Context, actor auth.Actor, identifier string) (*auth.API, error) {
	return r.readAPI(ctx, actor, func(tx auth.Tx) (*auth.API, error) { return tx.APIs().APIByIdentifier(ctx, identifier) })
}

func (r *Registry) readAPI(ctx context.Context, actor auth.Actor, find func(auth.Tx) (*auth.API, error)) (found *auth.API, err error) {
	if err := need(actor, auth.ScopeAPIsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		found, err = find(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ListAPIs returns a page of the APIs that q selects. It needs apis:read.
func (r *Registry) ListAPIs(ctx context.Context, actor auth.Actor, q auth.APIQuery) (page []*auth.API, err error) {
	if err := need(actor, auth.ScopeAPIsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		page, err = tx.APIs().ListAPIs(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}
