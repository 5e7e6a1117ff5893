// Package balancer is the role `countersign lb`: listeners, each in front of a pool, as a document says that may change at any time,
// and a port for operators.
package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/lb"
)

// Config is what a load balancer is made from.
type Config struct {
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
	// Listening is called once requests are answered, and again after each change. May be nil.
	Listening func([]listeners.Status)
}

// process is a running load balancer.
type process struct {
	cfg      Config
	log      *slog.Logger
	level    *slog.LevelVar
	registry *prometheus.Registry
	reloads  *telemetry.Reloads
	tracing  *telemetry.Tracing
	set      *listeners.Set
	pools    *lb.Pools

	current  atomic.Pointer[inForce]
	refused  atomic.Pointer[refusal] // the last one, nil once another configuration is in force
	draining atomic.Bool
}

// Run serves a document until ctx ends and what is in flight is done. When the file changes, what it says takes the place of what it
// said, without a request lost; if it cannot, the log says why and everything stays as it was. An error says why it did not start,
// or what was cut off at the end.
func Run(ctx context.Context, c Config) error {
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

func newProcess(ctx context.Context, c Config) (*process, error) {
	tracing, err := telemetry.StartTracing(ctx, c.Environ, "countersign-lb", c.Version)
	if err != nil {
		return nil, err
	}
	level := new(slog.LevelVar)
	log := telemetry.NewLeveledLogger(c.Stderr, level)
	registry := telemetry.NewRegistry(c.Version)
	p := &process{
		cfg: c, log: log, level: level, registry: registry, reloads: telemetry.NewReloads(registry), tracing: tracing,
		set:   listeners.New(listeners.Config{Logger: log, Now: c.Now}),
		pools: lb.NewPools(lb.PoolsConfig{Logger: log, Registerer: registry, Now: c.Now}),
	}
	registry.MustRegister(p.set.Collector())
	return p, nil
}

// watch takes over what the file says, until ctx ends.
func (p *process) watch(ctx context.Context, text []byte) {
	document.Watch(ctx, document.WatchConfig{
		Path: p.cfg.Path, Text: text, Signals: p.cfg.Reload,
		Changed: func(ctx context.Context, text []byte) {
			if err := p.load(ctx, text); err != nil {
				p.refuse(ctx, err)
				return
			}
			p.reloads.Done(nil, p.cfg.Now())
			p.log.InfoContext(ctx, "configuration reloaded", "config", p.cfg.Path, "sha256", p.current.Load().sum)
		},
		Failed: p.refuse,
	})
}

func (p *process) refuse(ctx context.Context, err error) {
	now := p.cfg.Now()
	p.refused.Store(&refusal{why: err.Error(), at: now})
	p.reloads.Done(err, now)
	p.log.ErrorContext(ctx, "the new configuration is refused, the old one goes on", "config", p.cfg.Path, "error", err)
}

// close ends everything, in the order in which the parts need each other.
func (p *process) close(ctx context.Context) error {
	err := p.set.Close()
	p.pools.Close()
	const lastSpans = 2 * time.Second
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer stop()
	return errors.Join(err, p.tracing.Shutdown(last))
}

// Check reports everything that is wrong with the document of a file and can be known without serving it. It reads the files that the
// document names and looks for upstreams that are found by a name.
func Check(path string) error {
	text, err := document.Read(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	p, err := newProcess(context.Background(), Config{Path: path, Stderr: io.Discard, Now: time.Now})
	if err != nil {
		return err
	}
	n, err := p.prepare(text)
	if err == nil {
		err = p.set.Check(n.specs)
		n.pools.Discard()
	}
	return errors.Join(err, p.close(context.Background()))
}
