package sdkotel

import (
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/countersign/countersign/sdk"
)

// ObserveClient has what [sdk.Client.Describe] says of the client's tokens be read at each collection of metrics, until stop is called. Of
// clients with the same issuer and client id the counters are added up.
func ObserveClient(provider metric.MeterProvider, client *sdk.Client) (stop func() error, err error) {
	if client == nil {
		return nil, errors.New("the client is nil")
	}
	i, err := newInstruments(provider)
	if err != nil {
		return nil, err
	}
	m := newClientMetrics(i)
	return i.observe(func(to metric.Observer) {
		state := client.Describe()
		for n := range state.Sources {
			m.source(to, &state, &state.Sources[n])
		}
	})
}

type clientMetrics struct {
	hits, refreshes, forced metric.Int64Observable
	expiry                  metric.Float64Observable
}

func newClientMetrics(i *instruments) *clientMetrics {
	return &clientMetrics{
		hits:      i.counter("countersign.sdk.token.hits", "{call}", "Calls answered with the token at hand."),
		refreshes: i.counter("countersign.sdk.token.refreshes", "{attempt}", "Attempts to get a token."),
		forced:    i.counter("countersign.sdk.token.forced_refreshes", "{refresh}", "Replacements of a token that a resource refused."),
		expiry:    i.seconds("countersign.sdk.token.time_to_expiry", "For how long the token at hand is still good."),
	}
}

func (m *clientMetrics) source(to metric.Observer, client *sdk.ClientState, s *sdk.TokenSourceState) {
	p := point{to, []attribute.KeyValue{
		issuerKey.String(client.Issuer), clientKey.String(client.ClientID),
		resourceKey.String(s.Resource), scopeKey.String(strings.Join(s.Scopes, " ")),
	}}
	p.count(m.hits, s.Hits)
	p.count(m.refreshes, s.Refreshes, resultKey.String("ok"))
	p.count(m.refreshes, s.Failures, resultKey.String("failed"))
	p.count(m.forced, s.Forced)
	if !s.Expires.IsZero() {
		p.seconds(m.expiry, max(time.Until(s.Expires), 0))
	}
}
