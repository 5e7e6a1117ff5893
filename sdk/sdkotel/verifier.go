package sdkotel

import (
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/countersign/countersign/sdk"
)

// ObserveVerifier has what [sdk.Verifier.Describe] says be read at each collection of metrics, until stop is called. Verifiers made by
// [sdk.Verifier.ForAudience] count as one, so observe only one of them.
func ObserveVerifier(provider metric.MeterProvider, verifier *sdk.Verifier) (stop func() error, err error) {
	if verifier == nil {
		return nil, errors.New("the verifier is nil")
	}
	i, err := newInstruments(provider)
	if err != nil {
		return nil, err
	}
	tokens, keys, revocations, store := newTokenMetrics(i), newKeyMetrics(i), newRevocationMetrics(i), newStoreMetrics(i)
	return i.observe(func(to metric.Observer) {
		state := verifier.Describe()
		p := point{to, []attribute.KeyValue{issuerKey.String(state.Issuer), audienceKey.String(state.Audience)}}
		tokens.observe(p, &state.Tokens)
		keys.observe(p, &state.Keys)
		revocations.observe(p, &state.Revocations)
		if state.TokenStore != nil {
			store.observe(p, state.TokenStore)
		}
	})
}

type tokenMetrics struct {
	verifications, checks, entries, limit, evictions metric.Int64Observable
}

func newTokenMetrics(i *instruments) *tokenMetrics {
	return &tokenMetrics{
		verifications: i.counter("countersign.sdk.verifications", "{verification}", "Tokens that were presented."),
		checks:        i.counter("countersign.sdk.checks", "{check}", "What had to be done for tokens that memory did not answer for."),
		entries:       i.level("countersign.sdk.cache.entries", "{token}", "Tokens that are remembered."),
		limit:         i.level("countersign.sdk.cache.limit", "{token}", "Tokens that there is room for."),
		evictions:     i.counter("countersign.sdk.cache.evictions", "{token}", "Tokens that had to make room before they expired."),
	}
}

func (m *tokenMetrics) observe(p point, s *sdk.TokensState) {
	p.count(m.verifications, s.FromMemory, resultKey.String("ok"), answerKey.String("memory"))
	checked := answerKey.String("checked")
	p.count(m.verifications, s.Accepted, resultKey.String("ok"), checked)
	p.count(m.verifications, s.Invalid, resultKey.String("invalid_token"), checked)
	p.count(m.verifications, s.InsufficientScope, resultKey.String("insufficient_scope"), checked)
	p.count(m.verifications, s.Forbidden, resultKey.String("forbidden"), checked)
	p.count(m.verifications, s.Unavailable, resultKey.String("unavailable"), checked)
	p.count(m.checks, s.Signatures, checkKey.String("signature"))
	p.count(m.checks, s.Records, checkKey.String("token_store"))
	p.count(m.checks, s.Introspections, checkKey.String("introspection"))
	p.level(m.entries, s.Remembered)
	p.level(m.limit, s.Slots)
	p.count(m.evictions, s.Evicted)
}

type keyMetrics struct {
	held, fetches metric.Int64Observable
	age           metric.Float64Observable
}

func newKeyMetrics(i *instruments) *keyMetrics {
	return &keyMetrics{
		held:    i.level("countersign.sdk.keys.held", "{key}", "Keys of the issuer."),
		age:     i.seconds("countersign.sdk.keys.age", "How long ago the issuer's keys were asked for."),
		fetches: i.counter("countersign.sdk.keys.fetches", "{fetch}", "Fetches of the issuer's keys."),
	}
}

func (m *keyMetrics) observe(p point, s *sdk.KeysState) {
	p.level(m.held, len(s.Keys))
	if !s.Fetched.IsZero() {
		p.seconds(m.age, time.Since(s.Fetched))
	}
	p.outcomes(m.fetches, s.Fetches, s.Failures)
}

type storeMetrics struct{ lookups metric.Int64Observable }

func newStoreMetrics(i *instruments) *storeMetrics {
	return &storeMetrics{i.counter("countersign.sdk.token_store.lookups", "{lookup}", "Look-ups in the issuer's token store.")}
}

func (m *storeMetrics) observe(p point, s *sdk.TokenStoreState) {
	p.count(m.lookups, s.Hits, resultKey.String("hit"))
	p.count(m.lookups, s.Misses, resultKey.String("miss"))
	p.count(m.lookups, s.Invalid, resultKey.String("invalid"))
	p.count(m.lookups, s.Failed, resultKey.String("failed"))
	p.count(m.lookups, s.Skipped, resultKey.String("skipped"))
}
