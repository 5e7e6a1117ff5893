package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/trace"
	"github.com/countersign/countersign/internal/up"
)

type traceSettings struct {
	DataDir string `name:"data-dir" default:"./countersign-data" help:"the data folder of the running system"`
	OTLP    string `name:"otlp" help:"base URL of a receiver of OTLP over HTTP, such as http://127.0.0.1:4318, that gets the same spans"`
	Output  string `name:"output" short:"o" default:"text" oneof:"text|json" help:"text or json"`
}

func newDemoTraceCmd(env environment) *cobra.Command {
	var settings traceSettings
	cmd := &cobra.Command{
		Use: "trace", Short: "Show one request of a user, hop by hop", Args: arguments(),
		Long: "Send one request of a user, GET /orders, through the running `countersign up`, and show it hop by hop: first cold, when service A\n" +
			"has no token and nobody knows the one that it gets, then warm. What is shown comes from the spans of the parts\n" +
			"(OpenTelemetry, W3C Trace Context), which record only what asks for it. Service A is restarted before: it is stateless.",
		Example: "  countersign demo trace\n  countersign demo trace --otlp http://127.0.0.1:4318",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			return runDemoTrace(cmd.Context(), env, settings)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func runDemoTrace(ctx context.Context, env environment, settings traceSettings) error {
	var receiver *url.URL
	if settings.OTLP != "" {
		var err error
		if receiver, err = trace.ParseReceiver(settings.OTLP); err != nil {
			return usageError{fmt.Errorf("--otlp: %w", err)}
		}
	}
	folder := &up.Folder{Path: settings.DataDir}
	if err := checkParts(ctx, settings.DataDir); err != nil {
		return err
	}
	bootstrap, err := folder.ReadBootstrap()
	if err != nil {
		return err
	}
	if _, err := up.Ask(ctx, settings.DataDir, traceCommand); err != nil {
		return err
	}
	d := &demonstration{folder: settings.DataDir, address: bootstrap.EntryURL + "/orders", client: &http.Client{Timeout: time.Minute}}
	cold, warm, err := d.run(ctx)
	if err != nil {
		return err
	}
	if settings.Output == "json" {
		err = printJSON(env.stdout, map[string]any{"url": d.address, "cold": cold, "warm": warm})
	} else {
		fmt.Fprintf(env.stdout, "GET %s\nservice-a was restarted, so that it has no token: it is stateless and loses nothing else.\n\n", d.address)
		err = trace.Print(env.stdout, terminal.For(env.stdout, env.environ), cold, warm)
	}
	if err != nil || receiver == nil {
		return err
	}
	if err := trace.Upload(ctx, receiver, d.spans); err != nil {
		return fmt.Errorf("--otlp: %w", err)
	}
	return nil
}

// checkParts reports the parts that do not run.
func checkParts(ctx context.Context, folder string) error {
	parts, err := up.Tell(ctx, folder, "status")
	if err != nil {
		return err
	}
	var down []string
	for _, part := range parts {
		if part.State != "running" {
			down = append(down, part.Name+" is "+part.State)
		}
	}
	if len(down) > 0 {
		return fmt.Errorf("%s: a trace goes through all parts; `countersign up start PART` starts one again", strings.Join(down, ", "))
	}
	return nil
}

// demonstration sends the requests and gathers their spans.
type demonstration struct {
	folder  string
	address string
	client  *http.Client
	spans   []*otlp.ResourceSpans // of the requests that are shown
}

// run makes service A cold and sends one request, then others until no part has to ask about the token any more: each gateway has to
// learn of it.
func (d *demonstration) run(ctx context.Context) (cold, warm *trace.Request, err error) {
	for _, command := range []string{"stop", "start"} {
		if _, err := up.Tell(ctx, d.folder, command+" "+roleServiceA); err != nil {
			return nil, nil, fmt.Errorf("restart service-a: %w", err)
		}
	}
	sent, err := d.sendCold(ctx)
	if err != nil {
		return nil, nil, err
	}
	if cold, err = d.gather(ctx, sent, true); err != nil {
		return nil, nil, err
	}
	first := d.spans
	const attempts = 8
	for range attempts {
		if sent, err = trace.Send(ctx, d.client, d.address); err != nil {
			return nil, nil, err
		}
		if sent.Status != http.StatusOK {
			return nil, nil, unexpected(sent)
		}
		if warm, err = d.gather(ctx, sent, false); err != nil {
			return nil, nil, err
		}
		if !warm.Asked {
			d.spans = append(first, d.spans...)
			return cold, warm, nil
		}
	}
	return nil, nil, fmt.Errorf("even the last of %d requests in a row made a part ask an authorization server", attempts)
}

// sendCold sends the first request, again while no gateway has noticed that service A is back: it is as cold as before.
func (d *demonstration) sendCold(ctx context.Context) (*trace.Sent, error) {
	const patience, pause = 10 * time.Second, 50 * time.Millisecond
	deadline := time.Now().Add(patience)
	for {
		sent, err := trace.Send(ctx, d.client, d.address)
		if err != nil {
			return nil, err
		}
		if sent.Status == http.StatusOK {
			return sent, nil
		}
		if away := sent.Status == http.StatusBadGateway || sent.Status == http.StatusServiceUnavailable; !away || time.Now().After(deadline) {
			return nil, unexpected(sent)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func unexpected(sent *trace.Sent) error {
	return fmt.Errorf("the request was answered %d, not 200: %s", sent.Status, strings.TrimSpace(sent.Body))
}

// gather waits until all spans of a request are there, and makes its hops of them.
func (d *demonstration) gather(ctx context.Context, sent *trace.Sent, cold bool) (*trace.Request, error) {
	const patience = 10 * time.Second
	deadline := time.Now().Add(patience)
	root := trace.Spans([]*otlp.ResourceSpans{sent.Root})[0]
	known := 0
	for {
		spans, err := d.ask(ctx, sent, known)
		if err != nil {
			return nil, err
		}
		all := trace.Spans(spans)
		request := trace.Assemble(root, all, cold)
		request.Status = sent.Status
		if len(request.Missing) == 0 {
			d.spans = append([]*otlp.ResourceSpans{sent.Root}, spans...)
			return request, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("spans of trace %s are missing: %s", sent.TraceID, strings.Join(request.Missing, "; "))
		}
		known = len(all)
	}
}

// ask returns the spans of a request once there are more than are known, or what there is after a second.
func (d *demonstration) ask(ctx context.Context, sent *trace.Sent, known int) ([]*otlp.ResourceSpans, error) {
	said, err := up.Ask(ctx, d.folder, traceCommand+" "+sent.TraceID.String()+" "+strconv.Itoa(known))
	if err != nil {
		return nil, err
	}
	var answer tracedSpans
	if err := json.Unmarshal(said.Data, &answer); err != nil {
		return nil, errors.New("the control socket's answer cannot be read: was `countersign up` started by another version?")
	}
	return trace.Decode(answer.OTLP)
}
