// Package trace is what `countersign demo trace` does: it gathers the spans that the parts of `up` export, makes of those of one request
// the hops of the picture, and prints them.
package trace

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span as far as hops are made of it.
type Span struct {
	TraceID string `json:"trace_id"`
	ID      string `json:"span_id"`
	Parent  string `json:"parent_span_id,omitempty"`
	// Service and Instance are the resource's service.name and service.instance.id.
	Service  string    `json:"service"`
	Instance string    `json:"instance,omitempty"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind"` // server, client, internal, producer or consumer
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	// Attributes have their values as text.
	Attributes map[string]string `json:"attributes,omitempty"`
	Error      string            `json:"error,omitempty"` // the status's message, if its code is error
}

// took is the span's duration.
func (s *Span) took() time.Duration { return s.End.Sub(s.Start) }

// Spans returns the spans of a trace in the order in which they began.
func Spans(all []*otlp.ResourceSpans) []Span {
	var spans []Span
	for _, of := range all {
		about := attributes(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := newSpan(s)
				one.Service, one.Instance = about["service.name"], about["service.instance.id"]
				spans = append(spans, one)
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

func newSpan(s *otlp.Span) Span {
	one := Span{
		TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Name: s.GetName(), Kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
		Start: instant(s.GetStartTimeUnixNano()), End: instant(s.GetEndTimeUnixNano()), Attributes: attributes(s.GetAttributes()),
	}
	if status := s.GetStatus(); status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
		one.Error = status.GetMessage()
		if one.Error == "" {
			one.Error = "error"
		}
	}
	return one
}

func instant(nanoseconds uint64) time.Time {
	return time.Unix(0, int64(nanoseconds)).UTC() //nolint:gosec // the collector refuses what does not fit
}

func attributes(all []*common.KeyValue) map[string]string {
	text := make(map[string]string, len(all))
	for _, a := range all {
		text[a.GetKey()] = value(a.GetValue())
	}
	return text
}

func value(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *common.AnyValue_ArrayValue:
		parts := make([]string, len(v.ArrayValue.GetValues()))
		for i, one := range v.ArrayValue.GetValues() {
			parts[i] = value(one)
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v.GetValue())
}
