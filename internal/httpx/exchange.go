package httpx

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Exchange is what is known of one request and its answer. It belongs to the goroutine that serves the request.
type Exchange struct {
	ID      string       // the request id
	Address netip.Addr   // of the client, as far as trusted proxies say
	Route   string       // the pattern that matched, never the path as sent
	Client  string       // the client id, once it is authenticated
	Fault   *fault.Error // what went wrong, nil if nothing did
	Quiet   bool         // a probe, not worth a line at the info level
	Trusted bool         // it comes straight from a trusted proxy
	Details []slog.Attr  // what the line of the access log says besides

	// Attachment is what the handler keeps for what it calls.
	Attachment any

	began  time.Time
	cause  error // behind Fault, for the log
	status int   // 0: no answer yet
	bytes  int64
}

// Status returns the status that was answered, 0 before.
func (x *Exchange) Status() int { return x.status }

// Answered notes a status that was written past the ResponseWriter, as when a connection is taken over.
func (x *Exchange) Answered(status int) { x.status = status }

type exchangeKey struct{}

// From returns the exchange that ctx belongs to, or an empty one outside of any.
func From(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return &Exchange{}
}

// Edge is the outermost layer of a listener. The zero value of Proxies trusts nobody.
type Edge struct {
	Log     *slog.Logger
	Proxies Proxies
	Now     func() time.Time
	Write   FaultWriter // for a handler that panicked
}

// Wrap gives every request an Exchange and an id, writes its line of the access log, and keeps a panic from ending more
// than its request.
func (e *Edge) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := e.Now()
		x := &Exchange{ID: e.requestID(r), Address: e.Proxies.Client(r), Trusted: e.Proxies.Trusts(r), began: began}
		rec := &recorder{ResponseWriter: w, exchange: x}
		outer := r
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		w.Header().Set("X-Request-Id", x.ID)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if len(r.TransferEncoding) > 0 { // RFC 9112 §6.1: there may have been a Content-Length too, and somebody who believed it
			w.Header().Set("Connection", "close")
		}
		defer func() {
			outer.Pattern = x.Route // as http.ServeMux does, for what is laid around the Edge
			e.end(rec, r, e.Now().Sub(began), recover())
		}()
		next.ServeHTTP(rec, r)
	})
}

// end closes the exchange. panicked is what the handler panicked with, nil if it returned.
func (e *Edge) end(rec *recorder, r *http.Request, took time.Duration, panicked any) {
	halfway := panicked != nil && rec.begun
	if panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // net/http compares this very value
		Fail(rec, r, fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()), e.Write)
	}
	e.log(r, rec.exchange, took)
	if halfway || panicked == http.ErrAbortHandler { //nolint:errorlint // net/http compares this very value
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

func (e *Edge) log(r *http.Request, x *Exchange, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case x.Quiet:
		level = slog.LevelDebug
	case x.status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case x.status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	if !e.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10+len(x.Details))
	attrs = append(attrs,
		slog.String("request_id", x.ID), slog.String("method", r.Method), slog.String("route", x.Route),
		slog.Int("status", x.status), slog.Int64("duration_us", took.Microseconds()),
		slog.Int64("bytes", x.bytes), slog.String("address", x.Address.String()))
	if x.Client != "" {
		attrs = append(attrs, slog.String("client_id", x.Client))
	}
	if x.Fault != nil {
		attrs = append(attrs, slog.String("fault", string(x.Fault.Code)))
		if x.status >= http.StatusInternalServerError {
			attrs = append(attrs, slog.Any("error", x.cause))
		}
	}
	attrs = append(attrs, x.Details...)
	// Not by the logger's own method: it walks the stack to find this line, each time.
	record := slog.NewRecord(x.began.Add(took), level, "request", 0)
	record.AddAttrs(attrs...)
	_ = e.Log.Handler().Handle(r.Context(), record) // as every logger does
}

const maxRequestID = 64

// requestID is the one that a trusted proxy gave, or a new one of 26 characters.
func (e *Edge) requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && validRequestID(given[0]) && e.Proxies.Trusts(r) {
		return given[0]
	}
	return rand.Text()
}

func validRequestID(text string) bool {
	if text == "" || len(text) > maxRequestID {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// recorder notes what is answered.
type recorder struct {
	http.ResponseWriter
	exchange *Exchange
	begun    bool
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if (status >= http.StatusOK || status == http.StatusSwitchingProtocols) && !w.begun {
		w.begun, w.exchange.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.exchange.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher, which routers look for.
func (w *recorder) Flush() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}
