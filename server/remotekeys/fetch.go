package remotekeys

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// fetch asks for a source when it is its turn.
func (k *Keys) fetch(ctx context.Context, source Source) (answer, error) {
	done, err := k.turn(ctx)
	if err != nil {
		k.metrics.limited.Inc()
		return answer{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err := source.fetch(ctx, k.config.Client)
	if err != nil {
		k.metrics.failed.Inc()
		return answer{}, err
	}
	k.metrics.fetched.Inc()
	return got, nil
}

// turn waits until one more may be asked. A cache that is not let tries again later.
func (k *Keys) turn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, waitForTurn)
	defer cancel()
	if err := k.limiter.Wait(ctx); err != nil {
		return nil, errBusy
	}
	select {
	case k.turns <- struct{}{}:
		return func() { <-k.turns }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// metrics count fetches. No label names a source: clients choose those.
type metrics struct{ fetched, failed, limited, evicted prometheus.Counter }

func newMetrics(r prometheus.Registerer, held func() float64) (*metrics, error) {
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_remote_key_set_fetches_total",
		Help: "Key sets of clients and trusted issuers asked for, by outcome: ok, failed, limited (not asked: too many at once).",
	}, []string{"outcome"})
	evicted := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_remote_key_sets_evicted_total",
		Help: "Key sets of clients and trusted issuers let go for others while they were in use.",
	})
	sets := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_remote_key_sets",
		Help: "Key sets of clients and trusted issuers that are held.",
	}, held)
	if r != nil {
		for _, collector := range []prometheus.Collector{fetches, evicted, sets} {
			if err := r.Register(collector); err != nil {
				return nil, fmt.Errorf("register metrics of keys of others: %w", err)
			}
		}
	}
	return &metrics{
		fetched: fetches.WithLabelValues("ok"),
		failed:  fetches.WithLabelValues("failed"),
		limited: fetches.WithLabelValues("limited"),
		evicted: evicted,
	}, nil
}
