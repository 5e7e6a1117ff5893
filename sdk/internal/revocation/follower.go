package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Follower needs. Poll is required.
type Config struct {
	// Poll asks the feed what came after cursor, or for everything if that is empty. It returns the body of the answer, at most
	// MaxAnswer bytes, and when the request began that was answered: by its age and that time the lease is renewed.
	Poll func(ctx context.Context, cursor string) (body []byte, began time.Time, err error)
	// Stream opens the feed as server-sent events from cursor on. The stream lives as long as ctx; it is read until then, or until
	// it fails, and closed once. nil: there are only polls.
	Stream func(ctx context.Context, cursor string) (io.ReadCloser, error)
	// Bound is for how long an answer of age 0 is vouched for. 0: 1 s.
	Bound time.Duration
	// Leeway is for how long after its expiry a token may still be accepted.
	Leeway time.Duration
	// Permanent tells whether an error of Poll or Stream will last until somebody does something about it, such as 401 and 403. It
	// is tried again all the same, but less often. nil: no error is.
	Permanent func(error) bool
	// RetryAfter returns how long the server asked to be left alone; 0: it did not. nil: it never does.
	RetryAfter func(error) time.Duration
	// Log is told when following fails, works again, or meets what it does not know. nil: nobody is.
	Log *slog.Logger
	// Changed is called after Version changed, by Restore and the goroutines of Run: it must return at once. nil: nobody is told.
	Changed func()
	// KeyRevoked is called after entries came that take a signing key back, by the goroutines of Run: it must return at once. nil: nobody
	// is told.
	KeyRevoked func()
}

// ErrUnknownKind says that the issuer takes tokens back in a way that this code does not know. The lease is not renewed meanwhile.
var ErrUnknownKind = errors.New("revocations of an unknown kind: a newer version of the SDK is needed")

// errOlder: nobody goes over to another generation for an answer that is no newer than what is known. Its sender follows a database
// that was replaced, or is a stream, which does not say how old its state is.
var errOlder = errors.New("the answer is of another generation, and not known to be newer")

// Follower follows one feed. Its methods are safe for concurrent use.
type Follower struct {
	config  Config
	lease   *lease
	version atomic.Uint64

	mu    sync.Mutex // held by who changes state, or looks at state.at
	state state
	swept int64 // up to when entries were forgotten since the last snapshot, in seconds since 1970
	tally tally

	polled func()        // closes asked
	asked  chan struct{} // closed when the first poll has ended, or Run
	found  func()        // closes known
	known  chan struct{} // closed when there is a snapshot
	wake   chan struct{} // a poll is due at once
}

// New returns a follower that does nothing before Run.
func New(c Config) *Follower {
	if c.Bound <= 0 {
		c.Bound = time.Second
	}
	if c.Permanent == nil {
		c.Permanent = func(error) bool { return false }
	}
	if c.RetryAfter == nil {
		c.RetryAfter = func(error) time.Duration { return 0 }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	f := &Follower{
		config: c, lease: newLease(c.Bound),
		asked: make(chan struct{}), known: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	f.polled = sync.OnceFunc(func() { close(f.asked) })
	f.found = sync.OnceFunc(func() { close(f.known) })
	return f
}

// Run polls about every third of the bound and holds a stream, until ctx ends. It returns when everything that it began has ended.
// It is called once.
func (f *Follower) Run(ctx context.Context) {
	defer f.polled()
	var group sync.WaitGroup
	if f.config.Stream != nil {
		group.Go(func() { f.holdStream(ctx) })
	}
	f.keepPolling(ctx)
	group.Wait()
}

// Ready waits until the first poll ended, well or not, and returns nil if there is a snapshot, be it a restored one. Else it
// returns why there is none.
func (f *Follower) Ready(ctx context.Context) error {
	select {
	case <-f.asked:
	case <-ctx.Done():
	}
	switch {
	case f.Version() != 0:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("wait for the revocation feed: %w", context.Cause(ctx))
	}
	if err := f.Err(); err != nil {
		return err
	}
	return errors.New("the revocation feed is no longer followed")
}

// Version changes whenever an entry was added that could refuse a token. It is 0 until there is a snapshot. A token that was found
// good is good as long as the version is that of before it was compared. It is one atomic load.
func (f *Follower) Version() uint64 { return f.version.Load() }

// Refuses tells whether an entry takes the token back, or one that it was made from. For each of them it looks up at most one entry per
// kind, of kinds that concern the audience one for each.
func (f *Follower) Refuses(s *Subject) bool {
	current := f.state.current.Load()
	return current != nil && current.refuses(s)
}

// Lease tells whether at now, which has a monotonic reading, a token that no entry refuses may be vouched for. Who relies on it
// must call it before Version and Refuses: the other way round, the lease could be that of an answer which they did not see yet.
// It is one atomic load.
func (f *Follower) Lease(now time.Time) (fresh bool) { return f.lease.fresh(now) }

// Good returns for how long before now the entries are not known to be all, and false if they never were. As with Lease, it is
// to be called before Version. It is one atomic load.
func (f *Follower) Good(now time.Time) (age time.Duration, ok bool) { return f.lease.age(now) }

// merge takes an answer in to the question what came after from. It proves how things were at known, by the clock of the lease.
func (f *Follower) merge(a *answer, from cursor, known int64) error {
	f.mu.Lock()
	if f.state.at.generation != "" && f.state.at.generation != a.at.generation && known <= f.lease.known.Load() {
		f.mu.Unlock()
		return errOlder
	}
	news, err := f.state.merge(a, from)
	if news {
		f.version.Add(1)
	}
	if err == nil && a.snapshot {
		f.swept = 0
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	f.found()
	if news {
		f.config.Changed()
	}
	if news && f.config.KeyRevoked != nil && slices.ContainsFunc(a.entries, func(e entry) bool { return e.kind == ofKey }) {
		f.config.KeyRevoked()
	}
	return nil
}

// unknown returns ErrUnknownKind with the kinds that the set holds but does not know.
func (f *Follower) unknown() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := f.state.current.Load().unknown(f.past())
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%w: %q", ErrUnknownKind, strings.Join(names[:min(4, len(names))], " "))
}

// past is the time up to which tokens have expired, leeway included, in seconds since 1970. A clock that was set forward and may be
// set back does not count.
func (f *Follower) past() int64 {
	steady := f.lease.origin.Unix() + int64(time.Since(f.lease.origin)/time.Second)
	return min(time.Now().Unix(), steady) - int64((f.config.Leeway+time.Second-1)/time.Second)
}

// position returns how far the feed was followed.
func (f *Follower) position() cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.at
}

// question is the cursor to poll from: nowhere, which makes the answer a snapshot, if the clock was ahead when entries were forgotten and
// has been set back. Tokens that they refuse may be living still.
func (f *Follower) question() cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.swept > f.past() {
		return cursor{}
	}
	return f.state.at
}
