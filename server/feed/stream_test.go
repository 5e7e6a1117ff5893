package feed_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/feed"
)

// reader reads server-sent events.
type reader struct {
	*testing.T
	status int
	header http.Header
	body   io.ReadCloser
	lines  *bufio.Reader
}

func subscribe(t *testing.T, server *httptest.Server, query string, header ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json;q=0.5, Text/Event-Stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = answer.Body.Close() })
	return &reader{T: t, status: answer.StatusCode, header: answer.Header, body: answer.Body, lines: bufio.NewReader(answer.Body)}
}

// block returns the lines up to the next empty one, and false at the end of the stream.
func (r *reader) block() (lines []string, ok bool) {
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return lines, false
		}
		if line == "\n" {
			return lines, true
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// event returns the next event that bears data.
func (r *reader) event() (id string, data document) {
	r.Helper()
	for {
		lines, ok := r.block()
		if !ok {
			r.Fatalf("the stream ended at %q", lines)
		}
		if len(lines) == 2 && strings.HasPrefix(lines[1], "data: ") {
			return strings.TrimPrefix(lines[0], "id: "), decode(r.T, []byte(strings.TrimPrefix(lines[1], "data: ")))
		}
	}
}

// ended waits for the end of the stream, and returns what came before it.
func (r *reader) ended() []string {
	var all []string
	for {
		lines, ok := r.block()
		all = append(all, lines...)
		if !ok {
			return all
		}
	}
}

func TestStream(t *testing.T) {
	s := everyKind()
	f := feed.New(feed.Config{Source: s, Pace: time.Millisecond})
	server := serve(t, f, nil)
	r := subscribe(t, server, "")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", r.status, r.header)
	}
	id, got := r.event()
	if id != "9223372036854788153.8" || !got.Snapshot || len(got.Entries) != 7 || got.Age != nil {
		t.Errorf("first event %s: %+v", id, got)
	}
	last := got.Sequence
	time.AfterFunc(400*time.Millisecond, func() { // beyond the server's timeouts
		for range 200 {
			s.add(auth.Change{Kind: auth.RevokeToken}, auth.Change{Kind: auth.ClientChanged})
		}
	})
	for seen := 0; seen < 200; {
		_, got := r.event()
		if got.Snapshot || got.Age != nil {
			t.Errorf("%+v", got)
		}
		for _, e := range got.Entries {
			if e.Sequence <= last || e.Sequence > got.Sequence {
				t.Fatalf("%d came after %d", e.Sequence, last)
			}
			last = e.Sequence
			seen++
		}
	}
}

func TestStreamResumes(t *testing.T) {
	server := serve(t, feed.New(feed.Config{Source: everyKind()}), nil)
	for _, tt := range []struct {
		name, query, lastID string
		entries             int
		snapshot            bool
	}{
		{"by its address", "?after=9223372036854788153.6", "", 2, false},
		{"by its last event", "?after=9223372036854788153.3", "9223372036854788153.7", 1, false},
		{"from another generation", "", "4.7", 7, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.lastID != "" {
				header = []string{"Last-Event-ID", tt.lastID}
			}
			if _, got := subscribe(t, server, tt.query, header...).event(); len(got.Entries) != tt.entries || got.Snapshot != tt.snapshot {
				t.Errorf("%+v", got)
			}
		})
	}
	if r := subscribe(t, server, "", "Last-Event-ID", "nonsense"); r.status != http.StatusTeapot {
		t.Errorf("a cursor that is none: %d", r.status)
	}
}

// A heartbeat moves the place from which the reader resumes, and is no event.
func TestHeartbeat(t *testing.T) {
	s := everyKind()
	r := subscribe(t, serve(t, feed.New(feed.Config{Source: s, Heartbeat: 10 * time.Millisecond}), nil), "?after=9223372036854788153.8")
	s.add(auth.Change{Kind: auth.APIChanged})
	for {
		lines, ok := r.block()
		if !ok || len(lines) == 2 && (lines[0] != ": heartbeat" || strings.HasPrefix(lines[1], "data:")) {
			t.Fatalf("%q", lines)
		}
		if len(lines) == 2 && lines[1] == "id: 9223372036854788153.9" {
			return
		}
	}
}

func TestStreamEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *source, f *feed.Feed, client *switchable)
	}{
		{"when the feed is closed", func(_ *source, f *feed.Feed, _ *switchable) { f.Close(); f.Close() }},
		{"when its client is disabled", func(s *source, _ *feed.Feed, client *switchable) {
			client.off.Store(true)
			s.add(auth.Change{Kind: auth.ClientChanged}, auth.Change{Kind: auth.RevokeClient})
		}},
		{"when the directory fails", func(s *source, _ *feed.Feed, _ *switchable) {
			s.mu.Lock()
			s.broken = fault.New(fault.Unavailable, "restored")
			s.mu.Unlock()
			s.add()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, client := everyKind(), &switchable{}
			f := feed.New(feed.Config{Source: s})
			r := subscribe(t, serve(t, f, client.allowed), "")
			r.event()
			tt.end(s, f, client)
			if rest := r.ended(); len(rest) != 0 {
				t.Errorf("came after the end: %q", rest)
			}
		})
	}
}

func TestClosedFeedStillAnswersPolls(t *testing.T) {
	f := feed.New(feed.Config{Source: everyKind()})
	f.Close()
	server := serve(t, f, nil)
	if r := subscribe(t, server, ""); r.status != http.StatusTeapot {
		t.Errorf("stream: %d", r.status)
	}
	if r := subscribe(t, server, "", "Accept", "application/json"); r.status != http.StatusOK {
		t.Errorf("poll: %d", r.status)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := feed.New(feed.Config{Source: everyKind(), Streams: 8, Heartbeat: time.Millisecond})
	server := serve(t, f, nil)
	open := func(client string) *reader { return subscribe(t, server, "", "Client", client) }
	refused := func(client, want string) {
		t.Helper()
		if r := open(client); r.status != http.StatusTeapot || r.header.Get("Code") != want {
			t.Errorf("a stream of %s: %d %s, want %s", client, r.status, r.header.Get("Code"), want)
		}
	}
	first := open("a")
	first.event()
	open("a").event()
	refused("a", "too_many_requests 1m0s")
	for _, client := range []string{"b", "c", "d", "b", "c", "d"} {
		open(client).event()
	}
	refused("e", "unavailable 1m0s")
	_ = first.body.Close()
	for deadline := time.Now().Add(10 * time.Second); open("a").status != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("the place of a stream that ended is not free")
		}
	}
	refused("a", "too_many_requests 1m0s")
	refused("e", "unavailable 1m0s")
}

const noStreams = `# HELP countersign_feed_streams Open streams of the revocation feed.
# TYPE countersign_feed_streams gauge
countersign_feed_streams 0
`

// A reader that takes nothing loses its connection; it does not keep its goroutine, nor anything else, waiting.
func TestSlowReaderIsReset(t *testing.T) {
	s := everyKind()
	registry := prometheus.NewRegistry()
	f := feed.New(feed.Config{Source: s, Pace: time.Nanosecond, WriteTimeout: 50 * time.Millisecond, Registerer: registry})
	slow := subscribe(t, serve(t, f, nil), "")
	slow.event()
	testbed.Wait(t, 30*time.Second, func() error {
		burst := make([]auth.Change, 10_000) // about a megabyte
		for i := range burst {
			burst[i].Kind = auth.RevokeToken
		}
		s.add(burst...)
		return testutil.GatherAndCompare(registry, strings.NewReader(noStreams), "countersign_feed_streams")
	})
	if _, err := io.Copy(io.Discard, slow.body); err == nil {
		t.Error("what was cut off looks whole")
	}
}
