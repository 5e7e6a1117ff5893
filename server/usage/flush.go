package usage

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Flush writes what has gathered. What it cannot write stays.
func (c *Collector) Flush(ctx context.Context) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	oldest := minuteOf(c.now()) - int64(idle/time.Minute)
	err := errors.Join(c.flushSecrets(ctx, oldest), c.flushGrants(ctx, oldest), c.flushFailures(ctx))
	if err != nil {
		c.metrics.flushFailed.Inc()
		return err
	}
	c.metrics.flushed.Inc()
	return nil
}

func (c *Collector) flushSecrets(ctx context.Context, oldest int64) error {
	for batch := range slices.Chunk(c.secrets.take(oldest), rowsPerBatch) {
		rows := make([]auth.ClientSecretUse, len(batch))
		for i, w := range batch {
			rows[i] = w.ClientSecretUse
		}
		if err := c.log.RecordUses(ctx, rows, nil); err != nil {
			return err // whatever is not said to be written stays
		}
		for _, w := range batch {
			w.written()
		}
	}
	return nil
}

func (c *Collector) flushGrants(ctx context.Context, oldest int64) error {
	all := slices.Collect(maps.Values(c.grants.take(oldest)))
	for len(all) > 0 {
		var rows []auth.GrantUse
		n := 0
		for ; n < len(all) && len(rows) < rowsPerBatch; n++ {
			rows = slices.AppendSeq(rows, maps.Values(all[n].rows))
		}
		if err := c.log.RecordUses(ctx, nil, rows); err != nil {
			for _, t := range all {
				t.putBack()
			}
			return err
		}
		all = all[n:]
	}
	return nil
}

func (c *Collector) flushFailures(ctx context.Context) error {
	all := c.failures.take(c.now())
	for len(all) > 0 {
		n := min(len(all), rowsPerBatch)
		if err := c.log.RecordFailures(ctx, all[:n]); err != nil {
			c.failures.putBack(all)
			return err
		}
		all = all[n:]
	}
	c.failures.putBack(nil)
	return nil
}
