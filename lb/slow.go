package lb

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A body that is buffered for a repeat must arrive within bodyGrace and a second more for each bodyRate bytes of it. A
// listener that passes streams on has no limit of its own on that, and no upstream, which would have one, is asked before.
const (
	bodyGrace = 15 * time.Second
	bodyRate  = 1 << 10
)

// timedBody moves the connection's read deadline as the body arrives, and lifts it at the body's end or when so much has
// come that the rest is streamed: the answer may be a stream, whose request must not end by that deadline.
type timedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	began    time.Time
	got      int64
	buffered int64 // how much is buffered
	lifted   bool
}

// GuardBody bounds how slowly the body of r may come if RoundTrip will buffer it: it has 15 s, and a second more for each KiB. Then
// reading it fails by a deadline, which Classify calls 408. It is for handlers, before they send r on; w knows the connection.
func (t *Transport) GuardBody(w http.ResponseWriter, r *http.Request) {
	if t.buffers(r) {
		r.Body = newTimedBody(w, r.Body, t.how.ReplayBytes)
	}
}

func newTimedBody(w http.ResponseWriter, body io.ReadCloser, buffered int64) io.ReadCloser {
	return &timedBody{ReadCloser: body, control: http.NewResponseController(w), began: time.Now(), buffered: buffered}
}

// Read implements io.Reader. Where the writer knows no deadlines there is no limit.
func (b *timedBody) Read(p []byte) (int, error) {
	if b.lifted {
		return b.ReadCloser.Read(p)
	}
	_ = b.control.SetReadDeadline(b.began.Add(bodyGrace + time.Duration(b.got/bodyRate)*time.Second))
	n, err := b.ReadCloser.Read(p)
	if b.got += int64(n); errors.Is(err, io.EOF) || b.got > b.buffered {
		b.lifted = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
