package issue

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// errDecideAgain is the answer to a token that was decided from a state that the change log has overtaken.
var errDecideAgain = errors.New("decided from a state that is no longer the newest")

// Issue decides about a token, records it, and returns it once its row is committed. If the change log moved on meanwhile, all
// of that is done again, a few times.
//
// decide makes the whole row, signing key and proof included, from what the directory knows at that moment; its Revision must have
// been read first. Its errors are returned as they are. sign, unless it is nil, makes the token's text while the row is being
// committed. It runs in the caller's goroutine, after each decide, and must not change the token.
//
// A token whose proofs were used before is a *auth.ReplayError. A failure of the storage is fault.Unavailable; the row may then be there all the same, which harms nobody as nobody bears the token.
func (w *Writer) Issue(ctx context.Context, decide func() (*auth.Token, error), sign func(*auth.Token) error) (*auth.Token, error) {
	for range w.rounds {
		if err := w.ready(); err != nil {
			return nil, fault.Wrap(fault.Unavailable, "no token can be issued right now", err)
		}
		t, err := decide()
		if err != nil {
			return nil, err
		}
		queued, err := w.tokens.add(t)
		if err != nil {
			return nil, err
		}
		if sign != nil {
			if err := sign(t); err != nil {
				return nil, err
			}
		}
		written, err := w.tokens.wait(ctx, queued)
		if written.rows > 0 {
			w.committed(ctx, Commit{Token: t.ID, Rows: written.rows, Began: written.began, Ended: written.ended, Err: err})
		}
		switch {
		case err == nil:
			return t, nil
		case !errors.Is(err, errDecideAgain):
			return nil, err
		}
	}
	return nil, fault.New(fault.Unavailable, "what may be issued changes faster than it can be decided")
}

// commitTokens writes a batch and returns those of its rows that are to be written with the next.
func (w *Writer) commitTokens(ctx context.Context, batch []*job[*auth.Token]) []*job[*auth.Token] {
	if len(batch) == 0 {
		return batch
	}
	began, m := w.now(), &w.tokens.metrics
	rows := make([]*auth.Token, len(batch))
	for i, j := range batch {
		rows[i] = j.value
	}
	m.batch.Observe(float64(len(batch)))
	err := w.attempt(ctx, m, func(ctx context.Context, retry bool) error { return w.ledger.InsertTokens(ctx, rows, retry) })
	ended := w.now()
	for _, j := range batch {
		j.written = written{rows: len(batch), began: began, ended: ended}
	}
	stale, isStale := errors.AsType[*auth.StaleError](err)
	replay, isReplay := errors.AsType[*auth.ReplayError](err)
	switch {
	case isReplay:
		w.refuseReplayed(batch, replay)
	case err == nil:
		m.committed.Add(float64(len(batch)))
		answer(batch, nil)
	case isStale:
		return w.decideAgain(ctx, batch, stale.Sequence)
	case unavailable(err):
		giveUp(w, w.tokens, batch, began, err)
	case len(batch) == 1:
		m.failed.Inc()
		answer(batch, fmt.Errorf("record token %s: %w", rows[0].ID, err))
	default: // one bad row must not fail the others
		half := len(batch) / 2
		left := w.commitTokens(ctx, batch[:half:half])
		return append(left, w.commitTokens(ctx, batch[half:])...)
	}
	return batch[:0]
}

// refuseReplayed answers a batch of which some tokens were asked for by proofs that were used before. The others are written.
func (w *Writer) refuseReplayed(batch []*job[*auth.Token], replay *auth.ReplayError) {
	for _, j := range batch {
		if of := replay.Of(j.value.ID); of != nil {
			w.tokens.metrics.replayed.Inc()
			j.done <- of
			continue
		}
		w.tokens.metrics.committed.Inc()
		j.done <- nil
	}
}

// decideAgain sends the rows that the change log has overtaken back to be decided again, once the directory has what they lacked.
// It returns the others.
func (w *Writer) decideAgain(ctx context.Context, batch []*job[*auth.Token], sequence uint64) []*job[*auth.Token] {
	verdict := errDecideAgain
	if err := w.directory.Reach(ctx, sequence); err != nil {
		verdict = fault.Wrap(fault.Unavailable, "what may be issued could not be read in time", err)
	}
	fresh := batch[:0]
	for _, j := range batch {
		if j.value.Revision >= sequence {
			fresh = append(fresh, j)
			continue
		}
		w.tokens.metrics.stale.Inc()
		j.done <- verdict
	}
	return fresh
}
