package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// stream is one reader of server-sent events (HTML Living Standard §9.2).
type stream struct {
	feed    *Feed
	w       http.ResponseWriter
	control *http.ResponseController
	cursor  *cursor
	id      string // of the last event or heartbeat, as text of the cursor
}

// stream sends events until the caller leaves, reads too slowly or may read no more, or the feed is closed.
func (f *Feed) stream(w http.ResponseWriter, r *http.Request, client auth.ClientID, from *cursor, allowed func() bool) error {
	select {
	case <-f.closed:
		return fault.New(fault.Unavailable, "the server is stopping")
	default:
	}
	if err := f.places.take(client); err != nil {
		return err
	}
	defer f.places.free(client)
	s := &stream{feed: f, w: w, control: http.NewResponseController(w), cursor: from}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil { // the server's would end the request's context
		return fmt.Errorf("lift the read deadline of a stream: %w", err)
	}
	header(w, eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
	// From here on the answer has begun: how it ends is seen by the end of the connection alone.
	if s.send([]byte(": countersign revocation feed\n\n")) != nil {
		return nil
	}
	beat := time.NewTicker(f.heartbeat)
	defer beat.Stop()
	for {
		news := f.source.Watch()
		if f.source.Ready() != nil || !allowed() || s.sendNews() != nil {
			return nil
		}
		select {
		case <-news:
			if !s.rest(r) {
				return nil
			}
		case <-beat.C:
			// An id without data is no event, but where the reader resumes.
			if s.send([]byte(": heartbeat\nid: "+s.id+"\n\n")) != nil {
				return nil
			}
		case <-r.Context().Done():
			return nil
		case <-f.closed:
			return nil
		}
	}
}

// rest lets further news gather. It returns false if the stream is to end.
func (s *stream) rest(r *http.Request) bool {
	select {
	case <-time.After(s.feed.pace):
		return true
	case <-r.Context().Done():
	case <-s.feed.closed:
	}
	return false
}

// sendNews sends one event with whatever came after the cursor, if anything did.
func (s *stream) sendNews() error {
	a := s.feed.since(s.cursor)
	s.cursor, s.id = parseCursor(a.cursor()), a.cursor()
	if len(a.Entries) == 0 && !a.Snapshot {
		return nil
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var event bytes.Buffer
	event.Grow(len(data) + 64)
	event.WriteString("id: " + s.id + "\ndata: ")
	event.Write(data)
	event.WriteString("\n\n")
	return s.send(event.Bytes())
}

// send fails when the reader does not make room in time; its connection is then of no further use.
func (s *stream) send(text []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.feed.writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}
