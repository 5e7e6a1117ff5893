package usage

import (
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/countersign/countersign/server/auth"
)

const (
	// A client's failures are written one by one up to burst, then one in each pause, with the number of those in between.
	burst = 10
	pause = time.Minute / 10
	// maxSuspects is how many clients are told apart, maxQueue how many failures wait to be written.
	maxSuspects = 1000
	maxQueue    = 10_000
)

// failures are failed authentications, bounded however many there are.
type failures struct {
	mu       sync.Mutex
	suspects map[auth.ClientID]*suspect
	queue    []auth.Failure // to be written
	taken    int            // being written
}

// suspect is a client that failed of late. The zero client stands for all that are not told apart.
type suspect struct {
	rate *rate.Limiter
	held map[string]auth.Failure // by reason: the last, with the number of all, beyond the rate
}

func newFailures() *failures { return &failures{suspects: map[auth.ClientID]*suspect{}} }

func (f *failures) add(failure auth.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.suspects[failure.Client]
	if s == nil && len(f.suspects) >= maxSuspects {
		failure.Client = auth.ClientID{}
		s = f.suspects[failure.Client]
	}
	if s == nil {
		s = &suspect{rate: rate.NewLimiter(rate.Every(pause), burst), held: map[string]auth.Failure{}}
		f.suspects[failure.Client] = s
	}
	failure.Count += s.held[failure.Reason].Count
	s.held[failure.Reason] = failure
	f.let(s, failure.Reason, failure.At)
}

// let moves what is held for a reason into the queue, if the rate and the bound allow it.
func (f *failures) let(s *suspect, reason string, now time.Time) {
	if len(f.queue)+f.taken < maxQueue && s.rate.AllowN(now, 1) {
		f.queue = append(f.queue, s.held[reason])
		delete(s.held, reason)
	}
}

// take returns what is to be written; written or putBack must follow. Clients that may fail again as if they never had are forgotten.
func (f *failures) take(now time.Time) []auth.Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	for client, s := range f.suspects {
		for _, reason := range slices.Sorted(maps.Keys(s.held)) {
			f.let(s, reason, now)
		}
		if len(s.held) == 0 && s.rate.TokensAt(now) >= burst {
			delete(f.suspects, client)
		}
	}
	all := f.queue
	f.queue, f.taken = nil, len(all)
	return all
}

// putBack ends the taking: rest is what was not written.
func (f *failures) putBack(rest []auth.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue, f.taken = append(slices.Clone(rest), f.queue...), 0
}

// release lifts the rate from what is held, for the last flush.
func (f *failures) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.suspects {
		for _, reason := range slices.Sorted(maps.Keys(s.held)) {
			f.queue = append(f.queue, s.held[reason])
			delete(s.held, reason)
		}
	}
}
