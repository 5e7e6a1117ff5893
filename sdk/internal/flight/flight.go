// Package flight lets callers who want the same thing at the same time share one call for it.
//
// The call belongs to none of them: it runs on when the one that began it gives up, and each caller leaves at the end of its own
// context. That is what a failing caller must not be able to do to others, nor a slow call to a caller in a hurry.
package flight

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// What callers get who get no result.
var (
	// ErrClosed: the group was closed.
	ErrClosed = errors.New("closed")
	errNoEnd  = errors.New("the call came to no end")
)

// AnyAge lets callers join a call however long it has been in the air.
const AnyAge = time.Duration(math.MaxInt64)

// Group collapses calls with equal keys. It is safe for concurrent use.
type Group[K comparable, V any] struct {
	limit time.Duration

	mu      sync.Mutex
	closed  bool
	flights map[K]*flight[V]
	cancels map[*flight[V]]context.CancelFunc // of all that are in the air, those without a place in flights too
	running sync.WaitGroup
}

// Call is what callers share.
type Call[V any] = func(context.Context) (V, error)

type flight[V any] struct {
	began time.Time
	done  chan struct{} // closed when value and err are there
	value V
	err   error
}

// New returns a group whose calls are cancelled after limit, more than 0.
func New[K comparable, V any](limit time.Duration) *Group[K, V] {
	return &Group[K, V]{limit: limit, flights: make(map[K]*flight[V]), cancels: make(map[*flight[V]]context.CancelFunc)}
}

// Do returns what call returns. If a call for key has been in the air for no longer than young, its result is waited for; else call is
// made. Its context has the values of ctx and ends with the group or its limit, not with ctx. When ctx ends, Do returns its cause.
func (g *Group[K, V]) Do(ctx context.Context, key K, young time.Duration, call Call[V]) (V, error) {
	var zero V
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	f, err := g.join(ctx, key, young, call)
	if err != nil {
		return zero, err
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// Start makes the call as Do does, and does not wait.
func (g *Group[K, V]) Start(ctx context.Context, key K, young time.Duration, call Call[V]) error {
	_, err := g.join(ctx, key, young, call)
	return err
}

// Close cancels all calls, waits until they have returned, and refuses others from then on.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	g.closed = true
	for _, cancel := range g.cancels {
		cancel()
	}
	g.mu.Unlock()
	g.running.Wait()
}

// join finds the flight for key, or begins one.
func (g *Group[K, V]) join(ctx context.Context, key K, young time.Duration, call Call[V]) (*flight[V], error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrClosed
	}
	if f := g.flights[key]; f != nil && now.Sub(f.began) <= young {
		return f, nil
	}
	f := &flight[V]{began: now, done: make(chan struct{}), err: errNoEnd}
	apart, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limit)
	apart = context.WithValue(apart, overtaken{}, func() bool { return g.latest(key) != f })
	g.flights[key], g.cancels[f] = f, cancel
	g.running.Go(func() { g.fly(apart, key, f, call) })
	return f, nil
}

// latest returns the flight for key that began last, nil if that has ended.
func (g *Group[K, V]) latest(key K) *flight[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flights[key]
}

type overtaken struct{}

// Overtaken tells whether since the call with this context began another one was made for the same key. It may know better, and may have
// ended already.
func Overtaken(ctx context.Context) bool {
	is, ok := ctx.Value(overtaken{}).(func() bool)
	return ok && is()
}

// fly makes the call. A call that panics is an error to all who wait: it is not made on behalf of any of them.
func (g *Group[K, V]) fly(ctx context.Context, key K, f *flight[V], call Call[V]) {
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("panic: %v", p)
		}
		g.mu.Lock()
		g.cancels[f]()
		delete(g.cancels, f)
		if g.flights[key] == f {
			delete(g.flights, key)
		}
		g.mu.Unlock()
		close(f.done)
	}()
	f.value, f.err = call(ctx)
}
