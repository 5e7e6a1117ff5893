package listeners

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// past is a deadline that ends what is waiting.
func past() time.Time { return time.Unix(1, 0) }

// pace has next answer a request whose body must keep coming, and whose answer must be taken. Over HTTP/1.1 the connection sees to
// the second; a stream of HTTP/2 can stand still by itself, because its client grants it no window.
func (l Limits) pace(next http.Handler, w http.ResponseWriter, r *http.Request) {
	const two = 2
	quiet := r.ProtoMajor == two && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	if r.Body != http.NoBody && !quiet {
		body := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), patience: l.Body}
		own := *r // net/http looks at its own body to see whether the client waits for a 100 (Continue), and what is left of it
		own.Body = body
		r = &own
		defer body.last(r)
	}
	if r.ProtoMajor != two {
		next.ServeHTTP(w, r)
		return
	}
	paced := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w), patience: l.Write}
	defer paced.last()
	next.ServeHTTP(paced, r)
}

// pacedBody ends a read that waits for too long, by the connection's or stream's read deadline.
type pacedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	timer    *time.Timer
	ended    atomic.Bool
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.patience, func() { _ = b.control.SetReadDeadline(past()) })
	} else {
		b.timer.Reset(b.patience)
	}
	n, err := b.ReadCloser.Read(p)
	b.ended.Store(err != nil)
	if !b.timer.Stop() && (err == nil || errors.Is(err, io.EOF)) {
		err = os.ErrDeadlineExceeded // it came in the very moment
	}
	return n, err //nolint:wrapcheck // whoever reads compares with io.EOF
}

// last bounds the wait for a body of HTTP/1.1 that the handler did not want: net/http takes some of it in before it sends the answer.
func (b *pacedBody) last(r *http.Request) {
	if r.ProtoMajor == 1 && r.Header["Upgrade"] == nil && !b.ended.Load() {
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // a connection that has ended needs none
	}
}

// pacedWriter resets a stream of HTTP/2 whose client takes nothing for too long. It belongs to one goroutine.
type pacedWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	timer    *time.Timer
	wrote    bool
}

// Unwrap serves http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *pacedWriter) Write(p []byte) (int, error) {
	w.wrote = true
	w.start()
	defer w.timer.Stop()
	return w.ResponseWriter.Write(p) //nolint:wrapcheck // as if it were not there
}

// FlushError serves http.ResponseController.
func (w *pacedWriter) FlushError() error {
	w.start()
	defer w.timer.Stop()
	return w.control.Flush() //nolint:wrapcheck // as if it were not there
}

// Flush implements http.Flusher.
func (w *pacedWriter) Flush() { _ = w.FlushError() } // as http.Flusher has no error

func (w *pacedWriter) start() {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.patience, func() { _ = w.control.SetWriteDeadline(past()) })
		return
	}
	w.timer.Reset(w.patience)
}

// last bounds what the server sends by itself after the handler: the end of the body that it has buffered.
func (w *pacedWriter) last() {
	if w.wrote {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.patience)) // a stream that has ended needs none
	}
}
