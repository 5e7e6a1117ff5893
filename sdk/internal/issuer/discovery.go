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
	// A request that fails is made again after a pause that doubles.
	leastPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
	urgentPause  = time.Second // while there is no metadata, so that nothing can be done
)

var (
	// ErrClosed means that the Issuer was closed, and holds no metadata.
	ErrClosed = errors.New("closed")
	// ErrNotIssuer means that what answers at the issuer's address is not this issuer: its metadata is that of another one, or cannot be
	// read, or there is none.
	ErrNotIssuer = errors.New("not this issuer")
)

// operationMetadata is the name that package sdk gives its users.
const operationMetadata = "countersign.metadata"

// discovery holds the metadata. Whoever needs it while there is none waits for the one flight that gets it; whoever finds it old starts a
// flight and goes on with the old.
type discovery struct {
	mu       sync.Mutex
	held     *Metadata
	until    time.Time
	flight   *flight // nil: none
	failed   error   // of the last flight
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
// cancel. After a failed one the next is made a while later, up to 1 s and, if metadata is held or the server asks for it, 10 s; until then
// its error is returned.
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
		return nil, fmt.Errorf("wait for metadata: %w", context.Cause(ctx))
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
	if err != nil && d.closed {
		err = ErrClosed
	}
	d.flight = nil
	f.held, f.err = held, err
	close(f.done)
	before, report := d.failed, d.held != nil && !d.closed
	if err == nil {
		// Who started together, as after a rollout, does not come back together.
		age -= rand.N(age/10 + 1) //nolint:gosec // G404: spreads load, guards nothing
		d.held, d.until, d.failed, d.failures = held, time.Now().Add(age), nil, 0
	} else {
		d.failed, d.pause = err, time.Now().Add(d.backoff(err))
		d.failures++
	}
	d.mu.Unlock()
	if report { // without the lock: who listens may be in need of metadata himself
		i.report(ctx, before, err)
	}
}

// report logs that metadata cannot be refreshed, once while it is for the same reason, and that it can again.
func (i *Issuer) report(ctx context.Context, before, now error) {
	switch {
	case now == nil && before != nil:
		i.config.Log.InfoContext(ctx, "metadata of the authorization server is refreshed again")
	case now != nil && (before == nil || errors.Is(now, ErrNotIssuer) != errors.Is(before, ErrNotIssuer)):
		i.config.Log.WarnContext(ctx, "metadata of the authorization server not refreshed, the last is used", "error", now)
	}
}

// backoff is how long to wait after a failure. d.mu is held.
func (d *discovery) backoff(err error) time.Duration {
	longest := longestPause
	if d.held == nil {
		longest = urgentPause
	}
	wait := min(leastPause<<min(d.failures, 10), longest)
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // jitter, not a secret
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		wait = max(wait, min(failure.RetryAfter, longestPause))
	}
	return wait
}

// discover looks for the metadata, at one address after the other: one that leads to somebody else must not hide the others.
func (i *Issuer) discover(ctx context.Context) (held *Metadata, age time.Duration, err error) {
	for range i.addresses {
		moveOn := i.Doubt()
		if held, age, err = i.seek(ctx); !errors.Is(err, ErrNotIssuer) {
			break
		}
		moveOn()
	}
	return held, age, err
}

// seek asks at one location after the other until this issuer's metadata is there. What else is there says nothing of the next: many
// a server answers every path that it does not know with a page, or leads to one.
func (i *Issuer) seek(ctx context.Context) (*Metadata, time.Duration, error) {
	var wrong []string
	for _, location := range i.locations {
		answer, err := i.Do(ctx, Request{
			Operation: operationMetadata, Method: http.MethodGet, URL: location, Limit: MetadataLimit,
			Header: http.Header{"Accept": {"application/json"}},
		})
		if failure := (*Failure)(nil); errors.As(err, &failure) && failure.decided() {
			wrong = append(wrong, err.Error())
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("get metadata: %w", err)
		}
		if answer.Status != http.StatusOK {
			wrong = append(wrong, fmt.Sprintf("%s answers %d", location, answer.Status))
			continue
		}
		held, err := ParseMetadata(answer.Body, i.config.Identifier)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("read metadata of %s: %s", location, err))
			continue
		}
		age, said := answer.MaxAge()
		if !said {
			age = usualAge
		}
		return held, min(max(age, leastAge), longestAge), nil
	}
	return nil, 0, fmt.Errorf("%w: %s; is %q the issuer?", ErrNotIssuer, strings.Join(wrong, "; "), i.config.Identifier)
}
