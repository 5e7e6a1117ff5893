package redisstore

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// What a look-up and a write can come to.
const (
	lookupHit     = "hit"
	lookupMiss    = "miss"
	lookupInvalid = "invalid" // there was a record, and it did not verify or was expired
	lookupFailed  = "failed"  // Redis did not answer
	lookupSkipped = "skipped" // Redis was not asked

	writeStored      = "stored"
	writeFull        = "dropped_full"        // too much was queued
	writeUnavailable = "dropped_unavailable" // Redis did not answer, or there are no keys
	writeUnfit       = "dropped_unfit"       // dead, of an unknown API, or too long
)

type metrics struct {
	lookups *prometheus.CounterVec
	writes  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_token_store_lookups_total",
			Help: "Look-ups in the shared token store by outcome: hit, miss, invalid (did not verify), failed, skipped.",
		}, []string{"outcome"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_token_store_writes_total",
			Help: "Tokens for the shared token store by outcome: stored, dropped_full, dropped_unavailable, dropped_unfit.",
		}, []string{"outcome"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lookups, m.writes} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the token store: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) looked(outcome string) { m.lookups.WithLabelValues(outcome).Inc() }

func (m *metrics) wrote(outcome string, n int) { m.writes.WithLabelValues(outcome).Add(float64(n)) }
