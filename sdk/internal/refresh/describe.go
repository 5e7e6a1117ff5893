package refresh

import "time"

// Phase is where a value is in its life.
type Phase string

// The phases.
const (
	None    Phase = "none" // there never was one
	Fresh   Phase = "fresh"
	Stale   Phase = "stale"
	Expired Phase = "expired"
)

// State describes a source at one moment.
type State struct {
	Phase Phase
	// Expires is when the last value expires, or did; zero: there was none.
	Expires time.Time
	// Refreshing tells whether a fetch is under way, and Waiting how many callers wait for it.
	Refreshing bool
	Waiting    int
	// Refreshed is when the last value came, Failed when a fetch failed last and why. They are zero if that never happened.
	Refreshed time.Time
	Failed    time.Time
	Failure   error
	// Hits counts values served without waiting, Refreshes those that were fetched, Failures the failed attempts, Forced what Replace
	// started.
	Hits, Refreshes, Failures, Forced uint64
}

type totals struct {
	expires                     time.Time
	refreshed                   time.Time
	failedAt                    time.Time
	failure                     error
	refreshes, failures, forced uint64
}

func (t *totals) landed() {
	t.refreshed = time.Now()
	t.refreshes++
}

func (t *totals) failed(err error) {
	t.failedAt, t.failure = time.Now(), err
	t.failures++
}

// Describe describes the source. It takes a lock that Value does not.
func (s *Source[T]) Describe() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{
		Phase: s.phase(), Expires: s.totals.expires, Refreshing: s.flight != nil,
		Refreshed: s.totals.refreshed, Failed: s.totals.failedAt, Failure: s.totals.failure,
		Hits: s.hits.Value(), Refreshes: s.totals.refreshes, Failures: s.totals.failures, Forced: s.totals.forced,
	}
	if s.flight != nil {
		state.Waiting = s.flight.waiters + s.flight.turn.forced
	}
	return state
}

func (s *Source[T]) phase() Phase {
	now := time.Now()
	switch {
	case s.held != nil && now.Before(s.held.stale):
		return Fresh
	case s.held != nil:
		return Stale
	case s.totals.expires.IsZero():
		return None
	default:
		return Expired
	}
}
