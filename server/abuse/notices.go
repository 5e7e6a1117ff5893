package abuse

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Why something is refused, a label of the metric.
const (
	runaway         = "runaway"
	failuresAddress = "failures_address"
	failuresClient  = "failures_client"
	scanning        = "scanning"
)

func reasons() []string { return []string{runaway, failuresAddress, failuresClient, scanning} }

const (
	noticeEvery = 10 * time.Minute // between two lines about the same
	recent      = time.Minute      // for so long after a refusal a client counts as over its budget
	maxNotices  = 1000             // that are told apart; about others there is no line
)

// notice is what a line of the log is about.
type notice struct {
	reason  string
	client  auth.ClientID // zero: none that exists
	network netip.Addr    // zero: any
}

// record is when it was refused last, and when there was a line.
type record struct{ last, logged time.Time }

// notices are what was refused of late.
type notices struct {
	mu    sync.Mutex
	seen  map[notice]*record
	swept time.Time
}

// refused counts, and writes a line at a bounded rate.
func (g *Guard) refused(n notice, more ...any) {
	g.metrics.refusals[n.reason].Inc()
	if !g.notices.due(n, g.config.Counters.Now()) {
		return
	}
	attrs := append([]any{slog.String("reason", n.reason)}, more...)
	if n.network.IsValid() {
		attrs = append(attrs, slog.String("address", n.network.String()))
	}
	if n.client != (auth.ClientID{}) {
		attrs = append(attrs, slog.String("client_id", n.client.String()))
	}
	g.config.Logger.WarnContext(context.Background(), "refusing with 429: see docs/abuse.md", attrs...)
}

// due tells whether there is to be a line.
func (s *notices) due(n notice, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.seen[n]
	if found == nil {
		s.sweep(now)
		if len(s.seen) >= maxNotices {
			return false
		}
		found = &record{}
		s.seen[n] = found
	}
	found.last = now
	if !found.logged.IsZero() && now.Sub(found.logged) < noticeEvery {
		return false
	}
	found.logged = now
	return true
}

// sweep forgets what was refused long ago, at most once a second.
func (s *notices) sweep(now time.Time) {
	if len(s.seen) < maxNotices || now.Sub(s.swept) < time.Second {
		return
	}
	s.swept = now
	for n, r := range s.seen {
		if now.Sub(r.last) >= noticeEvery {
			delete(s.seen, n)
		}
	}
}

// overBudget is how many clients were refused for their number of tokens within a minute.
func (g *Guard) overBudget() float64 {
	now := g.config.Counters.Now()
	g.notices.mu.Lock()
	defer g.notices.mu.Unlock()
	clients := map[auth.ClientID]struct{}{}
	for n, r := range g.notices.seen {
		if n.reason == runaway && now.Sub(r.last) < recent {
			clients[n.client] = struct{}{}
		}
	}
	return float64(len(clients))
}
