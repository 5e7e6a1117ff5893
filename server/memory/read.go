package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// delta is what changed, read again in one snapshot with the change log that told of it. So it is at least as new as the position.
type delta struct {
	position    auth.Position
	revocations []auth.Change
	clients     map[auth.ClientID]*auth.ClientRecord // nil: deleted
	apis        map[auth.APIID]*auth.API             // nil: deleted
	keys        bool                                 // signing keys were read
	signing     []*auth.Key
	sealed      bool // sealed keys were read
	sealing     []*auth.SealedKey
	issuers     bool // trusted issuers were read
	trusted     []*auth.TrustedIssuer
	tooFar      bool // everything has to be read; of the rest only position is set
}

// reading is one attempt to read, inside a View.
type reading struct {
	tx auth.Tx
	// progress tells that the database answered.
	progress func()
}

var errStalled = errors.New("the database did not answer in time")

// view runs read in one snapshot, for as long as the database goes on answering: a reload of everything may take a while, but no
// single answer may take longer than the timeout.
func (d *Directory) view(ctx context.Context, read func(context.Context, reading) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(d.timeout, func() { cancel(errStalled) })
	defer watchdog.Stop()
	err := d.store.View(ctx, func(tx auth.Tx) error {
		return read(ctx, reading{tx: tx, progress: func() { watchdog.Reset(d.timeout) }})
	})
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return fault.Wrap(fault.Unavailable, "the change log could not be read in time", err)
	}
	return err
}

// readDelta reads what happened after from.
func (d *Directory) readDelta(ctx context.Context, from auth.Position) (found *delta, err error) {
	current := d.current.Load()
	err = d.view(ctx, func(ctx context.Context, r reading) error {
		found = &delta{clients: map[auth.ClientID]*auth.ClientRecord{}, apis: map[auth.APIID]*auth.API{}}
		if found.position, err = r.tx.Changes().Position(ctx); err != nil {
			return fmt.Errorf("read change log position: %w", err)
		}
		r.progress()
		if found.position.Generation != from.Generation || found.position.Sequence <= from.Sequence {
			return nil
		}
		if behind := found.position.Sequence - from.Sequence; found.position.Floor > from.Sequence || behind > maxChanges {
			found.tooFar = true
			return nil
		}
		changes, err := r.changes(ctx, from.Sequence, found.position.Sequence)
		if err != nil {
			return err
		}
		if !found.sort(changes) {
			found.tooFar = true
			return nil
		}
		return found.fill(ctx, r, current)
	})
	return found, err
}

// changes returns the changes after one sequence up to another, or an error if one is missing.
func (r reading) changes(ctx context.Context, after, upTo uint64) (all []auth.Change, err error) {
	for after < upTo {
		page, err := r.tx.Changes().ChangesAfter(ctx, after, changesPage)
		if err != nil {
			return nil, fmt.Errorf("read changes after %d: %w", after, err)
		}
		r.progress()
		for i := range page {
			if after++; page[i].Sequence != after {
				return nil, fmt.Errorf("the change log has a gap: %d follows %d", page[i].Sequence, after-1)
			}
			if err := checkKind(&page[i]); err != nil {
				return nil, err
			}
		}
		if len(page) == 0 {
			return nil, fmt.Errorf("the change log ends at %d, its position is %d", after, upTo)
		}
		all = append(all, page...)
	}
	return all, nil
}

// sort notes what the changes are about. It returns false if that is so much that a reload costs less.
func (d *delta) sort(changes []auth.Change) bool {
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case auth.ClientChanged:
			d.clients[c.Subject] = nil
		case auth.APIChanged:
			d.apis[c.Subject] = nil
		case auth.KeysChanged:
			d.keys = true
		case auth.SealedKeyChanged:
			d.sealed = true
		case auth.IssuerChanged:
			d.issuers = true
		case auth.RevokeToken, auth.RevokeClient, auth.RevokeGrant, auth.RevokeAPI, auth.RevokeCredential, auth.RevokeKey, auth.RevokeAll:
			d.revocations = append(d.revocations, *c)
		}
	}
	return len(d.clients)+len(d.apis) <= maxRecords
}

// fill reads what sort noted, and what changed with it though the log does not say so.
func (d *delta) fill(ctx context.Context, r reading, current *state) error {
	named := slices.Collect(maps.Keys(d.clients))
	if err := d.readClients(ctx, r, named); err != nil {
		return err
	}
	for _, id := range named {
		if d.clients[id] == nil || current.made(id, d.clients[id].Client) { // the APIs that it served have a server less
			for _, api := range current.apis.Load().servedBy[id] {
				d.apis[api] = nil
			}
		}
	}
	var affected []auth.ClientID
	for id := range d.apis {
		api, err := orNil(r.tx.APIs().API(ctx, id))
		if err != nil {
			return fmt.Errorf("read API %s: %w", id, err)
		}
		r.progress()
		if d.apis[id] = api; api == nil {
			affected = append(affected, current.using(id)...)
		}
	}
	if err := d.readClients(ctx, r, affected); err != nil {
		return err
	}
	return d.readKeys(ctx, r)
}

func (d *delta) readClients(ctx context.Context, r reading, ids []auth.ClientID) (err error) {
	for _, id := range ids {
		if d.clients[id] != nil {
			continue
		}
		if d.clients[id], err = r.client(ctx, id); err != nil {
			return fmt.Errorf("read client %s: %w", id, err)
		}
		r.progress()
	}
	return nil
}

func (d *delta) readKeys(ctx context.Context, r reading) (err error) {
	if d.keys {
		if d.signing, err = r.tx.Keys().SigningKeys(ctx); err != nil {
			return fmt.Errorf("read signing keys: %w", err)
		}
		r.progress()
	}
	if d.sealed {
		if d.sealing, err = r.tx.Keys().SealedKeys(ctx); err != nil {
			return fmt.Errorf("read sealed keys: %w", err)
		}
		r.progress()
	}
	if d.issuers {
		if d.trusted, err = r.tx.Issuers().TrustedIssuers(ctx); err != nil {
			return fmt.Errorf("read trusted issuers: %w", err)
		}
	}
	return nil
}

// orNil turns fault.NotFound into nil.
func orNil[T any](value *T, err error) (*T, error) {
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	return value, err
}

// client returns a client with what hangs on it, or nil. Serves is not set.
func (r reading) client(ctx context.Context, id auth.ClientID) (*auth.ClientRecord, error) {
	client, err := orNil(r.tx.Clients().Client(ctx, id))
	if client == nil || err != nil {
		return nil, err
	}
	record := &auth.ClientRecord{Client: client}
	if record.Secrets, err = r.tx.Secrets().ClientSecrets(ctx, id); err != nil {
		return nil, err
	}
	if record.Exchanges, err = r.tx.Exchanges().ClientExchanges(ctx, id); err != nil {
		return nil, err
	}
	grants, err := r.tx.Grants().ClientGrants(ctx, id)
	for _, g := range grants {
		addGrant(record, g)
	}
	return record, err
}
