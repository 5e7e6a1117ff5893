// Package feed is the revocation feed: what verifiers poll to learn which tokens were taken back, and the same as
// server-sent events. docs/revocation-feed.md is its contract. Who may read it is decided outside.
package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/countersign/countersign/server/auth"
)

// Source is what the feed is made from, as memory.Directory is one.
type Source interface {
	// Ready says why nothing may be answered, or nil.
	Ready() error
	// Age returns how long ago the last successful read of the change log began.
	Age() time.Duration
	// Revocations returns the remembered revocations after sequence, in order, and the position up to which they are all. They are
	// complete from the position's Floor on.
	Revocations(after uint64) ([]auth.Change, auth.Position)
	// Watch returns a channel that is closed when the position next moves or Ready changes.
	Watch() <-chan struct{}
	// CatchUp reads the change log now, at a bounded rate.
	CatchUp(ctx context.Context) error
}

// Config is what a Feed needs. Source is required; zero values elsewhere mean the default.
type Config struct {
	Source Source
	// Streams is how many there may be at once: 256. One client may have a quarter of them, and at least one.
	Streams int
	// Heartbeat is how long a stream is silent at most: 15 s.
	Heartbeat time.Duration
	// Pace is the least time between two events of a stream, so that many revocations share one: 20 ms.
	Pace time.Duration
	// WriteTimeout is how long a reader of a stream may take to make room for an event: 5 s.
	WriteTimeout time.Duration
	Registerer   prometheus.Registerer
}

// Feed serves the feed to any number of callers.
type Feed struct {
	source       Source
	heartbeat    time.Duration
	pace         time.Duration
	writeTimeout time.Duration
	places       *places
	snapshots    prometheus.Counter
	closing      sync.Once
	closed       chan struct{}
}

// New returns a feed.
func New(c Config) *Feed {
	f := &Feed{
		source: c.Source, places: newPlaces(cmp.Or(c.Streams, 256)),
		heartbeat: c.Heartbeat, pace: c.Pace, writeTimeout: c.WriteTimeout, closed: make(chan struct{}),
	}
	if f.heartbeat == 0 {
		f.heartbeat = 15 * time.Second
	}
	if f.pace == 0 {
		f.pace = 20 * time.Millisecond
	}
	if f.writeTimeout == 0 {
		f.writeTimeout = 5 * time.Second
	}
	factory := promauto.With(c.Registerer)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "countersign", Name: "feed_streams", Help: "Open streams of the revocation feed.",
	}, func() float64 { return float64(f.places.count()) })
	f.snapshots = factory.NewCounter(prometheus.CounterOpts{
		Namespace: "countersign", Name: "feed_snapshots_total", Help: "Answers of the revocation feed that were a snapshot.",
	})
	return f
}

// Close ends all streams and refuses new ones, for a drain. It does not wait for them, and polls go on being answered. It may be called more than once.
func (f *Feed) Close() { f.closing.Do(func() { close(f.closed) }) }

// Serve answers a client that may read the feed: with what came after its cursor, or with a stream of it if it accepts
// text/event-stream. A stream ends when allowed, which is asked at every change, returns false. Serve returns fault.InvalidRequest
// for a cursor that is none, fault.TooMany for a stream too many of the client, and fault.Unavailable for one too many of all or
// while there is nothing to answer from. How old an answer may be is for the reader to judge, by its age: one that is too old
// does not renew a lease, but what it tells is still worth knowing.
func (f *Feed) Serve(w http.ResponseWriter, r *http.Request, client auth.ClientID, allowed func() bool) error {
	from, err := cursorOf(r)
	if err != nil {
		return err
	}
	if err := f.source.Ready(); err != nil {
		return err
	}
	f.catchUp(r.Context(), from)
	if r.Method != http.MethodHead && accepts(r.Header, eventStream) {
		return f.stream(w, r, client, from, allowed)
	}
	age := f.source.Age() // before the entries: they are at least as new
	answer := f.since(from)
	millis := (age + time.Millisecond - 1).Milliseconds()
	answer.Age = &millis
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode revocations: %w", err)
	}
	header(w, "application/json")
	_, _ = w.Write(append(body, '\n')) // who has gone cannot be told
	return nil
}

// catchUp helps a caller whose cursor another instance gave it that is ahead of this one. If that cannot be done, the answer's
// age says so.
func (f *Feed) catchUp(ctx context.Context, from *cursor) {
	if from == nil {
		return
	}
	if _, at := f.source.Revocations(from.sequence); from.generation == at.Generation && from.sequence > at.Sequence {
		_ = f.source.CatchUp(ctx)
	}
}

// since returns what came after the cursor, or everything if that cannot be told.
func (f *Feed) since(from *cursor) *answer {
	if from != nil {
		changes, at := f.source.Revocations(from.sequence)
		if from.generation == at.Generation && at.Floor <= from.sequence && from.sequence <= at.Sequence {
			return newAnswer(changes, at)
		}
	}
	f.snapshots.Inc()
	all := newAnswer(f.source.Revocations(0))
	all.Snapshot = true
	return all
}

const eventStream = "text/event-stream"

func accepts(h http.Header, mediaType string) bool {
	for _, value := range h.Values("Accept") {
		for accepted := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(accepted, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}

func header(w http.ResponseWriter, mediaType string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Vary", "Accept")
}
