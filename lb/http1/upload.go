package http1

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// shortBody is the length up to which a body is sent in one piece with the header: it is read, however long that takes, before anything is sent.
// No server has to be heard before so little was sent. Other bodies are sent as they come, while the answer is read.
const shortBody = 8 << 10

// load reads a short body into the message.
func (x *exchange) load(m *message) error {
	defer x.closeContent()
	length := int(x.req.ContentLength)
	start := len(m.bytes)
	m.bytes = append(m.bytes, make([]byte, length+1)...)
	room := m.bytes[start:]
	n, err := io.ReadFull(x.content, room[:length])
	if err != nil {
		return lengthError(x.req.ContentLength, int64(n), err)
	}
	m.bytes = m.bytes[:start+length]
	return atEnd(x.content, x.req.ContentLength, room[length:])
}

// lengthError is what it means that a body ended after got bytes.
func lengthError(want, got int64, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF && got < want { //nolint:errorlint // readers return them as they are
		return fmt.Errorf("request body of %d bytes, %d were announced: %w", got, want, io.ErrUnexpectedEOF)
	}
	return err
}

// atEnd makes sure that nothing more comes. Bodies want to be read to their end, too.
func atEnd(body io.Reader, length int64, room []byte) error {
	for {
		switch n, err := body.Read(room[:1]); {
		case n > 0:
			return fmt.Errorf("request body of more than the %d bytes that were announced", length)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// upload sends a body while the answer is read.
type upload struct {
	conn   *conn
	body   io.ReadCloser
	length int64 // -1: not known, it is sent in chunks
	limit  time.Duration
	done   chan struct{} // closed when nothing of conn and body is used any more

	mu      sync.Mutex
	begun   bool
	stopped bool // before it has begun

	// Of sending, and of reading the body. To be read when done is closed.
	sendErr, bodyErr error
}

// begin starts to send the rest of the request, if there is any.
func (x *exchange) begin() {
	if x.content == nil {
		return
	}
	x.conn.disarm()
	x.upload = &upload{conn: x.conn, body: x.content, length: x.req.ContentLength, limit: x.limit, done: make(chan struct{})}
	x.content = nil
	go x.upload.run()
}

func (u *upload) run() {
	defer close(u.done)
	u.mu.Lock()
	u.begun = !u.stopped
	u.mu.Unlock()
	if !u.begun {
		return
	}
	defer func() { _ = u.body.Close() }()                     // who made it knows what that means
	piece := u.conn.transport.pieces.Get().(*[pieceSize]byte) //nolint:errcheck // nothing else is put into it
	defer u.conn.transport.pieces.Put(piece)
	if u.length < 0 {
		u.sendChunks(piece)
	} else {
		u.sendAll(piece)
	}
	switch {
	case u.bodyErr != nil:
		u.conn.interrupt() // nothing that the server could say of half a request matters
	case u.sendErr != nil:
		u.conn.waitAfterAll(earlyAnswer)
	default:
		u.conn.waitAfterAll(u.limit)
	}
}

const (
	pieceSize = 32 << 10
	sizeRoom  = 6 // of a chunk's size and the end of its line
)

func newPiece() any { return new([pieceSize]byte) }

// sendAll sends a body of a known length.
func (u *upload) sendAll(piece *[pieceSize]byte) {
	for left := u.length; left > 0; {
		n, err := u.body.Read(piece[:min(left, pieceSize)])
		if left -= int64(n); n > 0 {
			if _, u.sendErr = u.conn.write(piece[:n]); u.sendErr != nil {
				return
			}
		}
		if err != nil && left > 0 {
			u.bodyErr = lengthError(u.length, u.length-left, err)
			return
		}
	}
	u.bodyErr = atEnd(u.body, u.length, piece[:])
}

// sendChunks sends a body of unknown length (RFC 9112 §7.1).
func (u *upload) sendChunks(piece *[pieceSize]byte) {
	const last = "0\r\n\r\n"
	for {
		n, err := u.body.Read(piece[sizeRoom : pieceSize-len(lineEnd)-len(last)])
		chunk := piece[sizeRoom:sizeRoom]
		if n > 0 {
			size := strconv.AppendInt(make([]byte, 0, sizeRoom), int64(n), 16)
			size = append(size, lineEnd...)
			start := sizeRoom - len(size)
			copy(piece[start:], size)
			chunk = append(piece[start:sizeRoom+n], lineEnd...)
		}
		switch {
		case errors.Is(err, io.EOF):
			_, u.sendErr = u.conn.write(append(chunk, last...))
			return
		case err != nil:
			u.bodyErr = err
			return
		}
		if _, u.sendErr = u.conn.write(chunk); u.sendErr != nil {
			return
		}
	}
}

// complete reports whether all was sent, which has to be soon.
func (u *upload) complete() bool {
	const soon = 50 * time.Millisecond
	select {
	case <-u.done:
	default:
		timer := time.NewTimer(soon)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
			return false
		}
	}
	return u.sendErr == nil && u.bodyErr == nil
}

// abandon makes sure that nothing of the request's body is read from now on, since its owner may send it elsewhere if nothing was. The connection is
// closed already.
func (x *exchange) abandon() {
	u := x.upload
	if u == nil {
		if !x.again {
			x.closeContent()
		}
		return
	}
	u.mu.Lock()
	u.stopped = true
	begun := u.begun
	u.mu.Unlock()
	if !begun {
		_ = u.body.Close() // who made it knows what that means
		return
	}
	select {
	case <-u.done:
	case <-x.ctx.Done(): // then it is sent nowhere
	}
}

// fault returns why the request was not sent, if that is behind err.
func (u *upload) fault(err error) error {
	select {
	case <-u.done:
	default:
		return err
	}
	if _, late := errors.AsType[*TimeoutError](err); u.sendErr != nil && late {
		return firstOf(u.sendErr, err)
	}
	if u.bodyErr != nil {
		return u.bodyErr
	}
	return err
}
