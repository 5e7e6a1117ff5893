package imported

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	defaultWait = time.Second
	// idle is after what time without use it is forgotten that a value matched. Nothing else ends that: the hash of a secret never
	// changes, and one that is disabled or expired is not asked for. So a client that comes whenever its token ends is not kept out by
	// others who guess.
	idle    = auth.MaxLifetime + time.Hour
	entries = 10_000 // bound on values that matched, and on clients whose failures are counted
	// A client's hashes are computed at this rate, this many at once: a sixth of a processor, and room to try all of its secrets.
	perSecond = 5
	burst     = auth.MaxSecrets
	// limits is how long a client's failures are counted after the last; by then it may do as much as one that never failed.
	limits = time.Minute
)

// Config is what New needs. Zero values mean the defaults.
type Config struct {
	Now        func() time.Time      // time.Now
	Parallel   int                   // hashes that are computed at once, each in 19 MiB; half of the processors, at least one
	Wait       time.Duration         // for room to compute in; 1 s
	Registerer prometheus.Registerer // nil: no metrics
}

// Verifier is an auth.Imported. That a value matched is remembered, by a keyed hash whose key nobody but this process has, so that
// a client pays for argon2id once, not with each request. Its methods may be called by any number of goroutines.
type Verifier struct {
	now     func() time.Time
	wait    time.Duration
	room    chan struct{} // a place for each computation under way
	making  chan struct{} // a place for each new hash under way: of one's own, so that who brings many keeps nobody from authenticating
	key     [sha256.Size]byte
	matched *otter.Cache[digest, struct{}]
	limits  *otter.Cache[auth.ClientID, *rate.Limiter]
	flights singleflight.Group
	metrics *metrics
}

var _ auth.Imported = (*Verifier)(nil)

// digest stands for a value and what it is compared with.
type digest [sha256.Size]byte

// New returns a Verifier. Close ends it.
func New(c Config) (*Verifier, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Parallel == 0 {
		c.Parallel = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	v := &Verifier{now: c.Now, wait: c.Wait, room: make(chan struct{}, c.Parallel), making: make(chan struct{}, 1)}
	_, _ = rand.Read(v.key[:]) // never fails: crypto/rand
	var err error
	if v.metrics, err = newMetrics(c.Registerer); err != nil {
		return nil, err
	}
	v.matched, err = otter.New(&otter.Options[digest, struct{}]{
		MaximumSize: entries, ExpiryCalculator: otter.ExpiryAccessing[digest, struct{}](idle),
	})
	if err != nil {
		return nil, fmt.Errorf("memory of imported secrets: %w", err)
	}
	v.limits, err = otter.New(&otter.Options[auth.ClientID, *rate.Limiter]{
		MaximumSize: entries, ExpiryCalculator: otter.ExpiryAccessing[auth.ClientID, *rate.Limiter](limits),
	})
	if err != nil {
		v.Close()
		return nil, fmt.Errorf("limits of imported secrets: %w", err)
	}
	return v, nil
}

// Close ends the goroutines that forget. Match still works.
func (v *Verifier) Close() {
	v.matched.StopAllGoroutines()
	if v.limits != nil {
		v.limits.StopAllGoroutines()
	}
}

// Match implements auth.Imported. All who send the same at the same time share one computation.
func (v *Verifier) Match(ctx context.Context, client auth.ClientID, value auth.SecretValue, secrets []*auth.Secret) (*auth.Secret, error) {
	secrets = secrets[:min(len(secrets), auth.MaxSecrets)]
	if s := v.remembered(value, secrets); s != nil {
		v.metrics.remembered.Inc()
		return s, nil
	}
	all := []string{string(client[:])}
	for _, s := range secrets {
		all = append(all, string(s.ID[:]), s.Imported)
	}
	under := v.digest(value, all...)
	flight := v.flights.DoChan(string(under[:]), func() (any, error) { return v.compute(client, value, secrets) })
	select {
	case landed := <-flight:
		found, _ := landed.Val.(*auth.Secret)
		return found, landed.Err
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, "client credentials could not be checked in time", ctx.Err())
	}
}

func (v *Verifier) remembered(value auth.SecretValue, secrets []*auth.Secret) *auth.Secret {
	for _, s := range secrets {
		if _, ok := v.matched.GetIfPresent(v.digest(value, s.Imported)); ok {
			return s
		}
	}
	return nil
}

// compute finds the secret the slow way.
func (v *Verifier) compute(client auth.ClientID, value auth.SecretValue, secrets []*auth.Secret) (*auth.Secret, error) {
	// An earlier flight may have landed since this caller looked.
	if s := v.remembered(value, secrets); s != nil {
		v.metrics.remembered.Inc()
		return s, nil
	}
	if err := v.allow(client, len(secrets)); err != nil {
		v.metrics.limited.Inc()
		return nil, err
	}
	if !v.enter(v.room) {
		v.metrics.busy.Inc()
		return nil, fault.New(fault.Unavailable, "client credentials could not be checked in time")
	}
	defer func() { <-v.room }()
	var broken error
	for _, s := range secrets {
		h, err := parse(s.Imported)
		if err != nil {
			broken = fmt.Errorf("read hash of imported secret %s: %w", s.ID, err)
			continue
		}
		if h.proves(value) {
			v.matched.Set(v.digest(value, s.Imported), struct{}{})
			v.metrics.matched.Inc()
			return s, nil
		}
	}
	v.metrics.missed.Inc()
	return nil, broken
}

// allow takes n computations from what the client may have.
func (v *Verifier) allow(client auth.ClientID, n int) error {
	limiter, _ := v.limits.ComputeIfAbsent(client, func() (*rate.Limiter, bool) { return rate.NewLimiter(perSecond, burst), false })
	now := v.now()
	taken := limiter.ReserveN(now, n)
	wait := taken.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	taken.CancelAt(now)
	limited := fault.New(fault.TooMany, "too many attempts to authenticate as this client failed")
	limited.RetryAfter = wait
	return limited
}

// Hash is the function Hash, one at a time. It returns fault.Unavailable when it cannot begin in time.
func (v *Verifier) Hash(value auth.SecretValue) (phc string, err error) {
	if !v.enter(v.making) {
		return "", fault.New(fault.Unavailable, "the secret could not be hashed in time")
	}
	defer func() { <-v.making }()
	return Hash(value)
}

// enter takes a place in a room, unless there is none in time.
func (v *Verifier) enter(room chan<- struct{}) bool {
	patience := time.NewTimer(v.wait)
	defer patience.Stop()
	select {
	case room <- struct{}{}:
		return true
	case <-patience.C:
		return false
	}
}

func (v *Verifier) digest(value auth.SecretValue, with ...string) (d digest) {
	mac := hmac.New(sha256.New, v.key[:])
	for _, text := range append(with, value.Reveal()) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		mac.Write(length[:])
		mac.Write([]byte(text))
	}
	mac.Sum(d[:0])
	return d
}
