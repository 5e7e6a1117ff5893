package listeners_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/listeners"
)

const patience = 200 * time.Millisecond

// much is more than all buffers between two programs of this machine hold.
const much = 32 << 20

func TestWhoTakesNothingIsCut(t *testing.T) {
	failed := make(chan error, 1)
	set := newSet(t, listeners.Spec{
		Name: "a", Address: anywhere, Limits: listeners.Limits{Write: patience},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/little" {
				_, _ = io.WriteString(w, "little")
				return
			}
			_, err := w.Write(make([]byte, much))
			failed <- err
		}),
	})
	t.Run("HTTP/1.1", func(t *testing.T) {
		d := dial(t, address(t, set, "a"))
		d.send(get)
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("HTTP/1.1, after a request and a pause", func(t *testing.T) {
		d := dial(t, address(t, set, "a"))
		for range 2 {
			d.send(strings.Replace(get, "GET /", "GET /little", 1))
			if got := d.answer(); got != "little" {
				t.Fatalf("got %q", got)
			}
			<-time.After(3 * patience / 2)
		}
		d.send(get)
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		response := h2(t, set, nil)
		defer func() { _ = response.Body.Close() }()
		if err := <-failed; err == nil {
			t.Error("the stream was not cut")
		}
	})
}

// h2 begins a request by HTTP/2 and does not read what is answered.
func h2(t *testing.T, set *listeners.Set, body io.Reader, contentType ...string) *http.Response {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address(t, set, "a"), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Content-Type"] = contentType
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// A stream goes on for longer than any limit, quiet for longer than any limit too, as long as what there is is taken.
func TestStreamsLiveOn(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			next := make(chan struct{})
			defer close(next)
			set := newSet(t, listeners.Spec{
				Name: "a", Address: anywhere, Limits: listeners.Limits{Write: patience, Body: patience, Header: patience, Idle: patience},
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for ok := true; ok; _, ok = <-next {
						_, _ = io.WriteString(w, "line\n")
						_ = http.NewResponseController(w).Flush()
					}
				}),
			})
			var body io.Reader
			if protocol == "HTTP/2" {
				response := h2(t, set, http.NoBody)
				defer func() { _ = response.Body.Close() }()
				body = response.Body
			} else {
				d := dial(t, address(t, set, "a"))
				d.send(get)
				response, err := http.ReadResponse(d.buf, nil)
				if err != nil {
					t.Fatal(err)
				}
				body = response.Body
			}
			lines := bufio.NewReader(body)
			for i := range 2 {
				if line, err := lines.ReadString('\n'); line != "line\n" {
					t.Fatalf("line %d: %q, %v", i, line, err)
				}
				<-time.After(3 * patience / 2)
				next <- struct{}{}
			}
		})
	}
}

func TestABodyMustComeOn(t *testing.T) {
	read := make(chan error, 1)
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		read <- err
		_, _ = w.Write(body)
	})}
	set := newSet(t, spec)
	for _, tt := range []struct {
		name         string
		limit, pause time.Duration
		bytes        int
		cut          bool
	}{
		{"in time", patience, 0, 1, false},
		{"too slow", patience, 0, 2, true},
		{"slow in all, but never for long", 4 * patience, patience / 2, 10, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec.Limits.Body = tt.limit
			apply(t, set, spec)
			d := dial(t, address(t, set, "a"))
			d.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(tt.bytes) + "\r\n\r\n")
			if tt.cut {
				d.send("x")
				if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				return
			}
			for range tt.bytes {
				<-time.After(tt.pause)
				d.send("x")
			}
			if got := d.answer(); got != strings.Repeat("x", tt.bytes) {
				t.Errorf("got %q", got)
			}
			<-read
			d.send(get) // no limit is left behind
			<-read
			if got := d.answer(); got != "" {
				t.Errorf("got %q", got)
			}
		})
	}
	spec.Limits.Body = patience
	apply(t, set, spec)
	t.Run("HTTP/2", func(t *testing.T) {
		body, end := io.Pipe()
		defer func() { _ = end.Close() }()
		response := h2(t, set, body)
		defer func() { _ = response.Body.Close() }()
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gRPC", func(t *testing.T) {
		body, end := io.Pipe()
		go func() {
			<-time.After(3 * patience / 2)
			_, _ = io.WriteString(end, "x")
			_ = end.Close()
		}()
		response := h2(t, set, body, "application/grpc+proto")
		defer func() { _ = response.Body.Close() }()
		if err := <-read; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// A client whose request is refused before its body is there reads why, and cannot hold its connection by never sending the rest.
func TestABodyThatNobodyWants(t *testing.T) {
	set := newSet(t, listeners.Spec{
		Name: "a", Address: anywhere, Limits: listeners.Limits{Body: patience},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				_, _ = r.Body.Read(make([]byte, 1))
			}
			w.WriteHeader(http.StatusUnauthorized)
		}),
	})
	for name, head := range map[string]string{
		"unread":    "POST / HTTP/1.1\r\nContent-Length: 10\r\n",
		"half read": "POST /half HTTP/1.1\r\nContent-Length: 10\r\n",
		"in chunks": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"like gRPC": "POST / HTTP/1.1\r\nContent-Length: 10\r\nContent-Type: application/grpc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := dial(t, address(t, set, "a"))
			d.send(head + "Host: a\r\n\r\n5\r\n")
			response, err := http.ReadResponse(d.buf, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.ends(); err != nil || response.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %d, %v", response.StatusCode, err)
			}
		})
	}
	t.Run("held back until it is wanted", func(t *testing.T) {
		patient := newSet(t, listeners.Spec{Name: "a", Address: anywhere, Limits: listeners.Limits{Body: time.Hour}, Handler: http.NotFoundHandler()})
		d := dial(t, address(t, patient, "a"))
		d.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
		if got := d.answer(); !strings.HasSuffix(got, "(last)") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("the rest comes", func(t *testing.T) {
		d := dial(t, address(t, set, "a"))
		d.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
		d.send("56789")
		if got := d.answer(); got != "" { // and the connection goes on
			t.Errorf("got %q", got)
		}
		d.send(get)
		if got := d.answer(); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("x"), MaxConnections: 2}
	set := newSet(t, spec)
	at := address(t, set, "a")
	first, second, third := dial(t, at), dial(t, at), dial(t, at)
	await(t, "two are accepted", func() bool { return status(t, set, "a").Connections == 2 })
	third.send(get)
	first.send(get)
	if got := first.answer(); got != "x (last)" { // its place is for somebody else
		t.Errorf("got %s", got)
	}
	if got := third.answer(); !strings.HasPrefix(got, "x") {
		t.Errorf("got %s", got)
	}
	spec.MaxConnections = 0
	apply(t, set, spec)
	for range 5 {
		d := dial(t, at)
		d.send(get)
		if got := d.answer(); got != "x" {
			t.Errorf("got %s", got)
		}
	}
	second.send(get)
	if got := second.answer(); got != "x" {
		t.Errorf("got %s", got)
	}
}

func TestCounts(t *testing.T) {
	set := newSet(t,
		listeners.Spec{Name: "a", Address: anywhere, Handler: saying("x")},
		listeners.Spec{Name: "b", Address: anywhere, Stream: func(_ context.Context, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }})
	idle, fresh, stream := dial(t, address(t, set, "a")), dial(t, address(t, set, "a")), dial(t, address(t, set, "b"))
	idle.send(get)
	_ = idle.answer()
	const want = `# HELP countersign_listener_accepted_total Connections accepted.
# TYPE countersign_listener_accepted_total counter
countersign_listener_accepted_total{listener="a"} 2
countersign_listener_accepted_total{listener="b"} 1
# HELP countersign_listener_connections Open connections; idle ones wait for a request.
# TYPE countersign_listener_connections gauge
countersign_listener_connections{listener="a",state="busy"} 1
countersign_listener_connections{listener="a",state="idle"} 1
countersign_listener_connections{listener="b",state="busy"} 1
countersign_listener_connections{listener="b",state="idle"} 0
`
	registry := prometheus.NewRegistry()
	registry.MustRegister(set.Collector())
	var last error
	await(t, "all are counted", func() bool {
		last = testutil.GatherAndCompare(registry, bytes.NewBufferString(want))
		return last == nil
	})
	for _, d := range []*dialed{idle, fresh, stream} {
		_ = d.Close()
	}
	await(t, "all are gone", func() bool {
		return status(t, set, "a").Connections+status(t, set, "a").Idle+status(t, set, "b").Connections == 0
	})
	if got := status(t, set, "b"); !got.Stream || got.TLS {
		t.Errorf("got %+v", got)
	}
}

// net/http lifts all deadlines when a connection is upgraded: what is written afterwards must be taken all the same.
func TestAnUpgradedConnectionIsCutIfItTakesNothing(t *testing.T) {
	failed := make(chan error, 1)
	set := newSet(t, listeners.Spec{
		Name: "a", Address: anywhere, Limits: listeners.Limits{Write: patience},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(conn, "upgraded")
			_, err = conn.Write(make([]byte, much))
			failed <- err
			_ = conn.Close()
		}),
	})
	d := dial(t, address(t, set, "a"))
	d.send(get)
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
