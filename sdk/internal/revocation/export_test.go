package revocation

import (
	"io"
	"time"
)

// StreamSoonest is the longest pause after a stream that ended.
const StreamSoonest time.Duration = streamSoonest

// Event is an event as it is read from a stream.
type Event struct{ ID, Data string }

// Events reads the stream r until it ends, and says why.
func Events(r io.Reader) (all []Event, err error) {
	events := newEvents(r)
	for {
		next, err := events.next()
		if err != nil {
			return all, err
		}
		all = append(all, Event{next.id, string(next.data)})
	}
}

// Sweep forgets what a clock that shows now lets a follower forget.
func (f *Follower) Sweep(now time.Time) { f.sweep(now.Unix()) }
