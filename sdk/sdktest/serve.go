package sdktest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"time"
)

// maxForm bounds the body of a request.
const maxForm = 1 << 20

// ServeHTTP answers a request as the issuer does, for tests that bring a server of their own.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	malformed := r.ParseForm()
	endpoint, own := i.route(r)
	wait := i.waiter(endpoint, r)
	logged := i.arrive(endpoint, r)
	wait.check()
	wait.gate()
	if malformed != nil {
		own = func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "", malformed.Error()) }
	}
	var handler http.Handler = own
	if replaced := i.fault(endpoint).replace; replaced != nil {
		handler = replaced
	}
	if failure := i.fails(endpoint); failure != nil {
		handler = failure
	}
	logging := &statusWriter{ResponseWriter: w, issuer: i, request: logged}
	if endpoint == FeedStream {
		handler.ServeHTTP(logging, r)
		return
	}
	made := httptest.NewRecorder()
	handler.ServeHTTP(made, r)
	wait.hold()
	maps.Copy(w.Header(), made.Header())
	logging.WriteHeader(made.Code)
	_, _ = w.Write(made.Body.Bytes()) // who has gone cannot be told
}

// statusWriter notes the status of the answer in the log of requests.
type statusWriter struct {
	http.ResponseWriter
	issuer  *Issuer
	request *Request
	begun   bool
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.begun = true
	w.issuer.mu.Lock()
	w.request.Status = status
	w.issuer.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

// waiter is a request that may have to wait. It breaks, by http.ErrAbortHandler, when a switch says so meanwhile or the caller gives up.
type waiter struct {
	issuer   *Issuer
	endpoint Endpoint
	request  *http.Request
	start    fault
}

func (i *Issuer) waiter(e Endpoint, r *http.Request) *waiter {
	return &waiter{issuer: i, endpoint: e, request: r, start: i.fault(e)}
}

// check breaks the request if a switch was turned that breaks it, and returns a channel that is closed at the next switch.
func (w *waiter) check() <-chan struct{} {
	w.issuer.mu.Lock()
	defer w.issuer.mu.Unlock()
	if w.issuer.isDown(w.request.Host) || w.issuer.faults[w.endpoint].broken != w.start.broken {
		panic(http.ErrAbortHandler)
	}
	return w.issuer.changed
}

// drained tells whether a stream is to end.
func (w *waiter) drained() bool { return w.issuer.fault(w.endpoint).drained != w.start.drained }

// gate waits as long as [Issuer.Block] says.
func (w *waiter) gate() {
	if gate := w.issuer.fault(w.endpoint).gate; gate != nil {
		wait(w, gate)
	}
}

// hold waits as long as [Issuer.Hold] says.
func (w *waiter) hold() {
	hold := w.issuer.fault(w.endpoint).hold
	if hold == nil {
		return
	}
	if d := hold(); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		wait(w, timer.C)
	}
}

func wait[T any](w *waiter, over <-chan T) {
	for {
		changed := w.check()
		select {
		case <-over:
			return
		case <-changed:
		case <-w.request.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}
