package sdkotel

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/countersign/countersign/sdk"
)

type revocationMetrics struct {
	entries, polls, connected, streams, events metric.Int64Observable
	lease, age                                 metric.Float64Observable
}

func newRevocationMetrics(i *instruments) *revocationMetrics {
	return &revocationMetrics{
		lease:     i.seconds("countersign.sdk.revocation.lease", "For how long strict routes still go by memory."),
		age:       i.seconds("countersign.sdk.revocation.age", "How long ago the revocations were last known to be all."),
		entries:   i.level("countersign.sdk.revocation.entries", "{revocation}", "Revocations that are held."),
		polls:     i.counter("countersign.sdk.revocation.polls", "{poll}", "Polls of the revocation feed."),
		connected: i.level("countersign.sdk.revocation.connected", "{stream}", "Whether a stream of the revocation feed is open."),
		streams:   i.counter("countersign.sdk.revocation.streams", "{stream}", "Streams of the revocation feed that were opened."),
		events:    i.counter("countersign.sdk.revocation.events", "{event}", "Events that came by a stream of the revocation feed."),
	}
}

func (m *revocationMetrics) observe(p point, s *sdk.RevocationState) {
	if s.Feed == "none" || s.Feed == "closed" { // a lease of 0 would be an alarm
		return
	}
	p.seconds(m.lease, s.LeaseLeft)
	if s.Good {
		p.seconds(m.age, s.Age)
	}
	for kind, n := range s.Entries {
		p.level(m.entries, n, kindKey.String(kind))
	}
	p.outcomes(m.polls, s.Polls, s.PollFailures)
	connected := 0
	if s.Streaming {
		connected = 1
	}
	p.level(m.connected, connected)
	p.count(m.streams, s.Streams)
	p.count(m.events, s.Events)
}
