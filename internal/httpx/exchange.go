package httpx

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	took   time.Duration // 0: it is not over yet
	method string
	cause  error // behind Fault, for the log
	status int   // 0: no answer yet
	bytes  int64
}

// Took returns how long the request has taken when it is first asked, at the end of its handler or after it.
func (x *Exchange) Took(now func() time.Time) time.Duration {
	if x.took == 0 {
		x.took = now().Sub(x.began)
	}
	return x.took
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

// passage is all that a request is given here, in one piece of memory: it is the context of the request, and writes its answer.
type passage struct {
	context.Context

	exchange Exchange
	recorder recorder
	id       [1]string // as a header has it
}

// Value implements context.Context.
func (p *passage) Value(key any) any {
	if key == (exchangeKey{}) {
		return &p.exchange
	}
	return p.Context.Value(key)
}

// nosniff and the like are values of headers that are always the same. A Header may hold them, since nothing writes into the values of one.
//
//nolint:gochecknoglobals // constants in all but name
var nosniff = []string{"nosniff"}

// Wrap gives every request an Exchange and an id, writes its line of the access log, and keeps a panic from ending more
// than its request.
func (e *Edge) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &passage{Context: r.Context(), exchange: Exchange{
			ID: e.requestID(r), Address: e.Proxies.Client(r), Trusted: e.Proxies.Trusts(r), began: e.Now(), method: r.Method,
		}}
		p.recorder, p.id[0] = recorder{ResponseWriter: w, exchange: &p.exchange}, p.exchange.ID
		outer := r
		r = r.WithContext(p)
		header := w.Header()
		header["X-Request-Id"], header["X-Content-Type-Options"] = p.id[:], nosniff
		if len(r.TransferEncoding) > 0 { // RFC 9112 §6.1: there may have been a Content-Length too, and somebody who believed it
			header.Set("Connection", "close")
		}
		defer func() {
			outer.Pattern = p.exchange.Route // as http.ServeMux does, for what is laid around the Edge
			p.exchange.Took(e.Now)
			e.end(&p.recorder, r, recover())
		}()
		next.ServeHTTP(&p.recorder, r)
	})
}

// end closes the exchange. panicked is what the handler panicked with, nil if it returned.
func (e *Edge) end(rec *recorder, r *http.Request, panicked any) {
	halfway := panicked != nil && rec.begun
	if panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // net/http compares this very value
		Fail(rec, r, fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()), e.Write)
	}
	e.log(r.Context(), rec.exchange)
	if halfway || panicked == http.ErrAbortHandler { //nolint:errorlint // net/http compares this very value
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

const maxRequestID = 64

// requestID is the one that a trusted proxy gave, or a new one of 26 characters.
func (e *Edge) requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && validRequestID(given[0]) && e.Proxies.Trusts(r) {
		return given[0]
	}
	return newRequestID()
}

// newRequestID returns 130 random bits in base32. They keep requests apart and are no secret, so that the kernel need not be asked for them.
func newRequestID() string {
	const alphabet, size, each, bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26, 12, 5
	var text [size]byte
	var random uint64
	for i := range text {
		if i%each == 0 {
			random = rand.Uint64() //nolint:gosec // see above
		}
		text[i] = alphabet[random%(1<<bits)]
		random >>= bits
	}
	return string(text[:])
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
