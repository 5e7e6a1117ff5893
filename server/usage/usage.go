// Package usage takes down which secrets and grants are used, and which authentications fail, at next to no cost for the request:
// it counts in memory and writes a sum of it now and then.
package usage

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
)

// DefaultEvery is the time from one flush to the next. What was used since the last one is forgotten if the process is killed.
const DefaultEvery = 30 * time.Second

const (
	flushTimeout = 10 * time.Second
	lastTimeout  = 2 * time.Second // of the flush at the end
	// idle is how long after its last use an entry is kept in memory.
	idle = 10 * time.Minute
	// rowsPerBatch is about how many rows are written in one transaction, so that none of them keeps others waiting.
	rowsPerBatch = 500
)

// Config is what New needs. Log is required; zero values elsewhere mean the defaults.
type Config struct {
	Log        auth.UsageLog
	Now        func() time.Time // time.Now
	Logger     *slog.Logger
	Every      time.Duration         // from one flush to the next; DefaultEvery
	Registerer prometheus.Registerer // nil: no metrics
}

// Collector gathers uses and failures. Run writes them. What cannot be written is kept and written with the next flush; if nobody knows
// whether it was, it is written again, so that numbers may be too high after an outage but never too low. Its methods may be called by
// any number of goroutines.
type Collector struct {
	log      auth.UsageLog
	now      func() time.Time
	logger   *slog.Logger
	every    time.Duration
	metrics  *metrics
	secrets  secretUses
	grants   grantUses
	failures *failures
	flushing sync.Mutex
}

// New returns a collector of nothing yet.
func New(c Config) (*Collector, error) {
	if c.Log == nil {
		return nil, errors.New("collector of uses: a log is needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	return &Collector{log: c.Log, now: c.Now, logger: c.Logger, every: c.Every, metrics: m, failures: newFailures()}, nil
}

// Authenticated notes that a client proved who it is by one of its secrets. All of a minute are one.
func (c *Collector) Authenticated(client auth.ClientID, credential auth.SecretID, source netip.Addr) {
	if credential == (auth.SecretID{}) {
		return // it was no secret: when the client was last here is told by its tokens
	}
	c.secrets.use(secretKey{client, credential}, minuteOf(c.now()), source)
}

// Issued counts a token for the grant that it was issued under.
func (c *Collector) Issued(t *auth.Token) {
	c.grants.use(grantKey{t.Client, t.API, t.Scope}, minuteOf(c.now()))
}

// Failed notes that a client was not authenticated: reason is one of auth.Reasons, client is zero where the id that was sent names no
// client. Beyond a rate for each client no more than their number is kept.
func (c *Collector) Failed(client auth.ClientID, reason string, source netip.Addr, request string) {
	if counter := c.metrics.failed[reason]; counter != nil {
		counter.Inc()
	}
	c.failures.add(auth.Failure{At: c.now().UTC(), Client: client, Reason: reason, Source: addressText(source), Request: request, Count: 1})
}

// Run flushes at every interval until ctx ends, and then once more. Call it once; end it before the log is closed.
func (c *Collector) Run(ctx context.Context) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			c.failures.release()
			if err := c.Flush(last); err != nil {
				c.logger.ErrorContext(last, "uses of secrets and grants are lost", "error", err.Error())
			}
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, flushTimeout)
		err := c.Flush(bounded)
		cancel()
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			c.logger.WarnContext(ctx, "uses of secrets and grants cannot be written yet", "error", err.Error())
		case err == nil && failing:
			c.logger.InfoContext(ctx, "uses of secrets and grants are written again")
		}
		failing = err != nil
	}
}

// minuteOf is the unit in which uses are dated.
func minuteOf(t time.Time) int64 { return t.Unix() / int64(time.Minute/time.Second) }

func timeOf(minute int64) time.Time { return time.Unix(minute*int64(time.Minute/time.Second), 0).UTC() }

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
