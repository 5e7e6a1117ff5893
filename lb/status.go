package lb

import "time"

// Status is what is known of an upstream at one moment.
type Status struct {
	Address  string    `json:"address"`
	Healthy  bool      `json:"healthy"`
	Ejected  bool      `json:"ejected"`           // left alone for a while, see Outlier
	Drained  bool      `json:"drained"`           // gets no requests, see Pool.Drain
	Leaving  bool      `json:"leaving"`           // no longer found by Discovery; requests in flight are finished
	Breaker  string    `json:"breaker,omitempty"` // closed, open or half-open; empty if there is none
	Since    time.Time `json:"since"`             // when Healthy last changed
	InFlight int       `json:"in_flight"`
	Weight   int       `json:"weight"`
	// LastError is the latest failed check or connection, empty if there was none. It outlives
	// recovery, so read it together with LastErrorAt.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// status is what is known of u. The caller holds the pool's mutex.
func (u *Upstream) status() Status {
	s := Status{
		Address: u.address, Healthy: u.up, Ejected: u.ejected, Drained: u.drained, Since: u.since, InFlight: u.InFlight(),
		Weight: u.Weight(), LastErrorAt: u.errAt,
	}
	if u.breaker != nil {
		s.Breaker = u.breaker.State().String()
	}
	if u.lastErr != nil {
		s.LastError = u.lastErr.Error()
	}
	return s
}
