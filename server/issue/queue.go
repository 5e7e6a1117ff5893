package issue

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// job is something that waits to be written.
type job[T any] struct {
	value   T
	written written
	// done has room for the one answer, so that the writer never waits for somebody who has left.
	done chan error
}

// written is what became of a job beside its error.
type written struct {
	sequence     uint64
	rows         int // that shared the transaction; 0: there was none
	began, ended time.Time
}

// queue holds jobs for one writer. It never makes a caller wait for room.
type queue[T any] struct {
	jobs     chan *job[T]
	maxBatch int
	size     func(queued int) int // of the batch to be made of what is queued: at least 1, at most that
	stopped  chan struct{}        // closed when the writer has ended
	pool     sync.Pool
	metrics  queueMetrics
}

func newQueue[T any](length, maxBatch int, size func(int) int, m queueMetrics) *queue[T] {
	return &queue[T]{
		jobs: make(chan *job[T], length), maxBatch: maxBatch, size: size, stopped: make(chan struct{}), metrics: m,
		pool: sync.Pool{New: func() any { return &job[T]{done: make(chan error, 1)} }},
	}
}

// add queues value, or returns fault.Unavailable at once if the queue is full.
func (q *queue[T]) add(value T) (*job[T], error) {
	j, _ := q.pool.Get().(*job[T])
	j.value = value
	select {
	case q.jobs <- j:
		return j, nil
	default:
		q.recycle(j)
		q.metrics.shed.Inc()
		return nil, &fault.Error{
			Code: fault.Unavailable, Detail: "too many requests are waiting for the database", RetryAfter: time.Second,
		}
	}
}

// wait returns what became of j, which is no longer the caller's afterwards. If ctx ends first, j may still be written.
func (q *queue[T]) wait(ctx context.Context, j *job[T]) (w written, err error) {
	select {
	case err = <-j.done:
	case <-ctx.Done():
		return w, fault.Wrap(fault.Unavailable, "the request ended before it was recorded", ctx.Err())
	case <-q.stopped:
		select {
		case err = <-j.done:
		default:
			return w, fault.New(fault.Unavailable, "the server is stopping")
		}
	}
	w = j.written
	q.recycle(j)
	return w, err
}

func (q *queue[T]) recycle(j *job[T]) {
	var none T
	j.value, j.written = none, written{}
	q.pool.Put(j)
}

// run commits batches until ctx ends, and then what is left, for at most drain. commit answers the jobs of its batch but those
// that it returns, which begin the next.
func (q *queue[T]) run(ctx context.Context, drain time.Duration, commit func(context.Context, []*job[T]) []*job[T]) {
	defer close(q.stopped)
	writing := context.WithoutCancel(ctx)
	batch := make([]*job[T], 0, q.maxBatch)
	for ctx.Err() == nil {
		if len(batch) == 0 {
			select {
			case first := <-q.jobs:
				batch = append(batch, first)
			case <-ctx.Done():
			}
		}
		batch = commit(writing, q.fill(batch))
	}
	writing, cancel := context.WithTimeout(writing, drain)
	defer cancel()
	for batch = q.fill(batch); len(batch) > 0 && writing.Err() == nil; batch = q.fill(batch) {
		batch = commit(writing, batch)
	}
}

// fill adds to batch what is queued, as far as there is room and the size of the batch is one to be had.
func (q *queue[T]) fill(batch []*job[T]) []*job[T] {
	size := q.size(min(len(batch)+len(q.jobs), q.maxBatch))
	for len(batch) < size {
		select {
		case j := <-q.jobs:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// whole makes a batch of all that is queued.
func whole(queued int) int { return queued }

// common leaves less than a sixteenth for the next batch, so that between a size and its double there are only sixteen: the database keeps a
// statement for each.
func common(queued int) int {
	const digits = 5
	dropped := max(0, bits.Len(uint(queued))-digits)
	return queued >> dropped << dropped
}

// failQueued answers everything that is queued now: to let each batch run into the same hung database would add up.
func (q *queue[T]) failQueued(err error) {
	for range len(q.jobs) {
		select {
		case j := <-q.jobs:
			q.metrics.unavailable.Inc()
			j.done <- err
		default:
			return
		}
	}
}

func answer[T any](batch []*job[T], err error) {
	for _, j := range batch {
		j.done <- err
	}
}
