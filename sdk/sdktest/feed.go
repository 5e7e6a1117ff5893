package sdktest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// feedAnswer is the feed's JSON, docs/revocation-feed.md.
type feedAnswer struct {
	Generation string  `json:"generation"`
	Sequence   uint64  `json:"seq"`
	Age        *int64  `json:"age_ms,omitempty"` // not in a stream
	Snapshot   bool    `json:"snapshot,omitempty"`
	Entries    []Entry `json:"entries"`
}

func (a *feedAnswer) cursor() string { return a.Generation + "." + strconv.FormatUint(a.Sequence, 10) }

// since returns what came after the cursor, or the snapshot if that cannot be told.
func (i *Issuer) since(from *cursor) *feedAnswer {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := &i.log
	at := l.sequence - min(l.lag, l.sequence)
	a := &feedAnswer{Generation: strconv.FormatUint(l.generation, 10), Sequence: at, Entries: []Entry{}}
	after := uint64(0)
	if from == nil || from.generation != l.generation || from.sequence < l.floor || from.sequence > at {
		a.Snapshot = true
	} else {
		after = from.sequence
	}
	now := time.Now().Unix()
	for _, e := range l.entries {
		if e.Sequence > after && e.Sequence <= at && e.Expires > now {
			a.Entries = append(a.Entries, e)
		}
	}
	return a
}

// servePoll answers a poll.
func (i *Issuer) servePoll(w http.ResponseWriter, r *http.Request) {
	from, ok := i.admitReader(w, r, r.Form["after"])
	if !ok {
		return
	}
	a := i.since(from)
	i.mu.Lock()
	age := i.log.age
	i.mu.Unlock()
	millis := (age + time.Millisecond - 1).Milliseconds()
	a.Age = &millis
	w.Header().Set("Cache-Control", "no-store")
	i.answer(w, FeedPoll, a)
}

// admitReader authenticates a reader of the feed and reads its cursor; nil: none.
func (i *Issuer) admitReader(w http.ResponseWriter, r *http.Request, texts []string) (*cursor, bool) {
	if _, ok := i.admit(w, r); !ok {
		return nil, false
	}
	if len(texts) == 0 || texts[0] == "" {
		return nil, true
	}
	c, ok := parseCursor(texts[0])
	if !ok {
		refuse(w, http.StatusBadRequest, "invalid_request", "after: not a cursor")
	}
	return c, ok
}

func parseCursor(text string) (*cursor, bool) {
	generation, sequence, _ := strings.Cut(text, ".")
	g, err := strconv.ParseUint(generation, 10, 64)
	if err != nil {
		return nil, false
	}
	s, err := strconv.ParseUint(sequence, 10, 64)
	return &cursor{g, s}, err == nil
}

// serveStream sends server-sent events until the reader leaves or a switch ends it.
func (i *Issuer) serveStream(w http.ResponseWriter, r *http.Request) {
	texts := r.Header.Values("Last-Event-ID")
	if len(texts) == 0 {
		texts = r.Form["after"]
	}
	from, ok := i.admitReader(w, r, texts)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	s := &stream{issuer: i, w: w, r: r, wait: i.waiter(FeedStream, r), from: from}
	if s.send(": countersign revocation feed\n\n") {
		s.run()
	}
}

// stream is one reader of server-sent events.
type stream struct {
	issuer *Issuer
	w      http.ResponseWriter
	r      *http.Request
	wait   *waiter
	from   *cursor
}

func (s *stream) run() {
	beat := time.NewTicker(s.issuer.config.heartbeat)
	defer beat.Stop()
	for {
		s.issuer.mu.Lock()
		changed := s.issuer.changed
		s.issuer.mu.Unlock()
		s.wait.check()
		if s.wait.drained() || !s.sendNews() {
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			// An id without data is no event, but where the reader resumes.
			if !s.send(": heartbeat\nid: " + s.from.String() + "\n\n") {
				return
			}
		case <-s.r.Context().Done():
			return
		}
	}
}

// sendNews sends one event with whatever came after the cursor, if anything did.
func (s *stream) sendNews() bool {
	a := s.issuer.since(s.from)
	s.from, _ = parseCursor(a.cursor())
	if len(a.Entries) == 0 && !a.Snapshot {
		return true
	}
	return s.send("id: " + a.cursor() + "\ndata: " + string(s.issuer.encode(FeedStream, a)) + "\n\n")
}

// send holds the text back as [Issuer.Hold] says and sends it. It returns false if the reader has gone.
func (s *stream) send(text string) bool {
	s.wait.hold()
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return http.NewResponseController(s.w).Flush() == nil
}
