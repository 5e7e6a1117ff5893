package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
)

// verifierCollector tells how the verifiers are when it is asked.
type verifierCollector struct {
	process  *process
	tokens   *prometheus.Desc
	kept     *prometheus.Desc
	lease    *prometheus.Desc
	age      *prometheus.Desc
	failures *prometheus.Desc
	keys     *prometheus.Desc
}

func newVerifierCollector(p *process) *verifierCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("countersign_gateway_"+name, help, append([]string{"issuer"}, labels...), nil)
	}
	return &verifierCollector{
		process: p,
		tokens:  desc("tokens_total", "Tokens judged, by what it took: memory is a cache hit.", "by"),
		kept:    desc("tokens_remembered", "Tokens in memory."),
		lease:   desc("lease_seconds", "For how long strict routes go by memory; 0: they introspect, or refuse."),
		age:     desc("revocations_age_seconds", "How long ago the revocations were last known to be all."),
		failures: desc("revocation_poll_failures_total",
			"Polls of the revocation feed that failed."),
		keys: desc("keys", "Public keys of the issuer that are held."),
	}
}

// Describe implements prometheus.Collector.
func (c *verifierCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.tokens, c.kept, c.lease, c.age, c.failures, c.keys} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *verifierCollector) Collect(metrics chan<- prometheus.Metric) {
	g := c.process.current.Load()
	if g == nil {
		return
	}
	for name, v := range g.gateway.cfg.Verifiers {
		s := v.Describe()
		counter := func(d *prometheus.Desc, n uint64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{name}, labels...)...)
		}
		gauge := func(d *prometheus.Desc, n float64) {
			metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, name)
		}
		counter(c.tokens, s.Tokens.FromMemory, "memory")
		counter(c.tokens, s.Tokens.Signatures, "signature")
		counter(c.tokens, s.Tokens.Records, "token_store")
		counter(c.tokens, s.Tokens.Introspections, "introspection")
		counter(c.failures, s.Revocations.PollFailures)
		gauge(c.kept, float64(s.Tokens.Remembered))
		gauge(c.lease, s.Revocations.LeaseLeft.Seconds())
		gauge(c.age, s.Revocations.Age.Seconds())
		gauge(c.keys, float64(len(s.Keys.Keys)))
	}
}
