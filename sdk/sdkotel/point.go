package sdkotel

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The attributes.
const (
	issuerKey   attribute.Key = "countersign.issuer"
	clientKey   attribute.Key = "countersign.client_id"
	audienceKey attribute.Key = "countersign.audience"
	resourceKey attribute.Key = "countersign.resource"
	scopeKey    attribute.Key = "countersign.scope"
	tokenKey    attribute.Key = "countersign.token_id"
	resultKey   attribute.Key = "countersign.result"
	answerKey   attribute.Key = "countersign.answer"
	checkKey    attribute.Key = "countersign.check"
	kindKey     attribute.Key = "countersign.kind"
)

// point is where figures go, and what they are about.
type point struct {
	to    metric.Observer
	about []attribute.KeyValue
}

func (p point) count(i metric.Int64Observable, n uint64, more ...attribute.KeyValue) {
	p.to.ObserveInt64(i, number(n), p.attributes(more))
}

func (p point) level(i metric.Int64Observable, n int, more ...attribute.KeyValue) {
	p.to.ObserveInt64(i, int64(n), p.attributes(more))
}

func (p point) seconds(i metric.Float64Observable, d time.Duration) {
	p.to.ObserveFloat64(i, d.Seconds(), p.attributes(nil))
}

// outcomes counts what went well and what failed.
func (p point) outcomes(i metric.Int64Observable, all, failed uint64) {
	p.count(i, all-failed, resultKey.String("ok"))
	p.count(i, failed, resultKey.String("failed"))
}

func (p point) attributes(more []attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributes(slices.Concat(p.about, more)...)
}
