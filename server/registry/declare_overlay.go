package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// overlay is a transaction that knows already what a plan was made from, so that carrying out thousands of steps by the same functions as
// single operations asks for nothing again. What it writes goes to the database at once, but for the change log and the audit log, which
// are written by flush, at once and without repetition.
type overlay struct {
	auth.Tx
	apis    map[string]auth.APIID
	clients map[string]auth.ClientID
	apiByID map[auth.APIID]*auth.API
	byID    map[auth.ClientID]*auth.Client
	grants  map[grantKey]*auth.Grant
	// others are the clients and APIs that somebody else changed after the plan was made. It was not judged by them, but they are not what is known.
	others map[[16]byte]bool

	events  []auth.AuditEvent
	changes []auth.Change
	told    map[auth.Change]bool
}

// errOutdated is in the chain of the error of a plan that others have overtaken.
var errOutdated = errors.New("the plan is no longer about what is there")

// maxOthers bounds how much may happen between plan and transaction.
const maxOthers = 1000

// over returns the overlay of a plan, or errOutdated. It leaves the plan as it is.
func (p *Plan) over(ctx context.Context, tx auth.Tx) (*overlay, error) {
	was := p.was
	o := &overlay{
		Tx: tx, apis: map[string]auth.APIID{}, clients: map[string]auth.ClientID{}, apiByID: maps.Clone(was.apiByID), byID: maps.Clone(was.byID),
		grants: maps.Clone(was.grants), others: map[[16]byte]bool{}, told: map[auth.Change]bool{},
	}
	for identifier, a := range was.apis {
		o.apis[identifier] = a.ID
	}
	for name, c := range was.clients {
		o.clients[name] = c.ID
	}
	position, err := tx.Changes().Position(ctx)
	if err != nil || position == was.position {
		return o, err
	}
	changes, err := tx.Changes().ChangesAfter(ctx, was.position.Sequence, maxOthers)
	if err != nil {
		return nil, err
	}
	if position.Generation != was.position.Generation || position.Floor > was.position.Sequence || len(changes) == maxOthers {
		return nil, errOutdated
	}
	for _, c := range changes {
		if c.Kind != auth.ClientChanged && c.Kind != auth.APIChanged {
			continue
		}
		if p.touched[c.Subject] {
			return nil, errOutdated
		}
		o.others[c.Subject] = true
	}
	return o, nil
}

// flush writes what is left. It must be called once, at the end.
func (o *overlay) flush(ctx context.Context) error {
	if err := o.Tx.Audit().Record(ctx, o.events...); err != nil {
		return err
	}
	return o.Tx.Changes().Append(ctx, o.changes...)
}

func (o *overlay) Clients() auth.Clients { return overlayClients{o.Tx.Clients(), o} }
func (o *overlay) APIs() auth.APIs       { return overlayAPIs{o.Tx.APIs(), o} }
func (o *overlay) Grants() auth.Grants   { return overlayGrants{o.Tx.Grants(), o} }
func (o *overlay) Changes() auth.Changes { return overlayChanges{o.Tx.Changes(), o} }
func (o *overlay) Audit() auth.Audit     { return overlayAudit{o.Tx.Audit(), o} }

func gone() error { return fault.New(fault.NotFound, "it does not exist") }

type overlayClients struct {
	auth.Clients
	o *overlay
}

func (t overlayClients) Client(ctx context.Context, id auth.ClientID) (*auth.Client, error) {
	if t.o.others[id] {
		return t.Clients.Client(ctx, id)
	}
	c := t.o.byID[id]
	if c == nil {
		return nil, gone()
	}
	found := *c
	if t.o.apiByID[found.DefaultResource] == nil {
		found.DefaultResource = auth.APIID{} // it went with the API
	}
	return &found, nil
}

func (t overlayClients) ClientByName(ctx context.Context, name string) (*auth.Client, error) {
	if len(t.o.others) > 0 {
		return t.Clients.ClientByName(ctx, name)
	}
	return t.Client(ctx, t.o.clients[name])
}

func (t overlayClients) PutClient(ctx context.Context, c *auth.Client) error {
	if err := t.Clients.PutClient(ctx, c); err != nil {
		return err
	}
	stored := *c
	t.o.byID[c.ID], t.o.clients[c.Name] = &stored, c.ID
	return nil
}

func (t overlayClients) DeleteClient(ctx context.Context, id auth.ClientID) error {
	if err := t.Clients.DeleteClient(ctx, id); err != nil {
		return err
	}
	delete(t.o.byID, id)
	for _, a := range t.o.apiByID {
		if a.ServedBy(id) {
			left := *a
			left.Servers = slices.DeleteFunc(slices.Clone(a.Servers), func(c auth.ClientID) bool { return c == id })
			t.o.apiByID[a.ID] = &left
		}
	}
	return nil
}

type overlayAPIs struct {
	auth.APIs
	o *overlay
}

func (t overlayAPIs) API(ctx context.Context, id auth.APIID) (*auth.API, error) {
	if t.o.others[id] {
		return t.APIs.API(ctx, id)
	}
	a := t.o.apiByID[id]
	if a == nil {
		return nil, gone()
	}
	found := *a
	return &found, nil
}

func (t overlayAPIs) APIByIdentifier(ctx context.Context, identifier string) (*auth.API, error) {
	if len(t.o.others) > 0 {
		return t.APIs.APIByIdentifier(ctx, identifier)
	}
	return t.API(ctx, t.o.apis[identifier])
}

func (t overlayAPIs) PutAPI(ctx context.Context, a *auth.API) error {
	if err := t.APIs.PutAPI(ctx, a); err != nil {
		return err
	}
	stored := *a
	t.o.apiByID[a.ID], t.o.apis[a.Identifier] = &stored, a.ID
	return nil
}

func (t overlayAPIs) DeleteAPI(ctx context.Context, id auth.APIID) error {
	if err := t.APIs.DeleteAPI(ctx, id); err != nil {
		return err
	}
	delete(t.o.apiByID, id)
	return nil
}

type overlayGrants struct {
	auth.Grants
	o *overlay
}

func (t overlayGrants) Grant(ctx context.Context, client auth.ClientID, api auth.APIID) (*auth.Grant, error) {
	if t.o.others[client] || t.o.others[api] {
		return t.Grants.Grant(ctx, client, api)
	}
	g := t.o.grants[grantKey{client, api}]
	if g == nil || t.o.byID[client] == nil || t.o.apiByID[api] == nil { // it goes with either
		return nil, gone()
	}
	found := *g
	return &found, nil
}

func (t overlayGrants) PutGrant(ctx context.Context, g *auth.Grant) error {
	if err := t.Grants.PutGrant(ctx, g); err != nil {
		return err
	}
	stored := *g
	t.o.grants[grantKey{g.Client, g.API}] = &stored
	return nil
}

func (t overlayGrants) DeleteGrant(ctx context.Context, client auth.ClientID, api auth.APIID) error {
	if err := t.Grants.DeleteGrant(ctx, client, api); err != nil {
		return err
	}
	delete(t.o.grants, grantKey{client, api})
	return nil
}

type overlayChanges struct {
	auth.Changes
	o *overlay
}

// Append keeps changes for flush. Whoever follows the log reads a client once, however many of its grants were added.
func (t overlayChanges) Append(_ context.Context, changes ...auth.Change) error {
	for _, c := range changes {
		key := c
		key.At = time.Time{}
		if !t.o.told[key] {
			t.o.told[key] = true
			t.o.changes = append(t.o.changes, c)
		}
	}
	return nil
}

type overlayAudit struct {
	auth.Audit
	o *overlay
}

// Record keeps events for flush.
func (t overlayAudit) Record(_ context.Context, events ...auth.AuditEvent) error {
	t.o.events = append(t.o.events, events...)
	return nil
}
