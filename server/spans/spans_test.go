package spans_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
	"github.com/countersign/countersign/server/spans"
)

// world is a recorder with stores behind it that know one token, or none.
type world struct {
	*testing.T

	recorder *spans.Recorder
	ended    *tracetest.SpanRecorder
	tracer   trace.Tracer
	known    *auth.Token
	failure  error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ended := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(ended), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
	return &world{T: t, recorder: spans.New(provider, "mariadb"), ended: ended, tracer: provider.Tracer("test"), known: &auth.Token{ID: auth.TokenID{7}}}
}

func (w *world) Lookup(context.Context, auth.TokenKey, []auth.APIID) *auth.Token { return w.known }
func (w *world) Remember(auth.TokenKey, *auth.Token)                             {}

// ledger is a database that is asked for tokens.
type ledger struct {
	auth.Ledger

	w *world
}

func (l ledger) Token(context.Context, auth.TokenID) (*auth.Token, error) {
	return l.w.known, l.w.failure
}

// within makes a request's span, does what is traced, and returns that span and the one below, if any.
func (w *world) within(do func(ctx context.Context)) (request, below sdktrace.ReadOnlySpan) {
	w.Helper()
	before := len(w.ended.Ended())
	ctx, span := w.tracer.Start(w.Context(), "request")
	do(ctx)
	span.End()
	for _, s := range w.ended.Ended()[before:] {
		if s.Name() == "request" {
			request = s
			continue
		}
		if below != nil || s.Parent().SpanID() != span.SpanContext().SpanID() {
			w.Fatalf("span %s is not the only one below the request", s.Name())
		}
		below = s
	}
	return request, below
}

func (w *world) has(span sdktrace.ReadOnlySpan, want ...attribute.KeyValue) {
	w.Helper()
	if span == nil {
		w.Fatal("there is no span")
	}
	set := attribute.NewSet(span.Attributes()...)
	for _, a := range want {
		if got, ok := set.Value(a.Key); !ok || got != a.Value {
			w.Errorf("%s: %s is %v, want %v", span.Name(), a.Key, got.String(), a.Value.String())
		}
	}
}

func TestCommitted(t *testing.T) {
	w := newWorld(t)
	began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	commit := issue.Commit{Token: auth.TokenID{7}, Rows: 3, Began: began, Ended: began.Add(2 * time.Millisecond)}
	_, insert := w.within(func(ctx context.Context) { w.recorder.Committed(ctx, commit) })
	w.has(insert, attribute.String("db.system.name", "mariadb"), attribute.String("db.operation.name", "INSERT"),
		attribute.String("db.collection.name", "tokens"), attribute.Int("db.operation.batch.size", 3),
		attribute.String("countersign.token_id", auth.TokenID{7}.String()))
	if insert.Name() != "INSERT tokens" || !insert.StartTime().Equal(began) || !insert.EndTime().Equal(began.Add(2*time.Millisecond)) {
		t.Errorf("%s from %v to %v", insert.Name(), insert.StartTime(), insert.EndTime())
	}
	commit.Err = errors.New("no answer")
	if _, insert = w.within(func(ctx context.Context) { w.recorder.Committed(ctx, commit) }); insert.Status().Code != codes.Error {
		t.Errorf("a commit that failed has the status %v", insert.Status())
	}
}

func TestRemembering(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		system string
		later  bool
		kind   trace.SpanKind
	}{
		{spans.InProcess, false, trace.SpanKindInternal},
		{spans.Redis, true, trace.SpanKindClient},
	} {
		_, set := w.within(func(ctx context.Context) { w.recorder.Remembering(ctx, auth.TokenID{7}, tt.system, tt.later)(nil) })
		w.has(set, attribute.String("db.system.name", tt.system), attribute.Bool("countersign.off_path", tt.later))
		if set.SpanKind() != tt.kind {
			t.Errorf("%s: kind %s", tt.system, set.SpanKind())
		}
	}
}

// The request's span says where the token was found, and each store that was really asked has a span.
func TestLookups(t *testing.T) {
	w := newWorld(t)
	memory, shared, database := w.recorder.Memory(w), w.recorder.Shared(w, spans.Redis), w.recorder.Ledger(ledger{w: w})
	check := w.recorder.Verify(func(context.Context, string) (*auth.Token, error) { return w.known, w.failure })
	found := w.known
	for _, tt := range []struct {
		name    string
		known   *auth.Token
		failure error
		ask     func(context.Context)
		lookup  string // on the request's span; empty: nothing
		result  string // on the span below; empty: there is none
		status  codes.Code
	}{
		{name: "memory knows", known: found, ask: func(ctx context.Context) { memory.Lookup(ctx, auth.TokenKey{}, nil) }, lookup: "memory"},
		{name: "memory does not", ask: func(ctx context.Context) { memory.Lookup(ctx, auth.TokenKey{}, nil) }},
		{name: "store hit", known: found, ask: func(ctx context.Context) { shared.Lookup(ctx, auth.TokenKey{}, nil) }, lookup: "token_store", result: "hit"},
		{name: "store miss", ask: func(ctx context.Context) { shared.Lookup(ctx, auth.TokenKey{}, nil) }, result: "miss"},
		{name: "database hit", known: found, ask: func(ctx context.Context) { _, _ = database.Token(ctx, auth.TokenID{}) }, lookup: "database", result: "hit"},
		{
			name: "database miss", failure: fault.New(fault.NotFound, "no such token"), result: "miss",
			ask: func(ctx context.Context) { _, _ = database.Token(ctx, auth.TokenID{}) },
		},
		{
			name: "database down", failure: fault.New(fault.Unavailable, "no answer"), result: "failed", status: codes.Error,
			ask: func(ctx context.Context) { _, _ = database.Token(ctx, auth.TokenID{}) },
		},
		{name: "signature", known: found, ask: func(ctx context.Context) { _, _ = check(ctx, "") }, lookup: "signature"},
		{name: "bad signature", failure: fault.New(fault.InvalidToken, "bad"), ask: func(ctx context.Context) { _, _ = check(ctx, "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.T, w.known, w.failure = t, tt.known, tt.failure
			request, below := w.within(tt.ask)
			all := attribute.NewSet(request.Attributes()...)
			said, _ := all.Value("countersign.lookup")
			if said.AsString() != tt.lookup {
				t.Errorf("the request says %q, want %q", said.AsString(), tt.lookup)
			}
			if tt.result == "" {
				if below != nil {
					t.Errorf("there is a span %s", below.Name())
				}
				return
			}
			w.has(below, attribute.String("countersign.result", tt.result))
			if below.Status().Code != tt.status {
				t.Errorf("status %v, want %v", below.Status(), tt.status)
			}
		})
	}
}

// Without traces nothing stands between the parts, and a request that is not recorded costs no memory.
func TestNothingIsRecorded(t *testing.T) {
	var none *spans.Recorder
	w := newWorld(t)
	if none.Memory(w) != auth.TokenStore(w) || none.Shared(w, spans.Redis) != auth.TokenStore(w) || none.Ledger(ledger{w: w}) != auth.Ledger(ledger{w: w}) {
		t.Error("something stands between the parts")
	}
	unsampled := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	ctx, span := w.tracer.Start(unsampled, "request")
	defer span.End()
	memory, shared, database := w.recorder.Memory(w), w.recorder.Shared(w, spans.Redis), w.recorder.Ledger(ledger{w: w})
	check := w.recorder.Verify(func(context.Context, string) (*auth.Token, error) { return w.known, nil })
	for name, do := range map[string]func(){
		"committed": func() { w.recorder.Committed(ctx, issue.Commit{Token: auth.TokenID{7}, Rows: 1}) },
		"remember": func() {
			if w.recorder.Remembering(ctx, auth.TokenID{7}, spans.Redis, true) != nil {
				t.Error("a write is recorded")
			}
		},
		"memory":   func() { memory.Lookup(ctx, auth.TokenKey{}, nil) },
		"shared":   func() { shared.Lookup(ctx, auth.TokenKey{}, nil) },
		"database": func() { _, _ = database.Token(ctx, auth.TokenID{}) },
		"verify":   func() { _, _ = check(ctx, "") },
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := len(w.ended.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
}
