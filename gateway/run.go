package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/lb"
)

// RunConfig is what `countersign gateway` is made from.
type RunConfig struct {
	// Path is the document's file, which is followed. One of Path and Text.
	Path string
	// Text is a document that does not change.
	Text []byte
	// Reload has the file be read again though it may not have changed. Nil: only changes do.
	Reload   <-chan os.Signal
	Stderr   io.Writer // takes the log
	LogLevel string    // in place of the document's; empty: the document's
	Environ  []string  // for the standard OTEL_* variables
	Version  string
	Now      func() time.Time
	// Listening is called once requests are answered. May be nil.
	Listening func([]listeners.Status)
}

// process is a running gateway.
type process struct {
	cfg      RunConfig
	log      *slog.Logger
	level    *slog.LevelVar
	registry *prometheus.Registry
	metrics  *Metrics
	reloads  *telemetry.Reloads
	tracing  *telemetry.Tracing
	set      *listeners.Set
	pools    *lb.Pools
	issuers  *Issuers
	limiters *limiters

	current  atomic.Pointer[generation]
	refused  atomic.Pointer[refusedDocument] // the last one, nil once another is in force
	draining atomic.Bool
}

// refusedDocument is one that was not taken.
type refusedDocument struct {
	why string
	at  time.Time
}

// Run serves a document until ctx ends and what is in flight is done. When the file changes, what it says takes the place of what it
// said, without a request lost; if it cannot, the log says why and everything stays as it was. An error says why it did not start,
// or what was cut off at the end.
func Run(ctx context.Context, c RunConfig) (err error) {
	p, err := newProcess(ctx, c)
	if err != nil {
		return err
	}
	text := c.Text
	if c.Path != "" {
		text, err = document.Read(c.Path)
	}
	if err == nil {
		err = p.load(ctx, text)
	}
	if err != nil {
		return errors.Join(err, p.close(ctx))
	}
	p.log.InfoContext(ctx, "listening", "config", c.Path, "routes", len(p.current.Load().gateway.routes))
	if c.Listening != nil {
		c.Listening(p.set.Status())
	}
	if c.Path != "" {
		p.watch(ctx, text)
	} else {
		<-ctx.Done()
	}
	p.draining.Store(true)
	p.log.InfoContext(ctx, "draining")
	err = p.close(ctx)
	p.log.InfoContext(ctx, "stopped")
	return err
}

func newProcess(ctx context.Context, c RunConfig) (*process, error) {
	level := new(slog.LevelVar)
	log := telemetry.NewLeveledLogger(c.Stderr, level)
	registry := telemetry.NewRegistry(c.Version)
	tracing, err := telemetry.StartTracing(ctx, c.Environ, "countersign-gateway", c.Version)
	if err != nil {
		return nil, err
	}
	p := &process{
		cfg: c, log: log, level: level, registry: registry, metrics: NewMetrics(registry), reloads: telemetry.NewReloads(registry), tracing: tracing,
		set: listeners.New(listeners.Config{Logger: log, Now: c.Now}), issuers: &Issuers{Logger: log, Tracing: tracing},
		limiters: &limiters{log: log, registry: registry},
	}
	p.pools = lb.NewPools(lb.PoolsConfig{Logger: log, Registerer: registry, Now: c.Now})
	registry.MustRegister(p.set.Collector(), newVerifierCollector(p))
	return p, nil
}

// watch takes over what the file says, until ctx ends.
func (p *process) watch(ctx context.Context, text []byte) {
	document.Watch(ctx, document.WatchConfig{
		Path: p.cfg.Path, Text: text, Signals: p.cfg.Reload,
		Changed: func(ctx context.Context, text []byte) {
			err := p.load(ctx, text)
			now := p.cfg.Now()
			p.reloads.Done(err, now)
			if err != nil {
				p.refused.Store(&refusedDocument{err.Error(), now})
				p.log.ErrorContext(ctx, "the new configuration is refused, the old one goes on", "config", p.cfg.Path, "error", err)
				return
			}
			p.refused.Store(nil)
			p.log.InfoContext(ctx, "configuration reloaded", "config", p.cfg.Path, "routes", len(p.current.Load().gateway.routes))
		},
		Failed: func(ctx context.Context, err error) {
			p.log.ErrorContext(ctx, "the configuration cannot be read, the old one goes on", "config", p.cfg.Path, "error", err)
		},
	})
}

// close ends everything, in the order in which the parts need each other.
func (p *process) close(ctx context.Context) error {
	errs := []error{p.set.Close()}
	p.issuers.Close()
	p.pools.Close()
	errs = append(errs, p.limiters.close())
	const lastSpans = 2 * time.Second
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer stop()
	return errors.Join(append(errs, p.tracing.Shutdown(last))...)
}

// Check reports everything that is wrong with a document and can be known without serving it. It reads the files that the document names.
func Check(path string) error {
	return inspect(path, func(p *process, n *prepared) error { return p.set.Check(n.specs) })
}

// Explain tells what a gateway with this document would make of a request.
func Explain(ctx context.Context, path, method string, address *url.URL, token string) (e *Explanation, err error) {
	err = inspect(path, func(_ *process, n *prepared) error {
		e = n.next.gateway.Explain(ctx, method, address, token)
		return nil
	})
	return e, err
}

// inspect has a look at what a document means, without serving it.
func inspect(path string, look func(*process, *prepared) error) error {
	text, err := document.Read(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	p, err := newProcess(context.Background(), RunConfig{Path: path, Stderr: io.Discard, Now: time.Now})
	if err != nil {
		return err
	}
	n, err := p.prepare(text)
	if err == nil {
		err = look(p, n)
		n.discard()
	}
	return errors.Join(err, p.close(context.Background()))
}

// Schema returns the JSON Schema of a Document.
func Schema() ([]byte, error) {
	text, err := document.Schema(Document{}, "countersign gateway")
	if err != nil {
		return nil, fmt.Errorf("describe the configuration: %w", err)
	}
	return text, nil
}
