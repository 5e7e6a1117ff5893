package lb

import (
	"context"
	"net"
	"time"
)

// NewUpstreams returns upstreams as a pool has them.
func NewUpstreams(targets ...Target) (all []*Upstream, err error) {
	for _, t := range targets {
		u, err := newUpstream(t, "/", time.Time{})
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// Answered counts how a request to the i-th upstream went.
func (p *Pool) Answered(i int, well bool) { p.answered(context.Background(), p.members[i], well) }

// Pick returns the upstream that the next request goes to.
func (p *Pool) Pick(key string) *Upstream { return p.pick(key, nil) }

// SetInFlight says how many requests are in flight.
func (u *Upstream) SetInFlight(n int) { u.inFlight.Store(int64(n)) }

// Try asks the breaker of the i-th upstream, and tells it how the request went if it may be sent.
func (p *Pool) Try(i int, well bool) (sent bool) {
	if sent = p.members[i].permits(); sent {
		p.members[i].recorded(well)
	}
	return sent
}

// Abandon asks the breaker of the i-th upstream, and tells it nothing of the request.
func (p *Pool) Abandon(i int) (sent bool) {
	if sent = p.members[i].permits(); sent {
		p.members[i].abandoned()
	}
	return sent
}

// Pass passes on what both send.
func Pass(ctx context.Context, a, b net.Conn, idle time.Duration) {
	p := &pipe{ends: [2]net.Conn{a, b}, idle: idle, chunks: new(chunks)}
	p.run(ctx)
}

// Relay passes on what source sends to sink.
func Relay(sink, source net.Conn) (n int64, err error) { return new(chunks).relay(sink, source) }
