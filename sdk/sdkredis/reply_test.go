package sdkredis_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/countersign/countersign/sdk/sdkredis"
)

// startScript starts a server that answers every connection's first question with this text, and returns its address.
func startScript(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				question := make([]byte, 1024)
				if _, err := conn.Read(question); err == nil {
					_, _ = io.WriteString(conn, text)
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}
	})
	return listener.Addr().String()
}

// Whoever is in place of Redis must not be able to end the process or to exhaust its memory.
func TestRepliesThatAnnounceTooMuch(t *testing.T) {
	for _, text := range []string{
		"$-5\r\n", "$2000000000\r\n", "$9223372036854775807\r\n", "$99999999999999999999\r\n", "$\r\n", "$x\r\n", "$16386\r\n",
		"*-5\r\n", "*2000000000\r\n", strings.Repeat("*1\r\n", 1000), "+" + strings.Repeat("a", 1<<20) + "\r\n",
	} {
		for _, form := range []string{"redis://%s", "redis+sentinel://%s/main"} {
			t.Run(fmt.Sprintf(form, text[:min(len(text), 20)]), func(t *testing.T) {
				s := open(t, fmt.Sprintf(form, startScript(t, text)), generous())
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, read := s.Read(t.Context(), "key")
				written := s.Write(t.Context(), "key", []byte("x"), time.Minute)
				_, acquired := s.Acquire(t.Context(), "lease", "x", time.Minute)
				released := s.Release(t.Context(), "lease", "x")
				runtime.ReadMemStats(&after)
				for _, err := range []error{read, written, acquired, released} {
					if err == nil {
						t.Error("no error")
					}
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
					t.Errorf("%d MiB were needed", used>>20)
				}
			})
		}
	}
}

func TestLargestValue(t *testing.T) {
	s := open(t, startRedis(t).url(), generous())
	largest := bytes.Repeat([]byte("\r\n$-9\r\n*7"), 2<<10)[:16<<10]
	if err := s.Write(t.Context(), "key", largest, time.Minute); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := s.Read(t.Context(), "key"); err != nil || !bytes.Equal(got, largest) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// text is a connection from which a text is read.
type text struct {
	net.Conn
	io.Reader
}

func (t text) Read(p []byte) (int, error) { return t.Reader.Read(p) }

func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n", "$-1\r\n", "$5\r\nhello\r\n:1\r\n", "*2\r\n$1\r\na\r\n$2\r\nbc\r\n", "$3\r\n$-9\r\n$-9\r\n", "$16385\r\n", "$16386\r\n", "-ERR no\r\n", "\n$5\nab",
	} {
		f.Add(seed, int64(2))
	}
	f.Fuzz(func(t *testing.T, reply string, elements int64) {
		whole, first := io.ReadAll(sdkredis.Bound(text{Reader: strings.NewReader(reply)}, elements))
		pieces, second := io.ReadAll(sdkredis.Bound(text{Reader: iotest.OneByteReader(strings.NewReader(reply))}, elements))
		if (first == nil) != (second == nil) {
			t.Errorf("at once: %v; in pieces: %v", first, second)
		}
		if first == nil && (string(whole) != reply || string(pieces) != reply) {
			t.Errorf("%q became %q and %q", reply, whole, pieces)
		}
	})
}
