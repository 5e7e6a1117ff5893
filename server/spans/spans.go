// Package spans says by OpenTelemetry what the authorization server asked of its database and of its token store on behalf of a request:
// below the span of the request there is one for each question and each write, and the request's own span says where a token was found.
//
// A Recorder stands in for a part of the server where that part is wired to the next. A nil one, for a server that exports no
// traces, leaves every part as it is; and a request that is not recorded costs no allocation. Spans hold ids of tokens, which are no
// credentials, never a token.
package spans

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
)

// The attributes that are not of the semantic conventions.
const (
	// lookupKey is on the span of a request: where the token that was presented was found, one of the Found constants.
	lookupKey = attribute.Key("countersign.lookup")
	// tokenKey is the token's jti.
	tokenKey = attribute.Key("countersign.token_id")
	// resultKey is how a look-up ended: hit, miss or failed.
	resultKey = attribute.Key("countersign.result")
	// laterKey is set on what happens off the answer's path, so that its span may outlast that of the request.
	laterKey = attribute.Key("countersign.off_path")
)

// Where a presented token was found.
const (
	foundInMemory   = "memory"
	foundInStore    = "token_store"
	foundInDatabase = "database"
	foundBySigner   = "signature"
)

// The systems of a token store.
const (
	InProcess = "in_process"
	Redis     = "redis"
)

// Recorder makes the spans. A nil one makes none. Its methods may be called by any number of goroutines.
type Recorder struct {
	tracer   trace.Tracer
	database attribute.KeyValue
}

// New returns a Recorder. database is the system's name in the semantic conventions (db.system.name), such as mysql.
func New(provider trace.TracerProvider, database string) *Recorder {
	const scope = "github.com/countersign/countersign/server/spans"
	return &Recorder{tracer: provider.Tracer(scope), database: semconv.DBSystemNameKey.String(database)}
}

// Committed makes the span of the transaction by which a token was recorded. It is for issue.Config.
func (r *Recorder) Committed(ctx context.Context, c issue.Commit) {
	if r == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	_, span := r.tracer.Start(ctx, "INSERT tokens", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(c.Began),
		trace.WithAttributes(r.database, semconv.DBOperationName("INSERT"), semconv.DBCollectionName("tokens"),
			semconv.DBOperationBatchSize(c.Rows), tokenKey.String(c.Token.String())))
	fail(span, c.Err)
	span.End(trace.WithTimestamp(c.Ended))
}

// Remembering begins the span of a write to the token store and returns what ends it, which may be called by another goroutine; nil if
// the request is not recorded. later says that the answer does not wait for it.
func (r *Recorder) Remembering(ctx context.Context, id auth.TokenID, system string, later bool) (done func(error)) {
	if r == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	_, span := r.tracer.Start(ctx, "SET token_store", trace.WithSpanKind(kindOf(system)), trace.WithAttributes(
		semconv.DBSystemNameKey.String(system), semconv.DBOperationName("SET"), tokenKey.String(id.String()), laterKey.Bool(later)))
	return func(err error) {
		fail(span, err)
		span.End()
	}
}

func kindOf(system string) trace.SpanKind {
	if system == InProcess {
		return trace.SpanKindInternal
	}
	return trace.SpanKindClient
}

// Ledger is the database, of which spans tell when it was asked for a token.
func (r *Recorder) Ledger(database auth.Ledger) auth.Ledger {
	if r == nil {
		return database
	}
	return ledger{database, r}
}

type ledger struct {
	auth.Ledger

	recorder *Recorder
}

// Token implements auth.Ledger.
func (l ledger) Token(ctx context.Context, id auth.TokenID) (*auth.Token, error) {
	request := trace.SpanFromContext(ctx)
	if !request.IsRecording() {
		return l.Ledger.Token(ctx, id)
	}
	ctx, span := l.recorder.tracer.Start(ctx, "SELECT tokens", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		l.recorder.database, semconv.DBOperationName("SELECT"), semconv.DBCollectionName("tokens"), tokenKey.String(id.String())))
	defer span.End()
	t, err := l.Ledger.Token(ctx, id)
	switch {
	case err == nil:
		request.SetAttributes(lookupKey.String(foundInDatabase))
		span.SetAttributes(resultKey.String("hit"))
	case errors.Is(err, fault.NotFound): // an answer like any other
		span.SetAttributes(resultKey.String("miss"))
	default:
		span.SetAttributes(resultKey.String("failed"))
		fail(span, err)
	}
	return t, err
}

// Memory is what this process remembers, of which the request's span tells that it knew the token.
func (r *Recorder) Memory(store auth.TokenStore) auth.TokenStore {
	if r == nil {
		return store
	}
	return memory{store}
}

type memory struct{ auth.TokenStore }

// Lookup implements auth.TokenStore.
func (m memory) Lookup(ctx context.Context, key auth.TokenKey, apis []auth.APIID) *auth.Token {
	t := m.TokenStore.Lookup(ctx, key, apis)
	if t != nil {
		if request := trace.SpanFromContext(ctx); request.IsRecording() {
			request.SetAttributes(lookupKey.String(foundInMemory), tokenKey.String(t.ID.String()))
		}
	}
	return t
}

// Shared is the token store of all servers, of which spans tell when it was asked.
func (r *Recorder) Shared(store auth.TokenStore, system string) auth.TokenStore {
	if r == nil {
		return store
	}
	return shared{store, r, system}
}

type shared struct {
	auth.TokenStore

	recorder *Recorder
	system   string
}

// Lookup implements auth.TokenStore.
func (s shared) Lookup(ctx context.Context, key auth.TokenKey, apis []auth.APIID) *auth.Token {
	request := trace.SpanFromContext(ctx)
	if !request.IsRecording() {
		return s.TokenStore.Lookup(ctx, key, apis)
	}
	ctx, span := s.recorder.tracer.Start(ctx, "GET token_store", trace.WithSpanKind(kindOf(s.system)), trace.WithAttributes(
		semconv.DBSystemNameKey.String(s.system), semconv.DBOperationName("GET")))
	defer span.End()
	t := s.TokenStore.Lookup(ctx, key, apis)
	if t == nil {
		span.SetAttributes(resultKey.String("miss")) // or failed: a store that does not answer has nothing
		return nil
	}
	span.SetAttributes(resultKey.String("hit"), tokenKey.String(t.ID.String()))
	request.SetAttributes(lookupKey.String(foundInStore))
	return t
}

// Verify is a check of JWTs, of which the request's span tells that a signature settled the matter.
func (r *Recorder) Verify(check func(context.Context, string) (*auth.Token, error)) func(context.Context, string) (*auth.Token, error) {
	if r == nil {
		return check
	}
	return func(ctx context.Context, presented string) (*auth.Token, error) {
		t, err := check(ctx, presented)
		if request := trace.SpanFromContext(ctx); err == nil && request.IsRecording() {
			request.SetAttributes(lookupKey.String(foundBySigner), tokenKey.String(t.ID.String()))
		}
		return t, err
	}
}

// fail says on a span why it failed, if it did. Errors of the storage hold no secret.
func fail(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}
