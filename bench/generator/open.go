package generator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// maxWorkers is how many requests may be on their way at once. A server that keeps so many waiting has failed.
const maxWorkers = 4096

// garbage is GOGC of the generator. Its own collections would take a third of its time, which it shares with the server.
const garbage = 400

// Open is an open loop: requests are sent at a fixed rate, whether or not the ones before were answered, as clients do that know nothing of each
// other. A server that stalls lets them queue up, and that shows in the latencies.
type Open struct {
	Vegeta  string // path of the program
	Address string // host:port
	Rate    int    // requests per second; 0: a closed loop of Connections
	// Connections of a closed loop.
	Connections int
	Duration    time.Duration
	Requests    [][]byte // sent in turn, again and again. See Post and Get.
	// Body checks the body of an answer; it is given one of 64, after the run. The status of every answer must be 200.
	Body func([]byte) error
}

// Arrivals is what an open loop measured.
type Arrivals struct {
	Sample
	// Late is how long after it was due a request was sent, at the 99th percentile: the generator's own fault, and in no latency.
	Late time.Duration
	// Sent is how many of those that were due were sent, in percent. If they are much fewer than all, the generator itself was the limit.
	Sent float64
}

// Vegeta builds the program, if need be, and returns its path. tools is the folder bench/tools.
func Vegeta(ctx context.Context, tools string) (string, error) {
	path, err := exec.CommandContext(ctx, "go", "-C", tools, "tool", "-n", "vegeta").Output() //nolint:gosec // a folder of ours
	if err != nil {
		return "", fmt.Errorf("build vegeta: %w", err)
	}
	return string(bytes.TrimSpace(path)), nil
}

// Run runs the load. It fails if a request did, if a status is not 200, or if a body that is looked at is not as it must be.
func (o Open) Run(ctx context.Context) (Arrivals, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Duration+2*patience)
	defer cancel()
	folder, err := os.MkdirTemp("", "vegeta-")
	if err != nil {
		return Arrivals{}, fmt.Errorf("make folder of a load: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // of the temporary ones
	targets, results := filepath.Join(folder, "targets"), filepath.Join(folder, "results")
	if err := o.writeTargets(targets); err != nil {
		return Arrivals{}, err
	}
	workers := maxWorkers
	if o.Rate == 0 {
		workers = o.Connections
	}
	attack := exec.CommandContext(ctx, o.Vegeta, "attack", "-format=json", "-targets="+targets, "-output="+results, //nolint:gosec // arguments of our own
		"-rate="+strconv.Itoa(o.Rate)+"/1s", "-duration="+o.Duration.String(), "-timeout="+patience.String(), "-redirects=-1", "-http2=false",
		"-max-workers="+strconv.Itoa(workers))
	attack.Env = append(os.Environ(), "GOGC="+strconv.Itoa(garbage))
	if output, err := attack.CombinedOutput(); err != nil {
		return Arrivals{}, fmt.Errorf("run vegeta: %w\n%s", err, output)
	}
	text, err := exec.CommandContext(ctx, o.Vegeta, "encode", "-to=csv", results).Output() //nolint:gosec // arguments of our own
	if err != nil {
		return Arrivals{}, fmt.Errorf("read what vegeta measured: %w", err)
	}
	arrivals, err := o.read(text)
	arrivals.CPU = attack.ProcessState.UserTime() + attack.ProcessState.SystemTime()
	return arrivals, err
}

// writeTargets writes the requests as vegeta reads them, one object of JSON a line.
func (o Open) writeTargets(file string) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, request := range o.Requests {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		r.Header.Del("Content-Length") // which the body says
		target := struct {
			Method string      `json:"method"`
			URL    string      `json:"url"`
			Header http.Header `json:"header"`
			Body   []byte      `json:"body"`
		}{r.Method, "http://" + o.Address + r.RequestURI, r.Header, body}
		if err := lines.Encode(target); err != nil {
			return fmt.Errorf("write target: %w", err)
		}
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write targets: %w", err)
	}
	return nil
}

// The columns of vegeta's CSV.
const (
	columnSent = iota // ns of Unix time
	columnStatus
	columnLatency // ns
	_             // bytes sent
	_             // bytes received
	columnError
	columnBody // base64
	_          // name of the attack
	columnNumber
	columns = 12
)

// read works through the results, which are in no order.
func (o Open) read(text []byte) (Arrivals, error) {
	rows := csv.NewReader(bytes.NewReader(text))
	rows.ReuseRecord, rows.FieldsPerRecord = true, columns
	var latencies, shifts []time.Duration
	interval := time.Second / time.Duration(max(o.Rate, 1))
	for n := 0; ; n++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Arrivals{}, fmt.Errorf("read what vegeta measured: %w", err)
		}
		if row[columnStatus] != "200" {
			return Arrivals{}, fmt.Errorf("status %s: %s: %s", row[columnStatus], row[columnError], decoded(row[columnBody]))
		}
		numbers, err := integers(row[columnSent], row[columnLatency], row[columnNumber])
		if err != nil {
			return Arrivals{}, err
		}
		latencies = append(latencies, time.Duration(numbers[1]))
		shifts = append(shifts, time.Duration(numbers[0])-time.Duration(numbers[2])*interval)
		if n%64 == 0 {
			if body := decoded(row[columnBody]); o.Body(body) != nil {
				return Arrivals{}, fmt.Errorf("%w: %s", o.Body(body), body)
			}
		}
	}
	return o.arrivals(latencies, shifts)
}

// arrivals takes the percentiles. shifts are when requests were sent, less when they were due after the beginning, which is taken to be when
// the most punctual one was.
func (o Open) arrivals(latencies, shifts []time.Duration) (Arrivals, error) {
	if len(latencies) == 0 {
		return Arrivals{}, errors.New("no answers")
	}
	slices.Sort(latencies)
	slices.Sort(shifts)
	a := Arrivals{Sample: Sample{
		Answers: len(latencies), Took: o.Duration, P50: at(latencies, 0.5), P90: at(latencies, 0.9), P99: at(latencies, 0.99),
		P999: at(latencies, 0.999), Max: latencies[len(latencies)-1],
	}}
	if o.Rate > 0 {
		a.Late, a.Sent = at(shifts, 0.99)-shifts[0], 100*float64(a.Answers)/(o.Duration.Seconds()*float64(o.Rate))
	}
	return a, nil
}

// at returns the value below which the share lies.
func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func decoded(text string) []byte {
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return []byte(text)
	}
	return body
}

func integers(texts ...string) ([]int64, error) {
	numbers := make([]int64, len(texts))
	for n, text := range texts {
		var err error
		if numbers[n], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("read what vegeta measured: %w", err)
		}
	}
	return numbers, nil
}
