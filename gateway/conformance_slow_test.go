package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Attack 34, H05: who is slow is cut off, and nobody else notices.
func TestConformanceOfSlowClients(t *testing.T) {
	const endless = 16
	cut := make(chan struct{}, endless)
	var begun atomic.Int64
	w := startWireOf(t, newIssuer(t), guarded, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/endless" {
			return false
		}
		begun.Add(1)
		for block := strings.Repeat("a", 64<<10); ; {
			if _, err := io.WriteString(w, block); err != nil {
				cut <- struct{}{}
				return true
			}
		}
	})
	trickle := func(begin, each string) func() error {
		conn := w.dial(t)
		ended := make(chan error, 1)
		go func() {
			_, err := io.WriteString(conn, begin)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for err == nil {
				<-tick.C
				_, err = io.WriteString(conn, each)
			}
			ended <- nil
		}()
		return func() error {
			_, _ = io.ReadAll(conn)
			return <-ended
		}
	}
	const post = "POST /small HTTP/1.1\r\nHost: gateway.test\r\n"
	began := time.Now()
	var slow []func() error
	for range 50 {
		slow = append(slow,
			trickle("", "G"),
			trickle("GET /open HTTP/1.1\r\nHost: gateway.test\r\n", "X-A: b\r\n"),
			trickle(post+"Content-Length: 1000\r\n\r\n", "a"),
			trickle(post+"Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"))
	}
	for range endless {
		_, _ = io.WriteString(w.dial(t), "GET /endless HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
	}
	var worst time.Duration
	for range 200 {
		start := time.Now()
		if got := w.ask(t, "GET", "/open"); got.status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
		worst = max(worst, time.Since(start))
	}
	for _, end := range slow {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	// On a slow machine some were cut before their headers were there. No more come now: the slow ones had begun earlier.
	if begun.Load() == 0 {
		t.Error("no endless answer has begun")
	}
	for range begun.Load() {
		<-cut // or the test ends by its own limit
	}
	// The limits are 1 s; the rest is for slow machines.
	if took := time.Since(began); took > 15*time.Second || worst > 3*time.Second {
		t.Errorf("the slow ones lasted %v, the others waited %v", took, worst)
	}
}

func TestConformanceOfSlowRequests(t *testing.T) {
	w := startWire(t)
	for _, row := range []struct {
		name, send string
		status     int // 0: closed without an answer
	}{
		{"H05 nothing", "", 0},
		{"H05 half a request line", "GET /op", 400},
		{"H05 half a header", "GET /open HTTP/1.1\r\nHost: gat", 0},
		{"H05 half a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM", 400},
		{"attack 34 half a body", "POST /small HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nhalf", 408},
		{"attack 34 half a chunk", "POST /small HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", 408},
		{"attack 34 half a body, refused before", "POST /items HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nhalf", 401},
		{"attack 34 half a body for a bad path", "POST /%2f HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/grpc\r\nContent-Length: 10\r\n\r\nhalf", 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conn := w.dial(t)
			_, _ = io.WriteString(conn, row.send)
			got := answers(t, bufio.NewReader(conn))
			if row.status == 0 && len(got) > 0 || row.status != 0 && (len(got) != 1 || got[0].status != row.status) {
				t.Errorf("%+v, want %d", got, row.status)
			}
		})
	}
}
