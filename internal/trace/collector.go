package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The bounds of what a Collector keeps: at most 32 MiB of spans.
const (
	maxTraces = 32 // the oldest make room
	maxSpans  = 1000
	maxBytes  = 1 << 20 // of a trace's spans, encoded
)

// Collector keeps the spans of the newest traces. Its methods may be called by any number of goroutines.
type Collector struct {
	mu     sync.Mutex
	traces map[trace.TraceID]*kept
	oldest []trace.TraceID
}

// NewCollector returns one that has nothing yet.
func NewCollector() *Collector { return &Collector{traces: map[trace.TraceID]*kept{}} }

// kept is what there is of a trace.
type kept struct {
	spans   []*otlp.ResourceSpans
	seen    map[trace.SpanID]bool // an exporter that got no answer sends again
	bytes   int
	changed chan struct{} // closed when spans are added
}

// Trace returns the spans of a trace once there are more than above, or what there is when ctx ends.
func (c *Collector) Trace(ctx context.Context, id trace.TraceID, above int) []*otlp.ResourceSpans {
	for {
		c.mu.Lock()
		t := c.traces[id]
		if t == nil && ctx.Err() != nil {
			c.mu.Unlock()
			return nil
		}
		if t == nil {
			t = c.open(id) // to be told when the first span comes
		}
		spans, changed := slices.Clone(t.spans), t.changed
		c.mu.Unlock()
		if len(spans) > above || ctx.Err() != nil {
			return spans
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// open makes room for a trace. mu is held.
func (c *Collector) open(id trace.TraceID) *kept {
	if len(c.oldest) == maxTraces {
		delete(c.traces, c.oldest[0])
		c.oldest = c.oldest[1:]
	}
	t := &kept{seen: map[trace.SpanID]bool{}, changed: make(chan struct{})}
	c.traces[id] = t
	c.oldest = append(c.oldest, id)
	return t
}

// add keeps the spans, all of them well-formed, and returns how many there was no room for.
func (c *Collector) add(all []*otlp.ResourceSpans) (rejected int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range all {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if !c.keep(of, scope, s) {
					rejected++
				}
			}
		}
	}
	return rejected
}

// keep adds a span to its trace, and reports false if that has no room. mu is held.
func (c *Collector) keep(of *otlp.ResourceSpans, scope *otlp.ScopeSpans, s *otlp.Span) bool {
	id, span := trace.TraceID(s.GetTraceId()), trace.SpanID(s.GetSpanId())
	t := c.traces[id]
	if t == nil {
		t = c.open(id)
	}
	if t.seen[span] {
		return true
	}
	one := &otlp.ResourceSpans{
		Resource: of.GetResource(), SchemaUrl: of.GetSchemaUrl(),
		ScopeSpans: []*otlp.ScopeSpans{{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl(), Spans: []*otlp.Span{s}}},
	}
	size := proto.Size(one)
	if len(t.seen) == maxSpans || t.bytes+size > maxBytes {
		return false
	}
	t.seen[span] = true
	t.bytes += size
	t.spans = append(t.spans, one)
	close(t.changed)
	t.changed = make(chan struct{})
	return true
}

// check says what is wrong with spans that were sent.
func check(all []*otlp.ResourceSpans) error {
	for _, of := range all {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if err := checkSpan(s); err != nil {
					return fmt.Errorf("span %q: %w", s.GetName(), err)
				}
			}
		}
	}
	return nil
}

func checkSpan(s *otlp.Span) error {
	const latest = 1<<63 - 1
	switch start, end := s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(); {
	case len(s.GetTraceId()) != len(trace.TraceID{}) || !trace.TraceID(s.GetTraceId()).IsValid():
		return errors.New("trace_id: want 16 bytes, not all of them zero")
	case len(s.GetSpanId()) != len(trace.SpanID{}) || !trace.SpanID(s.GetSpanId()).IsValid():
		return errors.New("span_id: want 8 bytes, not all of them zero")
	case len(s.GetParentSpanId()) != 0 && len(s.GetParentSpanId()) != len(trace.SpanID{}):
		return errors.New("parent_span_id: want 8 bytes or none")
	case start > end || end > latest:
		return errors.New("end_time_unix_nano: want a time that is not before start_time_unix_nano")
	}
	return nil
}
