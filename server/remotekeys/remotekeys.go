// Package remotekeys holds the keys by which others sign: clients, and issuers that are trusted. Sets are fetched ahead of time and kept
// through an outage; what tokens say of keys makes nobody ask a server more often than once per cool-down, nor all servers together more
// often than a bound.
package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/outbound"
)

const (
	defaultSources = 1000
	// idle is after what time without use a set is let go. Who comes whenever a token ends keeps it, and so does not depend on an outage.
	idle = auth.MaxLifetime + time.Hour
	// idleInVain is the same for a set that could never be fetched: there is nothing to keep.
	idleInVain = 5 * time.Minute
	// keep is for how long a set is good that could not be fetched again.
	keep       = 24 * time.Hour
	sweepEvery = time.Minute

	perSecond    = 20 // fetches of all sources together, this many at once after a quiet time:
	burst        = 100
	parallel     = 32
	waitForTurn  = 2 * time.Second // within these bounds
	fetchTimeout = outbound.DefaultTimeout
	parsedSets   = 1000
)

var errBusy = errors.New("too many key sets are being fetched")

// Client asks for documents, as outbound.Client does.
type Client interface {
	Get(ctx context.Context, url string) (outbound.Answer, error)
}

// Config is what New needs. Only Client has to be there.
type Config struct {
	Client     Client
	Sources    int // how many fetched sets are held at once, beyond which the one that was not used for longest goes; 0: 1000
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Keys are the keys of many sources. It is safe for concurrent use.
type Keys struct {
	config  Config
	limiter *rate.Limiter
	turns   chan struct{}
	parsed  *otter.Cache[inlineKey, static]
	metrics *metrics
	running sync.WaitGroup // the caches

	mu     sync.Mutex // held for moments
	held   map[Source]*held
	closed bool // Run has ended
}

// held is a set that is fetched.
type held struct {
	cache    *jwks.Cache
	end      context.CancelFunc
	document atomic.Pointer[document]
	used     time.Time // guarded by Keys.mu
}

// New returns keys of no source yet. It does no I/O.
func New(config Config) (*Keys, error) {
	if config.Client == nil {
		return nil, errors.New("keys of others: a client is needed")
	}
	if config.Sources == 0 {
		config.Sources = defaultSources
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	parsed, err := otter.New(&otter.Options[inlineKey, static]{MaximumSize: parsedSets})
	if err != nil {
		return nil, fmt.Errorf("cache of key sets: %w", err)
	}
	k := &Keys{
		config: config, limiter: rate.NewLimiter(perSecond, burst), turns: make(chan struct{}, parallel), parsed: parsed, held: map[Source]*held{},
	}
	if k.metrics, err = newMetrics(config.Registerer, k.count); err != nil {
		return nil, err
	}
	return k, nil
}

// Key returns the source's key of this id for this algorithm; kid "" stands for the only one that is for it. What is held is returned
// without asking anybody. Else it waits for a fetch, at most until ctx ends or some 7 seconds.
//
// jwks.ErrUnknownKey is a verdict: there is no such key. Any other error is none, and mostly jwks.ErrUnavailable: there may be one.
func (k *Keys) Key(ctx context.Context, source Source, kid string, alg jose.Algorithm) (*jose.Key, error) {
	if source.URL == "" {
		set, err := k.inline(source)
		if err != nil {
			return nil, err
		}
		return set.find(kid, alg)
	}
	h := k.of(source)
	if h == nil {
		return nil, errEnded()
	}
	found, err := h.cache.Key(ctx, kid, alg)
	if err != nil {
		return nil, err
	}
	return found.Key, nil
}

// of returns what is held of a source, whose cache runs; nil after the end.
func (k *Keys) of(source Source) *held {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	h := k.held[source]
	if h == nil {
		if len(k.held) >= k.config.Sources {
			k.evict()
		}
		h = k.begin(source)
		k.held[source] = h
	}
	h.used = time.Now()
	return h
}

// begin starts the cache of a source. It ends with Run, not with the request that came first.
func (k *Keys) begin(source Source) *held {
	ctx, end := context.WithCancel(context.Background())
	h := &held{end: end}
	h.cache = jwks.New(jwks.Config{
		Fetch: func(ctx context.Context) (jwks.Answer, error) {
			began := time.Now()
			got, err := k.fetch(ctx, source)
			if err == nil {
				h.keep(got, began)
			}
			return got.Answer, err
		},
		HardMaxAge: keep,
		Log:        k.config.Log.With(slog.Any("source", source)),
	})
	k.running.Go(func() { h.cache.Run(ctx) })
	return h
}

// evict lets the source go that was not used for longest. The caller holds mu.
func (k *Keys) evict() {
	var oldest Source
	var since time.Time
	for source, h := range k.held {
		if since.IsZero() || h.used.Before(since) {
			oldest, since = source, h.used
		}
	}
	k.drop(oldest)
	k.metrics.evicted.Inc()
}

func (k *Keys) drop(source Source) {
	k.held[source].end()
	delete(k.held, source)
}

func (k *Keys) count() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return float64(len(k.held))
}

// Run lets go what is not used. It returns when ctx has ended and nothing is fetched any more; from then on no key is found. It is called
// once, and has to be: nothing else ends what Key begins.
func (k *Keys) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.sweep(time.Now())
		case <-ctx.Done():
			k.close()
			k.running.Wait()
			return
		}
	}
}

func (k *Keys) sweep(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for source, h := range k.held {
		unused := now.Sub(h.used)
		if unused > idle || unused > idleInVain && h.cache.Describe().Fetched.IsZero() {
			k.drop(source)
		}
	}
}

func (k *Keys) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for source := range k.held {
		k.drop(source)
	}
}
