package jwks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

// update is a set that takes the place of the one before.
type update struct {
	keys    []*jose.Key
	body    []byte
	fetched time.Time // when it was asked for
}

// Restore takes over a set that was fetched earlier, by this program or one before it, until the first fetch succeeds. It is called
// before Run. A set from the future, or older than the hard maximum age, is an error, and so is one that cannot be read.
func (c *Cache) Restore(body []byte, fetched time.Time) error {
	age := time.Since(fetched)
	if age < 0 || age >= c.config.HardMaxAge {
		return errors.New("restore key set: its age is not between 0 and the hard maximum age")
	}
	parsed, _, err := jose.ParseKeySet(body)
	if err != nil {
		return fmt.Errorf("restore key set: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(update{parsed, body, fetched})
	return nil
}

// accept ends the flight that brought u, and tells whether u is another set than the one before.
func (c *Cache) accept(ctx context.Context, f *flight, u update) bool {
	c.mu.Lock()
	changed, first := !bytes.Equal(u.body, c.body), c.state.Fetched.IsZero()
	added, gone := c.replace(u)
	c.state.Fetches++
	c.failed = nil
	f.end(nil)
	c.mu.Unlock()
	level := slog.LevelInfo
	if first {
		level = slog.LevelDebug // those that were there before this program are no news
	}
	for _, held := range added {
		c.config.Log.Log(ctx, level, "signing key is new", slog.String("key_id", held.ID()))
	}
	for _, held := range gone {
		c.config.Log.InfoContext(ctx, "signing key is withdrawn", slog.String("key_id", held.ID()))
	}
	return changed
}

// replace makes the keys of u those that are held. The caller holds mu.
func (c *Cache) replace(u update) (added, gone []*Held) {
	before := c.keys.Load()
	after := before.succeed(u.keys)
	added, gone = after.without(before), before.without(after)
	c.keys.Store(after)
	c.withdraw(gone)
	c.body, c.state.Fetched = u.body, u.fetched
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.expiry = time.AfterFunc(c.config.HardMaxAge-time.Since(u.fetched), func() { c.expire(after) })
	return added, gone
}

// withdraw marks keys that find returns no more. The caller holds mu.
func (c *Cache) withdraw(gone []*Held) {
	for _, held := range gone {
		held.withdrawn.Store(true)
	}
	c.state.Withdrawn += uint64(len(gone))
}

// expire drops the keys of a set that has reached the hard maximum age, unless there is a newer one.
func (c *Cache) expire(set *keys) {
	c.mu.Lock()
	tooOld := c.keys.CompareAndSwap(set, nil)
	if tooOld {
		c.withdraw(set.all)
	}
	c.mu.Unlock()
	if tooOld {
		c.config.Log.Error("signing keys dropped: no key set could be fetched for the hard maximum age")
	}
}
