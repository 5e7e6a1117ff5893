package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// timedBody sets a deadline for the whole body, and lifts it at the end: the answer may be a stream, whose request must not end by it.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	lifted  bool
}

func newTimedBody(w http.ResponseWriter, body io.ReadCloser, limit time.Duration) io.ReadCloser {
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(limit)) != nil {
		return body // a writer that knows no deadlines, as in a test
	}
	return &timedBody{ReadCloser: body, control: control}
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.lifted {
		b.lifted = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
