package abuse

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/server/auth"
)

// knownFor is how long after its last authentication from an address a client is known there.
const knownFor = auth.MaxLifetime + time.Hour

// share of one client in the failures of an address.
const attemptsShare = 10

// place is a client at a network.
type place struct {
	client  string
	network [16]byte
}

// visit is when a client was last at a network, in seconds since 1970.
type visit struct{ last atomic.Int64 }

func newVisit(now time.Time) *visit {
	v := new(visit)
	v.last.Store(now.Unix())
	return v
}

// again notes the time of another visit, within a second's.
func (v *visit) again(now time.Time) {
	if last := v.last.Load(); now.Unix() > last {
		v.last.CompareAndSwap(last, now.Unix()) // or else another one did
	}
}

// Until implements bounded.Value.
func (v *visit) Until() time.Time { return time.Unix(v.last.Load(), 0).Add(knownFor) }

// Attempt is one authentication. Exactly one of Succeeded and Failed ends it.
type Attempt struct {
	guard  *Guard // nil: nothing is counted
	at     place
	from   netip.Addr
	before *visit // nil: the client is not known there
}

// Attempt begins an authentication of what says that it is the client, in whatever text, empty if it says nothing.
func (g *Guard) Attempt(client string, from netip.Addr) Attempt {
	if g == nil || g.config.FailureLimit == 0 {
		return Attempt{}
	}
	a := Attempt{guard: g, at: place{client, networkOf(from)}, from: from}
	if before, ok := g.known.Get(a.at); ok && g.config.Counters.Now().Before(before.Until()) {
		a.before = before
	}
	return a
}

// Frugal tells whether credentials are to be checked as far only as that costs next to nothing: after too many failures, except where the client
// has been before. So a right secret gets through, whatever others send from its address or for its client.
func (a Attempt) Frugal() bool {
	if a.guard == nil || a.before != nil {
		return false
	}
	address, attempts := a.guard.failureLimits()
	var buffer [keySize]byte
	return !a.guard.failures.Look(a.addressKey(buffer[:0]), address).Allowed ||
		a.at.client != "" && !a.guard.failures.Look(a.attemptsKey(buffer[:0]), attempts).Allowed
}

// Succeeded ends an attempt of the client that it said to be.
func (a Attempt) Succeeded() {
	if a.guard == nil {
		return
	}
	now := a.guard.config.Counters.Now()
	if a.before == nil {
		a.at.client = strings.Clone(a.at.client) // of a request that would be kept with it
		a.before = a.guard.known.Add(a.at, newVisit(now), now)
	}
	a.before.again(now) // Add may have found one that is over
}

// Failed counts an attempt that failed. It returns why, or fault.TooMany around it, which is the same whether the client exists or not.
func (a Attempt) Failed(why error) error {
	if a.guard == nil {
		return why
	}
	address, attempts := a.guard.failureLimits()
	var buffer [keySize]byte
	if v := a.guard.failures.Take(a.addressKey(buffer[:0]), address); !v.Allowed {
		a.guard.refused(notice{reason: failuresAddress, network: ratelimit.Network(a.from)})
		return tooMany("too many failed authentications from this address, see "+Docs, v.RetryAfter, why)
	}
	if a.at.client == "" {
		return why
	}
	v := a.guard.failures.Take(a.attemptsKey(buffer[:0]), attempts)
	if v.Allowed {
		return why
	}
	n := notice{reason: failuresClient, network: ratelimit.Network(a.from)}
	if refused, ok := errors.AsType[*auth.Refusal](why); ok {
		n.client = refused.Client
	}
	a.guard.refused(n)
	return tooMany("too many failed authentications of this client from this address, see "+Docs, v.RetryAfter, why)
}

func (g *Guard) failureLimits() (address, attempts ratelimit.Limit) {
	n := g.config.FailureLimit
	some := max(1, n/attemptsShare)
	return ratelimit.Limit{Requests: n, Per: time.Minute, Burst: n}, ratelimit.Limit{Requests: some, Per: time.Minute, Burst: some}
}

func (a *Attempt) addressKey(buffer []byte) []byte {
	return append(append(buffer, ofAddress), a.at.network[:]...)
}

func (a *Attempt) attemptsKey(buffer []byte) []byte {
	return append(append(append(buffer, ofAttempts), a.at.network[:]...), a.at.client[:min(len(a.at.client), maxText)]...)
}
