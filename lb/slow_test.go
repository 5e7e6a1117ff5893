package lb_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

// deadlines is a ResponseWriter whose connection has a read deadline.
type deadlines struct {
	*httptest.ResponseRecorder

	read time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return nil
}

// trickle is a body of one byte each pause, which ends as a connection does at its deadline.
type trickle struct {
	w     *deadlines
	pause time.Duration
	left  int
}

func (b *trickle) Read(p []byte) (int, error) {
	time.Sleep(b.pause)
	if !b.w.read.IsZero() && time.Now().After(b.w.read) {
		return 0, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	}
	if b.left--; b.left < 0 {
		return 0, io.EOF
	}
	return copy(p, "a"), nil
}

func (*trickle) Close() error { return nil }

func TestTricklingBodyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Nothing listens there: a body that is read to its end gets 503, one that is cut off 408.
		pool := newPool(t, lb.PoolConfig{}, "127.0.0.1:1")
		handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: pool, Overrides: lb.Overrides{RetryUnsafe: true}, DialTimeout: time.Nanosecond})})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			pause  time.Duration
			bytes  int
			status int
			within time.Duration
		}{
			{"quick", time.Millisecond, 1000, http.StatusServiceUnavailable, 2 * time.Second},
			{"trickling", time.Second, 1000, http.StatusRequestTimeout, 17 * time.Second},
			{"slow and large", 500 * time.Microsecond, 60 << 10, http.StatusServiceUnavailable, 40 * time.Second},
		} {
			began := time.Now()
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", &trickle{w, tt.pause, tt.bytes})
			r.ContentLength = int64(tt.bytes)
			handler.ServeHTTP(w, r)
			if took := time.Since(began); w.Code != tt.status || took > tt.within {
				t.Errorf("%s: status %d after %v", tt.name, w.Code, took)
			}
			if tt.status == http.StatusServiceUnavailable && !w.read.IsZero() {
				t.Errorf("%s: the deadline stays after the body", tt.name)
			}
		}
	})
}

// H01: where a length and chunks are both sent, whoever believed the length takes what follows for a request of its own.
func TestConnectionOfChunkedRequestIsClosed(t *testing.T) {
	f, _ := startMirror(t, nil)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" +
		"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	first, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first.Body); err != nil || first.StatusCode != http.StatusOK || !first.Close {
		t.Errorf("status %d, closed %v, %v", first.StatusCode, first.Close, err)
	}
	if second, err := http.ReadResponse(reader, nil); err == nil {
		t.Errorf("what followed was answered by %d", second.StatusCode)
	}
}
