package registry

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// overlay is a transaction that knows already what a plan was made from, so that thousands of steps can be carried out by the functions of
// the single operations without asking for anything again. What is new is kept back, to be written by few statements: clients with what
// they become at last, many grants at once. What is read from the database is settled first.
type overlay struct {
	auth.Tx
	apis    map[string]auth.APIID
	clients map[string]auth.ClientID
	apiByID map[auth.APIID]*auth.API
	byID    map[auth.ClientID]*auth.Client
	grants  map[grantKey]*auth.Grant
	of      map[auth.ClientID][]auth.APIID // that it has or had grants on
	// others are the clients and APIs that somebody else changed after the plan was made. It was not judged by them, but they are not what is known.
	others map[[16]byte]bool

	newClients []auth.ClientID
	isNew      map[auth.ClientID]bool
	newGrants  []grantKey
	events     []auth.AuditEvent
	changes    []auth.Change
	told       map[auth.Change]bool
}

// errOutdated is in the chain of the error of a plan that others have overtaken.
var errOutdated = errors.New("the plan is no longer about what is there")

// maxOthers bounds how much may happen between plan and transaction.
const maxOthers = 1000

// over returns the overlay of a plan, which it leaves as it is, or errOutdated.
func (p *Plan) over(ctx context.Context, tx auth.Tx) (*overlay, error) {
	o := newOverlay(tx, p.was)
	position, err := tx.Changes().Position(ctx)
	if err != nil || position == p.was.position {
		return o, err
	}
	changes, err := tx.Changes().ChangesAfter(ctx, p.was.position.Sequence, maxOthers)
	if err != nil {
		return nil, err
	}
	if position.Generation != p.was.position.Generation || position.Floor > p.was.position.Sequence || len(changes) == maxOthers {
		return nil, errOutdated
	}
	for _, c := range changes {
		if c.Kind != auth.ClientChanged && c.Kind != auth.APIChanged && c.Kind != auth.IssuerChanged {
			continue
		}
		if p.touched[c.Subject] {
			return nil, errOutdated
		}
		o.others[c.Subject] = true
	}
	return o, nil
}

func newOverlay(tx auth.Tx, was *snapshot) *overlay {
	o := &overlay{
		Tx: tx, apis: map[string]auth.APIID{}, clients: map[string]auth.ClientID{}, apiByID: maps.Clone(was.apiByID), byID: maps.Clone(was.byID),
		grants: maps.Clone(was.grants), of: map[auth.ClientID][]auth.APIID{}, others: map[[16]byte]bool{}, isNew: map[auth.ClientID]bool{},
		told: map[auth.Change]bool{},
	}
	for identifier, a := range was.apis {
		o.apis[identifier] = a.ID
	}
	for name, c := range was.clients {
		o.clients[name] = c.ID
	}
	for id, grants := range was.of {
		for _, g := range grants {
			o.of[id] = append(o.of[id], g.API)
		}
	}
	return o
}

// settle writes the clients and grants that were kept back.
func (o *overlay) settle(ctx context.Context) error {
	for _, id := range o.newClients {
		row := *o.byID[id]
		row.Revision = 0
		if err := o.Tx.Clients().PutClient(ctx, &row); err != nil {
			return err
		}
	}
	var rows []*auth.Grant
	for _, key := range o.newGrants {
		row := *o.grants[key]
		row.Revision = 0
		rows = append(rows, &row)
	}
	o.newClients, o.newGrants = nil, nil
	clear(o.isNew)
	return o.Tx.Grants().PutGrant(ctx, rows...)
}

// flush writes all that is left. It must be called once, at the end.
func (o *overlay) flush(ctx context.Context) error {
	if err := o.settle(ctx); err != nil {
		return err
	}
	if err := o.Tx.Audit().Record(ctx, o.events...); err != nil {
		return err
	}
	return o.Tx.Changes().Append(ctx, o.changes...)
}

// Clients implements auth.Tx, and so do the others.
func (o *overlay) Clients() auth.Clients { return overlayClients{o.Tx.Clients(), o} }
func (o *overlay) Secrets() auth.Secrets { return overlaySecrets{o.Tx.Secrets(), o} }
func (o *overlay) APIs() auth.APIs       { return overlayAPIs{o.Tx.APIs(), o} }
func (o *overlay) Grants() auth.Grants   { return overlayGrants{o.Tx.Grants(), o} }
func (o *overlay) Exchanges() auth.Exchanges {
	return overlayExchanges{o.Tx.Exchanges(), o}
}
func (o *overlay) Changes() auth.Changes { return overlayChanges{o.Tx.Changes(), o} }
func (o *overlay) Audit() auth.Audit     { return overlayAudit{o.Tx.Audit(), o} }

func gone() error { return fault.New(fault.NotFound, "it does not exist") }

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
