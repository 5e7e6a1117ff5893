package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Connections is how many connections a closed loop keeps busy unless a benchmark says otherwise.
const Connections = 32

// sampleEvery is how many answers there are to each whose body is looked at.
const sampleEvery = 64

// Load is a closed loop: each connection sends a request, waits for its answer, and sends the next.
type Load struct {
	Address     string // host:port
	Connections int
	Duration    time.Duration
	// Count, unless it is 0, ends the load after so many requests of each connection. Then every body is checked.
	Count int
	// Requests are sent as they are, by each connection in turn, from a place of its own on. See Post.
	Requests [][]byte
	// Once, unless it is nil, counts the requests that were sent, over all runs: each is sent once. A load that finds none left fails.
	Once *atomic.Int64
	// Body checks the body of an answer; it is given one of 64, by several goroutines. The status of every answer must be 200.
	Body func([]byte) error
}

// Sample is what a load measured.
type Sample struct {
	Answers  int
	Took     time.Duration
	P50, P99 time.Duration
}

// Rate returns answers per second.
func (s Sample) Rate() float64 { return float64(s.Answers) / s.Took.Seconds() }

// Post returns the bytes of a form post with Basic credentials already encoded.
func Post(path, host, authorization, form string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, host, authorization, len(form), form)
}

// Get returns the bytes of a request with a bearer token.
func Get(path, host, token string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: */*\r\n\r\n", path, host, token)
}

// Run runs the load. The first answer that is not as it must be ends it with an error.
func (l Load) Run(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration+10*time.Second)
	defer cancel()
	took := make([][]time.Duration, l.Connections)
	failures := make([]error, l.Connections)
	var over atomic.Bool
	var all sync.WaitGroup
	began := time.Now()
	for i := range l.Connections {
		all.Go(func() {
			took[i], failures[i] = l.loop(ctx, i, &over)
			if failures[i] != nil {
				over.Store(true)
			}
		})
	}
	if l.Count == 0 {
		timer := time.AfterFunc(l.Duration, func() { over.Store(true) })
		defer timer.Stop()
	}
	all.Wait()
	s := Sample{Took: time.Since(began)}
	each := slices.Concat(took...)
	if err := errors.Join(failures...); err != nil || len(each) == 0 {
		return s, fmt.Errorf("%d answers: %w", len(each), err)
	}
	slices.Sort(each)
	s.Answers, s.P50, s.P99 = len(each), each[len(each)/2], each[len(each)*99/100]
	return s, nil
}

// loop uses one connection until the time is over.
func (l Load) loop(ctx context.Context, i int, over *atomic.Bool) (took []time.Duration, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", l.Address)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be said on it
	if limit, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(limit); err != nil {
			return nil, err
		}
	}
	from := bufio.NewReaderSize(conn, 8<<10)
	next := i * len(l.Requests) / l.Connections
	var body []byte
	for n := 0; !over.Load() && (l.Count == 0 || n < l.Count); n++ {
		if l.Once != nil {
			if next = int(l.Once.Add(1)) - 1; next >= len(l.Requests) {
				return took, errors.New("every request was sent")
			}
		}
		began := time.Now()
		if _, err := conn.Write(l.Requests[next]); err != nil {
			return took, err
		}
		if next++; next == len(l.Requests) {
			next = 0
		}
		if body, err = readAnswer(from, body[:0]); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
		if l.Count > 0 || (n+i)%sampleEvery == 0 {
			if err := l.Body(body); err != nil {
				return took, fmt.Errorf("%w: %s", err, body)
			}
		}
	}
	return took, nil
}

// readAnswer reads an HTTP/1.1 answer that has a Content-Length, and appends its body to dst. It must be a 200. net/http's
// own reader would cost the machine as much again as the handlers that are measured.
func readAnswer(from *bufio.Reader, dst []byte) (body []byte, err error) {
	status, err := from.ReadSlice('\n')
	if err != nil {
		return dst, err
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	first := string(bytes.TrimSpace(status[:min(len(status), 40)]))
	length := -1
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return dst, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return dst, fmt.Errorf("content length: %w", err)
			}
		}
	}
	if length < 0 {
		return dst, fmt.Errorf("%q without a content length", first)
	}
	start := len(dst)
	dst = slices.Grow(dst, length)[:start+length]
	if _, err := io.ReadFull(from, dst[start:]); err != nil {
		return dst, err
	}
	if !good {
		return dst, fmt.Errorf("%q: %s", first, dst)
	}
	return dst, nil
}
