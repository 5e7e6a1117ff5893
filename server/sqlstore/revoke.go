package sqlstore

import (
	"context"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// Revoke implements auth.Ledger. The counter is locked by the last but one statement, so that updates wait for it as shortly as can be.
func (s *Store) Revoke(ctx context.Context, revocations []auth.Revocation) (sequence uint64, err error) {
	defer count(s.metrics.revoke, &err)
	err = s.retried(ctx, func() error {
		sequence, err = s.revoke(ctx, revocations)
		return err
	})
	return sequence, err
}

func (s *Store) revoke(ctx context.Context, revocations []auth.Revocation) (uint64, error) {
	conn, err := s.acquire(ctx, s.write)
	if err != nil {
		return 0, err
	}
	defer conn.release()
	inner, err := s.begin(ctx, conn)
	if err != nil {
		return 0, err
	}
	defer inner.Rollback() //nolint:errcheck // does nothing after Commit
	t := &tx{Tx: inner, s: s}
	fresh, err := t.unrecorded(ctx, revocations)
	if err != nil {
		return 0, err
	}
	if err := t.recordAll(ctx, fresh); err != nil {
		return 0, err
	}
	changes := make([]auth.Change, len(fresh))
	for i := range fresh {
		changes[i] = fresh[i].Change
	}
	sequence, err := t.appendChanges(ctx, changes)
	if err != nil {
		return 0, err
	}
	return sequence, s.commit(inner)
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
