// Package generator puts load on HTTP servers by wrk, as a closed loop or at a fixed rate. Every status is looked at and a sample of the bodies, and
// one answer that is not as it must be makes the whole run fail.
package generator

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Connections is how many connections a closed loop keeps busy unless a benchmark says otherwise.
const Connections = 32

// patience is how long a run may take beyond its duration, and how long an answer.
const patience = 10 * time.Second

//go:embed wrk.lua
var script []byte

// Load is a closed loop, in which each connection sends a request, waits for its answer, and sends the next; or, with a Rate, an open one.
type Load struct {
	Address     string // host:port
	Connections int
	Duration    time.Duration // whole seconds, as wrk has it
	// Rate, unless it is 0, is how many requests are sent per second, whether or not those before were answered, as clients do that know nothing
	// of each other. A server that stalls lets them queue up, and that shows in the latencies, as long as there are Connections enough.
	Rate int
	// Requests are sent as they are, again and again. See Post and Get.
	Requests [][]byte
	// Once, unless it is nil, says that no request is sent twice.
	Once *Once
	// Body checks the body of an answer; it is given one of 64, after the run. The status of every answer must be 200.
	Body func([]byte) error
}

// Once hands out each request of a Load to one run.
type Once struct {
	PerRun int // a run is over when it has sent so many, or when its time is
	used   int
}

// Sample is what a load measured.
type Sample struct {
	Answers                  int
	Took                     time.Duration
	P50, P90, P99, P999, Max time.Duration
	CPU                      time.Duration // processor time of the generator itself
	// Late is how many requests of an open loop no connection was free for when they were due, Latest how late the last of them was sent. That is
	// in no latency.
	Late   int
	Latest time.Duration
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

// Run runs the load. It fails if a connection did, if a status is not 200, or if a body that is looked at is not as it must be.
func (l Load) Run(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration+2*patience)
	defer cancel()
	folder, err := os.MkdirTemp("", "wrk-")
	if err != nil {
		return Sample{}, fmt.Errorf("make folder of a load: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // of the temporary ones
	args, err := l.prepare(folder)
	if err != nil {
		return Sample{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", args...) //nolint:gosec // arguments of our own
	var text, result bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &result
	if err := cmd.Run(); err != nil {
		return Sample{}, fmt.Errorf("run wrk (scripts/prerequisites bench installs it): %w\n%s%s", err, &text, &result)
	}
	sample, err := readResult(result.Bytes())
	if err != nil {
		return sample, err
	}
	sample.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample, l.checkBodies(folder)
}

// prepare writes the files of a run and returns the arguments for wrk.
func (l Load) prepare(folder string) ([]string, error) {
	requests, once := l.Requests, ""
	if l.Once != nil {
		if l.Once.used+l.Once.PerRun > len(requests) {
			return nil, errors.New("every request was sent")
		}
		requests, once = requests[l.Once.used:l.Once.used+l.Once.PerRun], "once"
		l.Once.used += l.Once.PerRun
	}
	var text bytes.Buffer
	for _, request := range requests {
		fmt.Fprintf(&text, "%d\n%s", len(request), request)
	}
	lua, file := filepath.Join(folder, "wrk.lua"), filepath.Join(folder, "requests")
	if err := errors.Join(os.WriteFile(lua, script, 0o600), os.WriteFile(file, text.Bytes(), 0o600)); err != nil {
		return nil, fmt.Errorf("write files of a load: %w", err)
	}
	threads := 2 // wrk gives each as many connections as the others
	if l.Connections%threads != 0 {
		threads = 1
	}
	return []string{
		"-t", strconv.Itoa(threads), "-c", strconv.Itoa(l.Connections), "-d", strconv.Itoa(int((l.Duration + time.Second - 1) / time.Second)),
		"--timeout", strconv.Itoa(int(patience / time.Second)), "-s", lua, "http://" + l.Address + "/", "--", strconv.Itoa(threads), file, filepath.Join(folder, "bodies-"), strconv.Itoa(l.Rate), once,
	}, nil
}

// readResult reads what wrk.lua tells of a run.
func readResult(text []byte) (Sample, error) {
	var r struct {
		Answers                       int
		Took                          int64 `json:"took_us"`
		P50                           int64 `json:"p50_us"`
		P90                           int64 `json:"p90_us"`
		P99                           int64 `json:"p99_us"`
		P999                          int64 `json:"p999_us"`
		Max                           int64 `json:"max_us"`
		Late                          int
		Latest                        int64 `json:"latest_us"`
		Connect, Read, Write, Timeout int
		Wrong                         int
		First                         string // answer that is not 200
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Sample{}, fmt.Errorf("read what wrk measured: %w: %s", err, text)
	}
	s := Sample{
		Answers: r.Answers, Took: micros(r.Took), P50: micros(r.P50), P90: micros(r.P90), P99: micros(r.P99), P999: micros(r.P999), Max: micros(r.Max),
		Late: r.Late, Latest: micros(r.Latest),
	}
	switch {
	case r.Wrong > 0:
		return s, fmt.Errorf("%d of %d answers are not 200, the first is %s", r.Wrong, r.Answers, r.First)
	case r.Connect+r.Read+r.Write+r.Timeout > 0:
		return s, fmt.Errorf("%d connections, %d reads, %d writes failed, %d timed out", r.Connect, r.Read, r.Write, r.Timeout)
	case r.Answers == 0:
		return s, errors.New("no answers")
	}
	return s, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// checkBodies looks at the sample of bodies that wrk.lua has kept. A run with answers has some.
func (l Load) checkBodies(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "bodies-*"))
	if err != nil {
		return fmt.Errorf("find bodies: %w", err)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of a folder of our own
		if err != nil {
			return fmt.Errorf("read bodies: %w", err)
		}
		for len(text) > 0 {
			head, rest, _ := bytes.Cut(text, []byte("\n"))
			length, err := strconv.Atoi(string(head))
			if err != nil || length > len(rest) {
				return fmt.Errorf("read bodies: %q before %d bytes", head, len(rest))
			}
			if err := l.Body(rest[:length]); err != nil {
				return fmt.Errorf("%w: %s", err, rest[:length])
			}
			text = rest[length:]
			seen++
		}
	}
	if seen == 0 {
		return errors.New("no answer was looked at")
	}
	return nil
}
