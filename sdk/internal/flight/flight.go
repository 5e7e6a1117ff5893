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
	"slices"
	"sync"
	"time"
)

// What callers get who get no result.
var (
	// ErrClosed: the group was closed.
	ErrClosed = errors.New("closed")
	// ErrLate is the cause with which the context of a call ends at the group's limit.
	ErrLate  = errors.New("it took too long")
	errNoEnd = errors.New("the call came to no end")
)

// AnyAge lets callers join a call however long it has been in the air.
const AnyAge = time.Duration(math.MaxInt64)

// Group collapses calls with equal keys. It is safe for concurrent use.
type Group[K comparable, V any] struct {
	limit time.Duration
	late  error // when that is over

	mu      sync.Mutex
	closed  bool
	flights map[K][]*flight[V] // in the order in which they began; nobody joins but the last one
	cancels map[*flight[V]]context.CancelFunc
	running sync.WaitGroup
}

// Call is what callers share.
type Call[V any] = func(context.Context) (V, error)

type flight[V any] struct {
	began time.Time
	done  chan struct{} // closed when value and err are there
	value V
	err   error

	// Of a flight in the air, under the group's mutex:
	passed    bool // another one began later
	overtaken bool // and found what counts more, see Overtake
}

// New returns a group whose calls are cancelled after limit, more than 0.
func New[K comparable, V any](limit time.Duration) *Group[K, V] {
	late := fmt.Errorf("%w: more than %s", ErrLate, limit)
	return &Group[K, V]{limit: limit, late: late, flights: make(map[K][]*flight[V]), cancels: make(map[*flight[V]]context.CancelFunc)}
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
	under := g.flights[key]
	if n := len(under); n > 0 {
		last := under[n-1]
		if !last.passed && now.Sub(last.began) <= young {
			return last, nil
		}
		last.passed = true
	}
	f := &flight[V]{began: now, done: make(chan struct{}), err: errNoEnd}
	apart, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), g.limit, g.late)
	apart = context.WithValue(apart, turnKey{}, &turn{
		overtake: func() { g.overtake(key, f) }, overtaken: func() bool { return g.overtaken(f) },
	})
	g.flights[key], g.cancels[f] = append(under, f), cancel
	g.running.Go(func() { g.fly(apart, key, f, call) })
	return f, nil
}

// turn is what a call knows of others for the same key.
type turn struct {
	overtake  func()
	overtaken func() bool
}

type turnKey struct{}

// Overtake says that what the call with this context found counts more than what is still to be found by calls for the same key that
// began before it: they know less.
func Overtake(ctx context.Context) {
	if t, ok := ctx.Value(turnKey{}).(*turn); ok {
		t.overtake()
	}
}

// Overtaken tells whether a call that began after the one with this context said so.
func Overtaken(ctx context.Context) bool {
	t, ok := ctx.Value(turnKey{}).(*turn)
	return ok && t.overtaken()
}

func (g *Group[K, V]) overtake(key K, f *flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.flights[key] {
		if other == f {
			return
		}
		other.overtaken = true
	}
}

func (g *Group[K, V]) overtaken(f *flight[V]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.overtaken
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
		g.flights[key] = slices.DeleteFunc(g.flights[key], func(other *flight[V]) bool { return other == f })
		if len(g.flights[key]) == 0 {
			delete(g.flights, key)
		}
		g.mu.Unlock()
		close(f.done)
	}()
	f.value, f.err = call(ctx)
}
