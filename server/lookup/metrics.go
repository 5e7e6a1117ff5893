package lookup

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts where tokens were found. The counters are taken from their vector once: looking one up costs more than the
// memory that it counts.
type metrics struct {
	rejected         prometheus.Counter // malformed: too long, or an opaque token whose checksum does not hold
	memoryHit        prometheus.Counter
	storeHit         prometheus.Counter
	databaseHit      prometheus.Counter
	databaseMiss     prometheus.Counter // no such row: with a good checksum, so a made-up token rather than a mistyped one
	databaseUnproven prometheus.Counter // the row is there and the secret part is not its own
	databaseFailed   prometheus.Counter
	databaseShed     prometheus.Counter // not asked, since too many look-ups were under way
	signatureGood    prometheus.Counter
	signatureBad     prometheus.Counter
	signatureFailed  prometheus.Counter // could not be checked
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_token_lookups_total",
		Help: "Presented tokens by the layer that settled them (format, memory, store, database, signature) and outcome.",
	}, []string{"layer", "outcome"})
	if r != nil {
		if err := r.Register(lookups); err != nil {
			return nil, fmt.Errorf("register metrics of token look-ups: %w", err)
		}
	}
	return &metrics{
		rejected:         lookups.WithLabelValues("format", "malformed"),
		memoryHit:        lookups.WithLabelValues("memory", "hit"),
		storeHit:         lookups.WithLabelValues("store", "hit"),
		databaseHit:      lookups.WithLabelValues("database", "hit"),
		databaseMiss:     lookups.WithLabelValues("database", "unknown"),
		databaseUnproven: lookups.WithLabelValues("database", "unproven"),
		databaseFailed:   lookups.WithLabelValues("database", "failed"),
		databaseShed:     lookups.WithLabelValues("database", "shed"),
		signatureGood:    lookups.WithLabelValues("signature", "good"),
		signatureBad:     lookups.WithLabelValues("signature", "bad"),
		signatureFailed:  lookups.WithLabelValues("signature", "failed"),
	}, nil
}
