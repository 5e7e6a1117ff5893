package revocation_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// streaming is an issuer at 5.3 whose streams the test writes to.
func streaming() (*issuer, func() *io.PipeWriter) {
	i := new(issuer)
	i.answers(of("5", 3, true, 0, "a3"), of("5", 3, false, 0))
	var last *io.PipeWriter
	i.stream = func(string) (io.ReadCloser, error) {
		r, w := io.Pipe()
		last = w
		return r, nil
	}
	return i, func() *io.PipeWriter { synctest.Wait(); return last }
}

// stopPolls makes every further poll fail, so that what happens is by the stream.
func stopPolls(i *issuer) { i.fails(errors.New("cut")) }

func write(t *testing.T, w io.Writer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := io.WriteString(w, text); err != nil {
			t.Errorf("write to the stream: %v", err)
		}
	}
	synctest.Wait()
}

func event(id, data string) string { return "id: " + id + "\ndata: " + data + "\n\n" }

func TestStream(t *testing.T) {
	for _, tt := range []struct {
		name    string
		text    string
		refused string
		seq     uint64
		events  uint64
		ends    bool // the stream, and the next one begins where this one came to
	}{
		{name: "nothing", text: "", refused: "a", seq: 3},
		{name: "comment", text: ": countersign revocation feed\n\n", refused: "a", seq: 3},
		{name: "event", text: event("5.5", of("5", 5, false, 0, "b5")), refused: "ab", seq: 5, events: 1},
		{name: "CRLF", text: strings.ReplaceAll(event("5.5", of("5", 5, false, 0, "b5")), "\n", "\r\n"), refused: "ab", seq: 5, events: 1},
		{name: "data without a space, in two lines", text: "data:" + strings.Replace(of("5", 5, false, 0, "b5"), ",", ",\ndata:", 1) + "\n\n", refused: "ab", seq: 5, events: 1},
		{name: "two events", text: event("5.4", of("5", 4, false, 0)) + event("5.5", of("5", 5, false, 0, "b5")), refused: "ab", seq: 5, events: 2},
		{name: "events after each other", text: event("5.6", of("5", 6, false, 0, "b6")) + event("5.5", of("5", 5, false, 0, "c5")), refused: "ab", seq: 6, events: 1, ends: true},
		{name: "the data counts, not the id", text: event("5.9", of("5", 5, false, 0, "b5")), refused: "ab", seq: 5, events: 1},
		{name: "heartbeat", text: ": heartbeat\nid: 5.9\n\n", refused: "a", seq: 9, events: 1},
		{name: "heartbeat from behind", text: ": heartbeat\nid: 5.2\n\n", refused: "a", seq: 3, ends: true},
		{name: "heartbeat of no sense", text: "id: here\n\n", refused: "a", seq: 3, ends: true},
		{name: "heartbeat of another generation", text: "id: 6.9\n\n", refused: "a", seq: 3, ends: true},
		{name: "half a heartbeat", text: ": heartbeat\nid: 5.9\n", refused: "a", seq: 3},
		{name: "half an event", text: "id: 5.5\ndata: " + of("5", 5, false, 0, "b5") + "\n", refused: "a", seq: 3},
		{name: "snapshot", text: event("5.5", of("5", 5, true, 0, "b5")), refused: "b", seq: 5, events: 1},
		{name: "snapshot from behind", text: event("5.2", of("5", 2, true, 0, "b2")), refused: "ab", seq: 3, events: 1},
		{
			name: "snapshot from behind, then more", text: event("5.2", of("5", 2, true, 0)) + event("5.5", of("5", 5, false, 0, "c5")),
			refused: "ac", seq: 5, events: 2,
		},
		{name: "another generation", text: event("6.5", of("6", 5, true, 0, "b5")), refused: "a", seq: 3, ends: true},
		{name: "garbage", text: event("5.5", "{"), refused: "a", seq: 3, ends: true},
		{name: "an unknown type of event", text: "event: hint\n" + event("5.5", of("5", 5, false, 0, "b5")), refused: "a", seq: 3, ends: true},
		{name: "the type that everything has", text: "event: message\n" + event("5.5", of("5", 5, false, 0, "b5")), refused: "ab", seq: 5, events: 1},
		{name: "unknown fields", text: "retry: 5\nnew\n" + event("5.5", of("5", 5, false, 0, "b5")), refused: "ab", seq: 5, events: 1},
		{name: "line without end", text: "data: " + strings.Repeat("x", revocation.MaxAnswer+1<<15), refused: "a", seq: 3, ends: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, stream := streaming()
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				stopPolls(i)
				began := i.seen().polls[0]
				w := stream()
				go func() { _, _ = io.WriteString(w, tt.text) }()
				synctest.Wait()
				s := f.Describe()
				if refused(f) != tt.refused || s.Sequence != tt.seq || s.Generation != "5" || s.Events != tt.events {
					t.Errorf("refused: %q; %+v", refused(f), s)
				}
				if s.Streaming == tt.ends || s.Streams != 1 || i.seen().from[0] != "5.3" || (s.StreamErr != nil) != tt.ends {
					t.Errorf("%+v", s)
				}
				lapses(t, f, began.Add(bound)) // whatever a stream says
				if tt.ends {
					time.Sleep(revocation.StreamSoonest)
					synctest.Wait()
					if at := f.Describe(); len(i.seen().from) != 2 || i.seen().from[1] != fmt.Sprint("5.", at.Sequence) {
						t.Errorf("opened again from %q", i.seen().from)
					}
				}
			})
		})
	}
}

// TestStreamSilent: a stream without even heartbeats is held for 40 s, and one with them as long as it may be.
func TestStreamSilent(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		w := stream()
		for range 100 {
			time.Sleep(39 * time.Second)
			write(t, w, ": heartbeat\nid: 5.3\n\n")
		}
		if s := f.Describe(); s.Streams != 1 || s.Events != 100 {
			t.Fatalf("%+v", s)
		}
		began := time.Now()
		time.Sleep(40*time.Second + revocation.StreamSoonest)
		synctest.Wait()
		if len(i.seen().opened) != 2 || i.seen().opened[1].Sub(began) < 40*time.Second {
			t.Errorf("opened %v after the silence began", i.seen().opened[len(i.seen().opened)-1].Sub(began))
		}
		if _, err := io.WriteString(w, "x"); err == nil {
			t.Error("the silent stream was not closed")
		}
		write(t, stream(), event("5.4", of("5", 4, false, 0, "b4")))
		if refused(f) != "ab" {
			t.Errorf("%+v", f.Describe())
		}
	})
}

// TestStreamGap: a poll replaces everything by another generation, or by less of the same, while a stream is open. What that stream
// brings then would not join.
func TestStreamGap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		polls   []string
		refused string
		at      uint64
	}{
		{name: "another generation", polls: []string{of("6", 8, true, 0, "c7")}, refused: "c", at: 8},
		{name: "another one, and back to an instance that lags", polls: []string{of("6", 8, true, 0), of("5", 4, true, 0, "a3")}, refused: "a", at: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, stream := streaming()
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				w := stream()
				write(t, w, event("5.9", of("5", 9, false, 0, "d9")))
				for _, answer := range tt.polls {
					i.answers(answer)
					time.Sleep(bound / 3)
				}
				write(t, w, event("5.11", of("5", 11, false, 0, "b11")))
				if s := f.Describe(); refused(f) != tt.refused || s.Sequence != tt.at || s.Streaming {
					t.Errorf("refused: %q; %+v", refused(f), s)
				}
				time.Sleep(revocation.StreamSoonest)
				synctest.Wait()
				if i.seen().from[len(i.seen().from)-1] != f.Describe().Generation+"."+fmt.Sprint(tt.at) {
					t.Errorf("opened again from %q", i.seen().from)
				}
			})
		})
	}
}

// TestStreamLags: the stream is of an instance behind the one that was polled. It goes on from where it is itself.
func TestStreamLags(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		w := stream()
		i.answers(of("5", 8, false, 0, "b5", "c8"))
		time.Sleep(bound / 2)
		write(t, w, event("5.6", of("5", 6, false, 0, "b5")), ": heartbeat\nid: 5.6\n\n", event("5.9", of("5", 9, false, 0, "c8", "d9")))
		if s := f.Describe(); refused(f) != "abcd" || s.Sequence != 9 || s.Events != 3 || !s.Streaming {
			t.Errorf("refused: %q; %+v", refused(f), s)
		}
	})
}

// TestStreamElsewhere: a stream of another generation makes the follower poll at once, and not more often than streams are opened.
func TestStreamElsewhere(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		time.Sleep(50 * time.Millisecond)
		polls := len(i.seen().polls)
		i.answers(of("6", 8, true, 0, "c7"))
		write(t, stream(), event("6.8", of("6", 8, true, 0, "c7")))
		if len(i.seen().polls) != polls+1 || refused(f) != "c" || !f.Lease(i.seen().polls[polls].Add(bound-1)) {
			t.Errorf("%d polls, %+v", len(i.seen().polls), f.Describe())
		}
	})
}

// TestStreamElsewhereWhileRefused: a server that asks to be left alone is, whatever a stream says.
func TestStreamElsewhereWhileRefused(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, _ *revocation.Follower) {
		w := stream()
		i.fails(refusal{status: 503, after: 20 * time.Second})
		time.Sleep(bound)
		polls := len(i.seen().polls)
		write(t, w, event("6.8", of("6", 8, true, 0)))
		time.Sleep(10 * time.Second)
		if len(i.seen().polls) != polls {
			t.Errorf("%d polls, then %d", polls, len(i.seen().polls))
		}
	})
}

func TestStreamRefused(t *testing.T) {
	for _, tt := range []struct {
		name        string
		err         error
		least, most time.Duration // between attempts, once it has settled
	}{
		{name: "429", err: refusal{status: 429, after: time.Minute}, least: time.Minute, most: time.Minute + revocation.StreamSoonest},
		{name: "503 for very long", err: refusal{status: 503, after: time.Hour}, least: 5 * time.Minute, most: 5*time.Minute + revocation.StreamSoonest},
		{name: "no answer", err: errors.New("refused"), least: 15 * time.Second, most: 30 * time.Second},
		{name: "403", err: refusal{status: 403}, least: 15 * time.Second, most: 30 * time.Second},
		{name: "ends at once", least: 15 * time.Second, most: 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, _ := streaming()
			i.stream = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(": hello\n\n")), tt.err }
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				began := time.Now()
				time.Sleep(time.Hour)
				all := gaps(i.seen().opened, began.Add(5*time.Minute))
				if slices.Min(all) < tt.least || slices.Max(all) > tt.most {
					t.Errorf("%d streams, %v to %v apart", len(all), slices.Min(all), slices.Max(all))
				}
				if s := f.Describe(); !s.Fresh || s.PollErr != nil || s.StreamErr == nil || s.Streaming {
					t.Errorf("polls do not go on: %+v", s)
				}
			})
		})
	}
}

// TestStreamEnds: the server drains, after a while; the next stream is opened soon.
func TestStreamEnds(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, _ *revocation.Follower) {
		for range 20 {
			w := stream()
			time.Sleep(10 * time.Second)
			ended, opened := time.Now(), len(i.seen().opened)
			_ = w.Close()
			time.Sleep(revocation.StreamSoonest)
			synctest.Wait()
			if len(i.seen().opened) != opened+1 || i.seen().opened[opened].Sub(ended) < revocation.StreamSoonest/2 {
				t.Fatalf("%d streams, %v", len(i.seen().opened), i.seen().opened[opened:])
			}
		}
	})
}

// TestStreamWaits: without a snapshot there is no stream, else it and the first poll would both fetch one.
func TestStreamWaits(t *testing.T) {
	i, _ := streaming()
	stopPolls(i)
	follow(t, i, func(t *testing.T, _ *revocation.Follower) {
		time.Sleep(time.Minute)
		if len(i.seen().opened) != 0 {
			t.Errorf("opened from %q", i.seen().from)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add(": countersign revocation feed\n\n"+event("5.5", of("5", 5, false, 0, "b5"))+": heartbeat\nid: 5.6\n\n", 7)
	f.Add("data: a\r\ndata\r\ndata:b\r\n\r\n\nid:\n\n", 1)
	f.Add("event: message\ndata: x\n\nevent: y\n\n", 3)
	f.Fuzz(func(t *testing.T, text string, size int) {
		whole, err := revocation.Events(strings.NewReader(text))
		if err == nil {
			t.Fatal("a stream without end")
		}
		// However it is cut into reads, it says the same.
		parts, again := revocation.Events(&slow{text, max(1, size%64)})
		if !slices.Equal(whole, parts) || err.Error() != again.Error() {
			t.Errorf("%q, %v and %q, %v", whole, err, parts, again)
		}
		// What is said twice is read twice.
		if complete := strings.HasSuffix(text, "\n\n"); complete && errors.Is(err, io.EOF) {
			twice, _ := revocation.Events(strings.NewReader(text + text))
			if !slices.Equal(twice, slices.Repeat(whole, 2)) {
				t.Errorf("%q once, %q twice", whole, twice)
			}
		}
		for _, line := range whole {
			if strings.ContainsAny(line.ID, "\n") {
				t.Errorf("%q", line.ID)
			}
		}
	})
}

// slow gives a few bytes at a time.
type slow struct {
	text string
	size int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.text)
	s.text = s.text[n:]
	return n, nil
}
