package redisconn

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/go-redis/redis/v8"
)

// Info returns what Redis says of itself (INFO): version, role, memory and more, by the name of the field.
func (c *Conn) Info(ctx context.Context) (fields map[string]string, err error) {
	err = c.do(ctx, "info", func(ctx context.Context, client *redis.Client) error {
		text, err := client.Info(ctx).Result()
		if err != nil {
			return err
		}
		fields = map[string]string{}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				fields[name] = value
			}
		}
		return nil
	})
	return fields, err
}

// Time returns the time by Redis's clock.
func (c *Conn) Time(ctx context.Context) (now time.Time, err error) {
	err = c.do(ctx, "time", func(ctx context.Context, client *redis.Client) error {
		now, err = client.Time(ctx).Result()
		return err
	})
	return now, err
}

// Denied reports whether Redis refused a call because the user may not make it (its access control list).
func Denied(err error) bool {
	return err != nil && strings.Contains(err.Error(), "NOPERM ")
}

// Sentinel is what one Sentinel says.
type Sentinel struct {
	Address string
	Primary string // the address of the primary that it names; empty if it does not answer or knows none
}

// Sentinels asks every Sentinel of the address who the primary is, in the order of the address. There are none for an address of
// another form.
func (c *Conn) Sentinels(ctx context.Context) []Sentinel {
	if c.address.primary == "" {
		return nil
	}
	all := make([]Sentinel, len(c.address.hosts))
	var asking sync.WaitGroup
	for i, host := range c.address.hosts {
		asking.Go(func() { all[i] = Sentinel{Address: host, Primary: c.askSentinel(ctx, host)} })
	}
	asking.Wait()
	return all
}
