// Package redisstore remembers in Redis what presented opaque tokens turned out to be, for all servers and, if so
// configured, for services. A record is authenticated and bound to its token, API, audience, issuer and expiry: Redis, and
// whoever can write to it, can make this package forget and nothing else. docs/token-store.md describes the format.
package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/server/auth"
)

const (
	// maxAPIs is for how many APIs a look-up asks. A caller that serves more is answered by the database.
	maxAPIs = 8
	// queueLength bounds what waits to be written, batchLength what is written at once.
	queueLength = 4096
	batchLength = 256
)

// Config is what New needs.
type Config struct {
	Redis  *redisconn.Conn
	Issuer string // the issuer's URL, of at most 64 KiB
	// Audience returns the identifier of an API, or false for one that is not known.
	Audience func(auth.APIID) (string, bool)
	// Keys returns the keys as they are now, or nil if there are none yet: then everything is a miss.
	Keys func() *Keys
	// Direct adds a signature to records, so that services can check what they read themselves.
	Direct     bool
	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
}

// Store is an auth.TokenStore over Redis, for opaque tokens. Its methods may be called by any number of goroutines.
type Store struct {
	cfg     Config
	metrics *metrics
	queue   chan recording

	mu     sync.RWMutex // guards closed and, with it, sending to queue
	closed bool
	done   chan struct{} // closed when the writer has ended
	giveUp context.CancelFunc
}

var _ auth.TokenStore = (*Store)(nil)

// Why a token is not recorded.
var (
	errUnavailable = errors.New("redis does not answer")
	errFull        = errors.New("too many records wait to be written")
	errUnfit       = errors.New("the token is not one to be recorded")
)

// recording is a token that waits to be written.
type recording struct {
	key   auth.TokenKey
	token *auth.Token
	done  func(error) // nil: nobody waits to hear
}

// tell says what became of it.
func (r recording) tell(err error) {
	if r.done != nil {
		r.done(err)
	}
}

// New returns a Store and starts its writer, which Close ends.
func New(cfg Config) (*Store, error) {
	if cfg.Redis == nil || cfg.Audience == nil || cfg.Keys == nil || cfg.Issuer == "" || len(cfg.Issuer) > math.MaxUint16 {
		return nil, errors.New("token store over Redis: Redis, Issuer, Audience and Keys are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{
		cfg: cfg, metrics: m, queue: make(chan recording, queueLength),
		done: make(chan struct{}), giveUp: cancel,
	}
	go s.write(ctx)
	return s, nil
}

// Lookup returns the token that a server recorded under the key for one of the APIs, or nil. Its Proof is not set: it is not
// in the record, and the key stands for the whole token. A record that does not verify is a miss, and so is everything while
// Redis does not answer. With no API or more than eight, Redis is not asked.
func (s *Store) Lookup(ctx context.Context, key auth.TokenKey, apis []auth.APIID) *auth.Token {
	keys := s.cfg.Keys()
	if len(apis) == 0 || len(apis) > maxAPIs || keys == nil {
		s.metrics.looked(lookupSkipped)
		return nil
	}
	names := make([]string, len(apis))
	for i, api := range apis {
		names[i] = redisKey(api, key)
	}
	records, err := s.cfg.Redis.GetMany(ctx, names...)
	if err != nil {
		s.metrics.looked(lookupFailed)
		return nil
	}
	found := lookupMiss
	for i, record := range records {
		if record == nil {
			continue
		}
		if t := s.read(key, apis[i], record, keys); t != nil {
			s.metrics.looked(lookupHit)
			return t
		}
		found = lookupInvalid
	}
	s.metrics.looked(found)
	return nil
}

// read returns the token of a record, or nil for one not to go by.
func (s *Store) read(key auth.TokenKey, api auth.APIID, record []byte, keys *Keys) *auth.Token {
	b, ok := s.bind(key, api)
	if !ok {
		return nil
	}
	t, err := decode(b, record, keys)
	if err != nil || !t.Live(s.cfg.Now()) {
		return nil
	}
	return t
}

// bind returns what a record of the token for the API is bound to.
func (s *Store) bind(key auth.TokenKey, api auth.APIID) (*binding, bool) {
	audience, ok := s.cfg.Audience(api)
	if !ok || len(audience) > math.MaxUint16 {
		return nil, false
	}
	return &binding{issuer: s.cfg.Issuer, audience: audience, api: api, key: key}, true
}

// Remember queues an opaque token to be recorded for the rest of its life. A JWT, which needs no look-up, is ignored. It
// does not wait: what finds the queue full or Redis not answering is dropped and counted.
func (s *Store) Remember(key auth.TokenKey, t *auth.Token) { s.RememberThen(key, t, nil) }

// RememberThen is Remember, and tells done, unless it is nil, once: nil when the token is recorded, or why it is not. done must not wait;
// it may be called by another goroutine.
func (s *Store) RememberThen(key auth.TokenKey, t *auth.Token, done func(error)) {
	r := recording{key, t, done}
	if t.Key != (auth.KeyID{}) {
		r.tell(errUnfit)
		return
	}
	if !s.cfg.Redis.Ready() {
		s.metrics.wrote(writeUnavailable, 1)
		r.tell(errUnavailable)
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		s.metrics.wrote(writeFull, 1)
		r.tell(errFull)
		return
	}
	select {
	case s.queue <- r:
	default:
		s.metrics.wrote(writeFull, 1)
		r.tell(errFull)
	}
}

// Close writes what is queued and ends the writer. When ctx ends before that is done, the rest is dropped and its error
// returned, at most a call to Redis later. The Redis connection stays open. Closing again does nothing.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	defer s.giveUp()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.giveUp()
		<-s.done
		return ctx.Err()
	}
}
