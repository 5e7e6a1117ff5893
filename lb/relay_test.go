package lb_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

// connected returns both ends of a connection.
func connected(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	accepted := make(chan net.Conn)
	near = dial(t, startTCP(t, func(conn net.Conn) {
		accepted <- conn
		<-t.Context().Done()
	}))
	return near, (<-accepted).(*net.TCPConn)
}

// relayed is what both ends of a relay send and receive.
type relayed struct {
	from, source, sink, to *net.TCPConn
}

func newRelayed(t *testing.T) (r relayed) {
	t.Helper()
	r.from, r.source = connected(t)
	r.to, r.sink = connected(t)
	return r
}

func TestRelay(t *testing.T) {
	const chunk = 16 << 10
	for _, tt := range []struct {
		name     string
		messages []int // their sizes
	}{
		{"nothing", nil},
		{"a byte", []int{1}},
		{"small ones", []int{1000, 1, 300}},
		{"almost a chunk", []int{chunk - 1}},
		{"a chunk", []int{chunk}},
		{"bulk", []int{1 << 20}},
		{"small ones around bulk", []int{100, 3 << 20, 100, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelayed(t)
			var n int64
			var err error
			var running sync.WaitGroup
			running.Go(func() {
				n, err = lb.Relay(r.sink, r.source)
				r.sink.CloseWrite()
			})
			random := rand.NewChaCha8([32]byte{})
			var sent bytes.Buffer
			for _, size := range tt.messages {
				message := make([]byte, size)
				random.Read(message)
				sent.Write(message)
				running.Go(func() { r.from.Write(message) })
				got := make([]byte, size)
				if _, err := io.ReadFull(r.to, got); err != nil || !bytes.Equal(got, message) {
					t.Fatalf("message of %d bytes: %v", size, err)
				}
			}
			r.from.CloseWrite()
			if rest, err := io.ReadAll(r.to); err != nil || len(rest) != 0 {
				t.Errorf("%d bytes more, %v", len(rest), err)
			}
			running.Wait()
			if n != int64(sent.Len()) || err != nil {
				t.Errorf("%d bytes of %d, %v", n, sent.Len(), err)
			}
		})
	}
}

// A deadline is what rounds end by: it holds though there is something to read, and nothing is lost by it.
func TestRelayEndsByItsDeadline(t *testing.T) {
	r := newRelayed(t)
	io.WriteString(r.from, "hello")
	r.source.SetReadDeadline(time.Unix(1, 0))
	if n, err := lb.Relay(r.sink, r.source); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
	r.source.SetReadDeadline(time.Time{})
	r.from.CloseWrite()
	if n, err := lb.Relay(r.sink, r.source); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestRelayTellsWhatFailed(t *testing.T) {
	r := newRelayed(t)
	r.from.SetLinger(0)
	r.from.Close() // resets
	if n, err := lb.Relay(r.sink, r.source); n != 0 || err == nil {
		t.Errorf("reset source: %d bytes, %v", n, err)
	}
	r = newRelayed(t)
	io.WriteString(r.from, "hello")
	r.from.CloseWrite()
	r.sink.CloseWrite()
	if n, err := lb.Relay(r.sink, r.source); n != 0 || err == nil {
		t.Errorf("closed sink: %d bytes, %v", n, err)
	}
}
