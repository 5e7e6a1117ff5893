package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/sdk/internal/flight"
	"github.com/countersign/countersign/sdk/internal/revocation"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/tokencache"
)

const (
	startLimit  = 5 * time.Second        // for which the first calls wait until something is known
	findAgain   = 500 * time.Millisecond // between looks at the metadata while there is none; how often it is asked for is not decided here
	lookAgain   = time.Minute            // whether the issuer has got a feed
	slotsUnseen = 96                     // introspections at a time, and
	slotsKnown  = 32                     // further ones about tokens that were good before
	queueUnseen = 2048                   // tokens that nobody has seen yet and that wait for a slot, and
	queueWait   = 500 * time.Millisecond // for how long, less than a caller with something to go by waits for an answer
)

var (
	errNoAudience  = errors.New("the audience is empty")
	errPatience    = errors.New("the authorization server takes too long")
	errNoSnapshot  = errors.New("revocations are not known yet")
	errNoDiscovery = errors.New("the authorization server was not found yet")
)

// feedState is what is known of the issuer's revocation feed.
type feedState = int32

const (
	feedUnknown feedState = iota
	feedFollowed
	feedNone
	feedClosed // the verifier was closed
)

// engine is what the verifiers of all audiences share.
type engine struct {
	config    *verifierConfig
	authority *authority
	records   map[string]*storeReader // token stores, by audience
	keys      *jwks.Cache
	feed      *revocation.Follower
	cache     *tokencache.Cache[known]
	asks      *flight.Group[tokencache.Key, *entry] // introspections
	knownDown breaker                               // of asks about tokens that were good before
	otherDown breaker                               // of asks about others
	lookups   *flight.Group[tokencache.Key, *entry] // in the token store
	unseen    chan struct{}                         // slots of asks
	seen      chan struct{}
	queue     chan struct{} // places of those who wait for unseen
	saved     stateFile
	replays   replays
	tally     tally
	outage    outage

	warnOpaque sync.Once

	feedState atomic.Int32
	trouble   atomic.Pointer[error] // why feedState is feedUnknown
	settle    func()                // closes settled
	settled   chan struct{}         // closed when the first attempt to learn of revocations has ended
	closed    atomic.Bool
	started   atomic.Bool
	restored  bool // there was a good state file; set before started

	mu      sync.Mutex // held while work begins or ends
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newEngine(identifier, audience string, c *verifierConfig) (*engine, error) {
	a, err := newAuthority(identifier, c.clientID, c.auth, c.common)
	if err != nil {
		return nil, err
	}
	e := &engine{
		config: c, authority: a,
		cache:   tokencache.New[known](c.cacheSize),
		asks:    flight.New[tokencache.Key, *entry](c.introspectionLimit()),
		lookups: flight.New[tokencache.Key, *entry](c.introspectionLimit()),
		unseen:  make(chan struct{}, slotsUnseen), seen: make(chan struct{}, slotsKnown),
		queue:   make(chan struct{}, queueUnseen),
		settled: make(chan struct{}),
	}
	e.saved.changed = make(chan struct{}, 1)
	e.outage.epoch = time.Now()
	e.replays = replays{own: NewReplayMemory(DefaultReplays), shared: c.replays, log: c.log}
	e.settle = sync.OnceFunc(func() { close(e.settled) })
	e.keys = jwks.New(jwks.Config{
		Fetch: a.keySet, HardMaxAge: c.keysMaxAge, Log: c.log, Changed: e.saved.keysChanged,
	})
	if c.signedAnswers {
		a.signed = &signedAnswers{identifier: identifier, clientID: c.clientID, leeway: c.leeway, key: e.keys.Key}
	}
	e.feed = revocation.New(revocation.Config{
		Poll: e.pollFeed, Stream: e.streamFeed, Bound: c.bound, Leeway: c.leeway, Log: c.log, Changed: e.saved.touch, KeyRevoked: e.keys.Expect,
		Permanent:  func(err error) bool { return errors.Is(err, errFeedRefused) },
		RetryAfter: func(err error) time.Duration { return unavailable(err).RetryAfter },
	})
	e.records = map[string]*storeReader{}
	for _, s := range c.stores {
		s.audience = cmp.Or(s.audience, audience)
		if e.records[s.audience], err = newStoreReader(a, s.audience, s.records, s.apiID, c.tracer); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) pollFeed(ctx context.Context, cursor string) ([]byte, time.Time, error) {
	body, began, err := e.authority.pollFeed(ctx, cursor)
	return body, began, adviseOnFeed(err)
}

func (e *engine) streamFeed(ctx context.Context, cursor string) (io.ReadCloser, error) {
	stream, err := e.authority.streamFeed(ctx, cursor)
	return stream, adviseOnFeed(err)
}

func adviseOnFeed(err error) error {
	if errors.Is(err, errNoCredentials) {
		return fmt.Errorf("%w; give WithCredentials, or WithoutRevocation if revoked tokens may be accepted", err)
	}
	return err
}

// start begins the work in the background, unless it has begun. After close it returns ErrClosed.
func (e *engine) start() error {
	if e.closed.Load() {
		return ErrClosed
	}
	if e.started.Load() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return ErrClosed
	}
	if e.started.Load() {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.restored = e.restore(ctx)
	e.running.Go(func() { e.keys.Run(ctx) })
	e.running.Go(func() { e.follow(ctx) })
	if e.config.stateFile != "" {
		e.running.Go(func() { e.keepState(ctx) })
	}
	e.started.Store(true)
	return nil
}

func (e *engine) close() {
	e.closed.Store(true)
	e.mu.Lock()
	if e.cancel != nil {
		e.cancel()
	}
	e.mu.Unlock()
	e.lookups.Close()
	e.asks.Close()
	e.running.Wait()
	for _, s := range e.records {
		s.close()
	}
	e.feedState.Store(feedClosed) // nothing that is remembered stands any more
	e.settle()
	e.authority.close()
	e.cache.Clear()
}

// follow finds out whether the issuer has a revocation feed, and follows it until ctx ends.
func (e *engine) follow(ctx context.Context) {
	if e.config.noRevocation {
		e.feedState.Store(feedNone)
		e.settle()
		return
	}
	for e.feedState.Load() != feedFollowed {
		wait := lookAgain
		switch m, err := e.authority.metadata(ctx); {
		case err != nil: // what was known stays known
			e.trouble.Store(&err)
			wait = findAgain
		case m.RevocationFeed != "":
			e.feedState.Store(feedFollowed)
			continue
		default:
			e.feedState.Store(feedNone)
		}
		e.settle()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	e.running.Go(func() {
		_ = e.feed.Ready(ctx) // why there is no snapshot is asked when a token comes
		e.settle()
	})
	e.feed.Run(ctx)
}

// ready implements [Verifier.Ready].
func (e *engine) ready(ctx context.Context) error {
	if err := e.start(); err != nil {
		return unavailable(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errPatience)
	defer cancel()
	select {
	case <-e.settled:
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	now := time.Now()
	switch e.feedState.Load() {
	case feedNone:
		return nil
	case feedFollowed:
		if age, ok := e.feed.Good(now); ok && (e.feed.Lease(now) || age <= e.config.grace) {
			return nil
		}
	}
	return unavailable(e.ignorance())
}

// awaitStart waits while the first attempt to learn of revocations is under way, less long if a state file has something to go by.
func (e *engine) awaitStart(ctx context.Context) {
	select {
	case <-e.settled:
		return
	default:
	}
	limit := startLimit
	if e.restored {
		limit = e.config.bound
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-e.settled:
	case <-ctx.Done():
	}
}

// ignorance is why nothing is known of revocations.
func (e *engine) ignorance() error {
	if e.closed.Load() {
		return ErrClosed
	}
	if e.feedState.Load() == feedFollowed {
		if err := e.feed.Err(); err != nil {
			return err
		}
		return errNoSnapshot
	}
	if err := e.trouble.Load(); err != nil {
		return *err
	}
	return errNoDiscovery
}

// patience is how long a caller waits at most who does not leave by himself.
func (e *engine) patience() time.Duration { return startLimit + 2*e.config.timeout }
