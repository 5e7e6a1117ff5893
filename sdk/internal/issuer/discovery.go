package issuer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How long metadata is used.
const (
	leastAge   = time.Minute
	usualAge   = time.Hour // if the server does not say
	longestAge = 24 * time.Hour
	// A refresh that fails is tried again after a pause that doubles.
	leastPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// ErrClosed means that the Issuer was closed, and holds no metadata.
var ErrClosed = errors.New("closed")

// operationMetadata is the name that package sdk gives its users.
const operationMetadata = "countersign.metadata"

// discovery holds the metadata. Whoever needs it while there is none waits for the one flight that gets it; whoever finds it old starts a
// flight and goes on with the old.
type discovery struct {
	mu       sync.Mutex
	held     *Metadata
	until    time.Time
	flight   *flight // nil: none
	failed   error   // of the last flight, if there is nothing held
	failures int     // in a row
	pause    time.Time
	closed   bool
	running  sync.WaitGroup
}

type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	held   *Metadata
	err    error
}

func (d *discovery) close() {
	d.mu.Lock()
	d.closed = true
	if d.flight != nil {
		d.flight.cancel()
	}
	d.mu.Unlock()
	d.running.Wait()
}

// Metadata returns the server's metadata: what is held, or the outcome of a request that all callers share and that none of them can
// cancel. After a failed one the next is made no sooner than 0.2 to 10 s later; until then its error is returned.
func (i *Issuer) Metadata(ctx context.Context) (*Metadata, error) {
	d := &i.discovery
	d.mu.Lock()
	now := time.Now()
	if d.flight == nil && !now.Before(d.until) && !now.Before(d.pause) && !d.closed {
		i.takeOff(ctx)
	}
	held, failed, f, closed := d.held, d.failed, d.flight, d.closed
	d.mu.Unlock()
	switch {
	case held != nil:
		return held, nil
	case closed:
		return nil, ErrClosed
	case f == nil:
		return nil, failed
	}
	select {
	case <-f.done:
		return f.held, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for metadata: %w", ctx.Err())
	}
}

// takeOff starts a flight, which belongs to the trace of the caller and ends with the Issuer. d.mu is held.
func (i *Issuer) takeOff(caller context.Context) {
	d := &i.discovery
	ctx, cancel := context.WithCancel(context.WithoutCancel(caller))
	f := &flight{cancel: cancel, done: make(chan struct{})}
	d.flight = f
	d.running.Go(func() {
		defer cancel()
		held, age, err := i.discover(ctx)
		i.settle(ctx, f, held, age, err)
	})
}

func (i *Issuer) settle(ctx context.Context, f *flight, held *Metadata, age time.Duration, err error) {
	d := &i.discovery
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && d.closed {
		err = ErrClosed
	}
	d.flight = nil
	f.held, f.err = held, err
	close(f.done)
	if err == nil {
		d.held, d.until, d.failed, d.failures = held, time.Now().Add(age), nil, 0
		return
	}
	wait := min(leastPause<<min(d.failures, 10), longestPause)
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // jitter, not a secret
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		wait = max(wait, min(failure.RetryAfter, longestPause))
	}
	d.failed, d.pause = err, time.Now().Add(wait)
	d.failures++
	if d.held != nil && !d.closed {
		i.config.Log.WarnContext(ctx, "metadata of the authorization server not refreshed, the last is used", "issuer", i.config.Identifier, "error", err)
	}
}

// discover asks at one location after the other until one is known there.
func (i *Issuer) discover(ctx context.Context) (*Metadata, time.Duration, error) {
	var unknown []string
	for _, location := range i.locations {
		answer, err := i.Do(ctx, Request{
			Operation: operationMetadata, Method: http.MethodGet, URL: location, Limit: MetadataLimit,
			Header: http.Header{"Accept": {"application/json"}},
		})
		if err != nil {
			return nil, 0, fmt.Errorf("get metadata: %w", err)
		}
		if answer.Status != http.StatusOK {
			unknown = append(unknown, fmt.Sprintf("%s answers %d", location, answer.Status))
			continue
		}
		held, err := ParseMetadata(answer.Body, i.config.Identifier)
		if err != nil {
			return nil, 0, fmt.Errorf("read metadata of %s: %w", location, err)
		}
		age, said := answer.MaxAge()
		if !said {
			age = usualAge
		}
		return held, min(max(age, leastAge), longestAge), nil
	}
	return nil, 0, fmt.Errorf("find metadata: %s; is %q the issuer?", strings.Join(unknown, ", "), i.config.Identifier)
}
