package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/trace"
	"github.com/countersign/countersign/internal/up"
)

// traceCommand is the command of the control socket by which `demo trace` gets at the spans: `trace TRACEID N` answers a tracedSpans
// once there are more than N, or what there is after a second; `trace` tells whether there are any.
const traceCommand = "trace"

// tracedSpans are spans on the control socket.
type tracedSpans struct {
	OTLP []byte `json:"otlp"` // TracesData in protobuf
}

// spanGathering has the parts of `up` export their spans to this process.
type spanGathering struct {
	spans   *trace.Collector
	chosen  string // the variable by which the user has chosen otherwise; empty: none
	stop    context.CancelFunc
	serving sync.WaitGroup
	failure error
}

// gatherSpans starts what takes the spans of the parts, whose environment it adds to. Where the user's environment says already where spans
// go, it stays as it is.
func gatherSpans(ctx context.Context, environ []string, parts []up.Part, log *slog.Logger) (*spanGathering, error) {
	g := &spanGathering{spans: trace.NewCollector(), chosen: trace.Chosen(environ), stop: func() {}}
	if g.chosen != "" {
		return g, nil
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the parts' spans: %w", err)
	}
	bearer := rand.Text()
	for i := range parts {
		parts[i].Environ = trace.Environ(environ, "http://"+listener.Addr().String(), bearer, parts[i].Name)
	}
	ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx)) // the parts send their last spans when they end
	g.serving.Go(func() {
		g.failure = httpx.Serve(ctx, httpx.ServeConfig{Listener: listener, Handler: trace.Receiver(g.spans, bearer), Log: log, DrainTimeout: time.Second})
	})
	return g, nil
}

// close ends it, after the parts.
func (g *spanGathering) close() error {
	g.stop()
	g.serving.Wait()
	return g.failure
}

// answer answers traceCommand.
func (g *spanGathering) answer(ctx context.Context, argument string) (json.RawMessage, error) {
	if g.chosen != "" {
		return nil, fmt.Errorf("the spans of this system are not gathered here, since %s was set when it was started: start it without", g.chosen)
	}
	if argument == "" { // whether they are gathered at all
		return json.RawMessage("{}"), nil
	}
	text, number, _ := strings.Cut(argument, " ")
	id, err := oteltrace.TraceIDFromHex(text)
	if err != nil {
		return nil, errors.New("want a trace id, 32 hexadecimal digits not all of them zero")
	}
	above, err := strconv.Atoi(number)
	if err != nil || above < 0 {
		return nil, errors.New("want the number of spans that are known already")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	encoded, err := trace.Encode(g.spans.Trace(ctx, id, above))
	if err != nil {
		return nil, err
	}
	return json.Marshal(tracedSpans{encoded}) //nolint:wrapcheck // bytes can be encoded
}

// commands are those of the control socket by which the spans are asked for.
func (g *spanGathering) commands() map[string]func(context.Context, string) (json.RawMessage, error) {
	return map[string]func(context.Context, string) (json.RawMessage, error){traceCommand: g.answer}
}
