package memory

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/server/auth"
)

// readAll reads everything in one snapshot, as a delta from nothing.
func (d *Directory) readAll(ctx context.Context) (all *delta, err error) {
	err = d.view(ctx, func(ctx context.Context, r reading) error {
		all = &delta{clients: map[auth.ClientID]*auth.ClientRecord{}, apis: map[auth.APIID]*auth.API{}, keys: true, sealed: true, issuers: true}
		if all.position, err = r.tx.Changes().Position(ctx); err != nil {
			return fmt.Errorf("read change log position: %w", err)
		}
		changes, err := r.changes(ctx, all.position.Floor, all.position.Sequence)
		if err != nil {
			return err
		}
		for i := range changes {
			if changes[i].Revokes() {
				all.revocations = append(all.revocations, changes[i])
			}
		}
		if err := all.readRecords(ctx, r); err != nil {
			return err
		}
		return all.readKeys(ctx, r)
	})
	return all, err
}

func (d *delta) readRecords(ctx context.Context, r reading) error {
	err := r.tx.Clients().EachClient(ctx, func(c *auth.Client) error {
		r.progress()
		d.clients[c.ID] = &auth.ClientRecord{Client: c}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read clients: %w", err)
	}
	err = r.tx.Secrets().EachSecret(ctx, func(s *auth.Secret) error {
		r.progress()
		if record := d.clients[s.Client]; record != nil {
			record.Secrets = append(record.Secrets, s)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read secrets: %w", err)
	}
	err = r.tx.Grants().EachGrant(ctx, func(g *auth.Grant) error {
		r.progress()
		if record := d.clients[g.Client]; record != nil {
			addGrant(record, g)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	err = r.tx.Exchanges().EachExchange(ctx, func(g *auth.ExchangeGrant) error {
		r.progress()
		if record := d.clients[g.Client]; record != nil {
			record.Exchanges = append(record.Exchanges, g)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read exchange grants: %w", err)
	}
	err = r.tx.APIs().EachAPI(ctx, func(a *auth.API) error {
		r.progress()
		d.apis[a.ID] = a
		return nil
	})
	if err != nil {
		return fmt.Errorf("read APIs: %w", err)
	}
	return nil
}

func addGrant(record *auth.ClientRecord, g *auth.Grant) {
	if record.Grants == nil {
		record.Grants = map[auth.APIID]*auth.Grant{}
	}
	record.Grants[g.API] = g
}
