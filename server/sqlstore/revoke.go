package sqlstore

import (
	"context"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// Revoke implements auth.Ledger. It locks the change counter before anything else, as Update does: the audit log is a chain, and what
// is next in it is known to nobody but the holder of that lock.
func (s *Store) Revoke(ctx context.Context, revocations []auth.Revocation) (sequence uint64, err error) {
	defer count(s.metrics.revoke, &err)
	err = s.retried(ctx, func() error {
		return s.locked(ctx, func(t *tx) (err error) {
			sequence, err = t.revoke(ctx, revocations)
			return err
		})
	})
	return sequence, err
}

func (t *tx) revoke(ctx context.Context, revocations []auth.Revocation) (uint64, error) {
	fresh, err := t.unrecorded(ctx, revocations)
	if err != nil {
		return 0, err
	}
	events, changes := make([]*auth.AuditEvent, len(fresh)), make([]auth.Change, len(fresh))
	for i := range fresh {
		events[i], changes[i] = &fresh[i].Event, fresh[i].Change
	}
	if err := t.recordAll(ctx, events); err != nil {
		return 0, err
	}
	return t.appendChanges(ctx, changes)
}

// unrecorded leaves out the revocations whose event exists: an earlier call of unknown outcome has written them.
func (t *tx) unrecorded(ctx context.Context, revocations []auth.Revocation) ([]auth.Revocation, error) {
	if len(revocations) == 0 {
		return nil, nil
	}
	ids := make([]any, len(revocations))
	for i := range revocations {
		ids[i] = revocations[i].Event.ID[:]
	}
	query := values("SELECT id FROM audit_events WHERE id IN (", "?", len(ids)) + ")"
	known, err := list(ctx, t, func(row scanner) (*auth.EventID, error) {
		id := new(auth.EventID)
		return id, row.Scan(fixed(id[:]))
	}, query, ids...)
	if err != nil || len(known) == 0 {
		return revocations, err
	}
	return slices.DeleteFunc(slices.Clone(revocations), func(r auth.Revocation) bool {
		return slices.ContainsFunc(known, func(id *auth.EventID) bool { return *id == r.Event.ID })
	}), nil
}
