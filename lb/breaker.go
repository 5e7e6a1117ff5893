package lb

import (
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// ErrOpen is what a Transport's error wraps when the breaker of every upstream that could be asked is open: nothing of the request was
// sent to anybody.
var ErrOpen = errors.New("every upstream fails too often")

// Breaker says when an upstream gets no requests because of the share of those that fail. Zero fields take the default given with them.
//
// Unlike Outlier, which looks at failures in a row and leaves enough upstreams in place, it also spares an upstream that fails now and then
// under load, and the last one too: then requests are refused at once and do not pile up.
type Breaker struct {
	// FailurePercent is the share of requests that must fail: they are answered with a status of 500 or above, or break off, or take too
	// long, or cannot connect. 1 to 100. Default 50.
	FailurePercent int
	// Requests is how many there must be in Window for a share to count. Default 20.
	Requests int
	// Window is the time that is looked at. Default 10 s.
	Window time.Duration
	// Delay is how long the upstream gets no requests. Then three may try: if one fails that time begins anew. Default 5 s.
	Delay time.Duration
}

const (
	trials      = 3
	breakerOpen = "open" // as the library calls it
)

func (b Breaker) withDefaults() (Breaker, error) {
	const all = 100
	if b.FailurePercent < 0 || b.FailurePercent > all || b.Requests < 0 || b.Window < 0 || b.Delay < 0 {
		return b, errors.New("numbers and times must not be negative, the share is 1 to 100 percent")
	}
	if b.FailurePercent == 0 {
		b.FailurePercent = 50
	}
	if b.Requests == 0 {
		b.Requests = 20
	}
	if b.Window == 0 {
		b.Window = 10 * time.Second
	}
	if b.Delay == 0 {
		b.Delay = 5 * time.Second
	}
	return b, nil
}

type breaker = circuitbreaker.CircuitBreaker[any]

// newBreaker returns the breaker of u, nil if there is none.
func (p *Pool) newBreaker(u *Upstream) breaker {
	b := p.cfg.Breaker
	if b == nil {
		return nil
	}
	return circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(float64(b.FailurePercent)/100, uint(b.Requests), b.Window).
		WithDelay(b.Delay).
		WithSuccessThreshold(trials).
		OnOpen(func(circuitbreaker.StateChangedEvent) { p.opened(u) }).
		OnClose(func(circuitbreaker.StateChangedEvent) {
			p.cfg.Logger.Info("breaker closed", "pool", p.cfg.Name, "upstream", u.Address())
		}).
		Build()
}

// opened keeps u from being picked until its breaker may let requests try.
func (p *Pool) opened(u *Upstream) {
	p.setOpen(u, true)
	p.cfg.Logger.Warn("breaker open", "pool", p.cfg.Name, "upstream", u.Address(), "for", p.cfg.Breaker.Delay)
	time.AfterFunc(p.cfg.Breaker.Delay, func() { p.setOpen(u, false) })
}

func (p *Pool) setOpen(u *Upstream, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u.open = open
	p.publish()
}

// permits reports whether the breaker of u lets a request pass. Then exactly one of recorded and abandoned has to follow.
func (u *Upstream) permits() bool { return u.breaker == nil || u.breaker.TryAcquirePermit() }

func (u *Upstream) recorded(well bool) {
	switch {
	case u.breaker == nil:
	case well:
		u.breaker.RecordSuccess()
	default:
		u.breaker.RecordFailure()
	}
}

// abandoned says that a request told nothing of the upstream. One that was to try must not keep others from it for ever: they wait once more.
func (u *Upstream) abandoned() {
	if u.breaker != nil && u.breaker.IsHalfOpen() {
		u.breaker.Open()
	}
}

// openError wraps ErrOpen.
type openError struct{ after time.Duration }

func (*openError) Error() string   { return ErrOpen.Error() }
func (e *openError) Unwrap() error { return ErrOpen }
