package issue

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/server/auth"
)

// Revoke implements auth.Revoker. The sequence that it returns is that of the last revocation of the same commit: at least that of r, and
// applied here, unless the directory could not be read any more.
func (w *Writer) Revoke(ctx context.Context, r auth.Revocation) (sequence uint64, err error) {
	queued, err := w.revocations.add(r)
	if err != nil {
		return 0, err
	}
	written, err := w.revocations.wait(ctx, queued)
	return written.sequence, err
}

func (w *Writer) commitRevocations(ctx context.Context, batch []*job[auth.Revocation]) []*job[auth.Revocation] {
	if len(batch) == 0 {
		return batch
	}
	began, m := w.now(), &w.revocations.metrics
	entries := make([]auth.Revocation, len(batch))
	for i, j := range batch {
		entries[i] = j.value
	}
	m.batch.Observe(float64(len(batch)))
	var last uint64
	err := w.attempt(ctx, m, func(ctx context.Context, _ bool) (err error) {
		last, err = w.ledger.Revoke(ctx, entries)
		return err
	})
	switch {
	case err == nil:
		w.hint()
		// It is committed: that this instance cannot read it yet changes no more than how soon it is seen here.
		if err := w.directory.Reach(ctx, last); err != nil {
			w.logger.WarnContext(ctx, "revocation is committed but not applied here yet", "error", err, "sequence", last)
		}
		m.committed.Add(float64(len(batch)))
		for _, j := range batch {
			j.written.sequence = last
		}
		answer(batch, nil)
	case unavailable(err):
		giveUp(w, w.revocations, batch, began, err)
	case len(batch) == 1:
		m.failed.Inc()
		answer(batch, fmt.Errorf("write revocation: %w", err))
	default:
		half := len(batch) / 2
		w.commitRevocations(ctx, batch[:half])
		w.commitRevocations(ctx, batch[half:])
	}
	return batch[:0]
}
