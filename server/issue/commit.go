package issue

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// attempt runs one transaction, and runs it again while its outcome is unknown, with retry set, for a bounded time. What is then
// still unknown is fault.Unavailable: nobody is told that it was written.
func (w *Writer) attempt(ctx context.Context, m *queueMetrics, transaction func(ctx context.Context, retry bool) error) error {
	end := time.Now().Add(w.timeout * 3 / 2)
	err := w.once(ctx, m, transaction, false)
	if !errors.Is(err, auth.ErrOutcomeUnknown) {
		return err // nearly always: the time for all attempts needs no context of its own
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	for pause := firstPause; errors.Is(err, auth.ErrOutcomeUnknown); pause = min(2*pause, lastPause) {
		m.unknown.Inc()
		w.logger.WarnContext(ctx, "outcome of a commit is unknown", "error", err)
		select {
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, "the database did not confirm in time", err)
		case <-time.After(pause):
		}
		err = w.once(ctx, m, transaction, true)
	}
	return err
}

func (w *Writer) once(ctx context.Context, m *queueMetrics, transaction func(ctx context.Context, retry bool) error, retry bool) error {
	began := w.now()
	ctx, done := context.WithTimeout(ctx, w.timeout)
	defer done()
	err := transaction(ctx, retry)
	m.latency.Observe(w.now().Sub(began).Seconds())
	return err
}

// unavailable tells failures of the storage from failures of what was to be written.
func unavailable(err error) bool {
	return errors.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// giveUp answers a batch that the storage would not take, and with it, if the storage hung, everything that is queued behind.
func giveUp[T any](w *Writer, q *queue[T], batch []*job[T], began time.Time, err error) {
	if !errors.Is(err, fault.Unavailable) {
		err = fault.Wrap(fault.Unavailable, "the database did not answer in time", err)
	}
	q.metrics.unavailable.Add(float64(len(batch)))
	answer(batch, err)
	if w.now().Sub(began) >= w.timeout/2 {
		q.failQueued(err)
	}
}
