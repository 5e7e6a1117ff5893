package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// echo answers each request by its X-Nonce and its body. Now and then it does so in chunks, closes the connection, or goes without a word.
func echo(conn net.Conn, requests *bufio.Reader) {
	for {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		nonce := req.Header.Get("X-Nonce")
		var answer bytes.Buffer
		how := rand.IntN(20)
		switch {
		case how == 0:
			return
		case how < 6:
			fmt.Fprintf(&answer, "HTTP/1.1 200 OK\r\nX-Nonce: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", nonce, len(body)+1, append(body, '!'))
		default:
			fmt.Fprintf(&answer, "HTTP/1.1 200 OK\r\nX-Nonce: %s\r\nContent-Length: %d\r\n\r\n%s!", nonce, len(body)+1, body)
		}
		if _, err := conn.Write(answer.Bytes()); err != nil || how == 6 {
			return
		}
	}
}

// No answer is ever another request's, and nothing is left when all is over.
func TestNoAnswerIsAnothers(t *testing.T) {
	server := startScript(t, echo)
	transport := newTransport(t)
	before := runtime.NumGoroutine()
	const workers, each = 16, 150
	var mu sync.Mutex
	good := 0
	var load sync.WaitGroup
	for w := range workers {
		load.Go(func() {
			for n := range each {
				nonce := fmt.Sprintf("%d-%d", w, n)
				if exchangeNonce(t, transport, server.address, nonce) {
					mu.Lock()
					good++
					mu.Unlock()
				}
			}
		})
	}
	load.Wait()
	if good < workers*each/4 {
		t.Errorf("%d of %d requests were answered", good, workers*each)
	}
	transport.CloseIdleConnections()
	await(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// exchangeNonce reports whether the request was answered whole.
func exchangeNonce(t *testing.T, transport http.RoundTripper, address, nonce string) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sizes := []int{0, 0, 1, 100, 8 << 10, 9 << 10, 20 << 10}
	body := bytes.Repeat([]byte(nonce), sizes[rand.IntN(len(sizes))])
	method := http.MethodGet
	var content io.Reader
	if len(body) > 0 {
		method, content = http.MethodPost, bytes.NewReader(body)
		if rand.IntN(2) == 0 {
			content = struct{ io.Reader }{content}
		}
	}
	req := newRequest(ctx, t, method, address, content)
	if content != nil && req.ContentLength == 0 {
		req.ContentLength = -1
	}
	req.Header.Set("X-Nonce", nonce)
	if rand.IntN(8) == 0 {
		timer := time.AfterFunc(time.Duration(rand.IntN(1500))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	if got := resp.Header.Get("X-Nonce"); got != nonce {
		t.Errorf("%s got the answer of %s", nonce, got)
	}
	if rand.IntN(10) == 0 {
		return false // without reading it
	}
	text, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(text, append(body, '!')) {
		t.Errorf("%s got another body", nonce)
	}
	return err == nil
}
