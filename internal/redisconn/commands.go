package redisconn

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redis/redis/v8"
)

// Entry is a value to set.
type Entry struct {
	Key   string
	Value []byte
	TTL   time.Duration // at least a millisecond
}

// maxValue bounds a value that is read, in bytes. The library makes room for whatever Redis announces, so that without a bound
// whoever can write to Redis could exhaust the memory of everybody who reads there.
const maxValue = 128 << 10

// Get returns the value of key, or nil if there is none.
func (c *Conn) Get(ctx context.Context, key string) ([]byte, error) {
	values, err := c.GetMany(ctx, key)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// GetMany returns the values of keys in their order, nil for one that does not exist, is empty, or is longer than 128 KiB, in one
// round trip.
func (c *Conn) GetMany(ctx context.Context, keys ...string) (values [][]byte, err error) {
	values = make([][]byte, len(keys))
	err = c.do(ctx, "get", func(ctx context.Context, client *redis.Client) error {
		if len(keys) == 1 {
			values[0], err = bounded(client.GetRange(ctx, keys[0], 0, maxValue))
			return err
		}
		replies := make([]*redis.StringCmd, len(keys))
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range keys {
				replies[i] = p.GetRange(ctx, key, 0, maxValue)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, reply := range replies {
			if values[i], err = bounded(reply); err != nil {
				return err
			}
		}
		return nil
	})
	return values, err
}

// bounded returns the value of a reply to GETRANGE, which is empty for a key that does not exist, or nil.
func bounded(reply *redis.StringCmd) ([]byte, error) {
	value, err := reply.Bytes()
	if err != nil || len(value) == 0 || len(value) > maxValue {
		return nil, err
	}
	return value, nil
}

// Set sets key to value for the time of ttl, at least a millisecond.
func (c *Conn) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.SetMany(ctx, Entry{key, value, ttl})
}

// SetMany sets all entries in one round trip. After an error any part of them may be set.
func (c *Conn) SetMany(ctx context.Context, entries ...Entry) error {
	for _, e := range entries {
		if e.TTL < time.Millisecond {
			return fmt.Errorf("set %s: time to live %v is below a millisecond", e.Key, e.TTL)
		}
	}
	return c.do(ctx, "set", func(ctx context.Context, client *redis.Client) error {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range entries {
				p.Set(ctx, e.Key, e.Value, e.TTL)
			}
			return nil
		})
		return err
	})
}

// Publish sends message to whoever is subscribed to channel right now.
func (c *Conn) Publish(ctx context.Context, channel, message string) error {
	return c.do(ctx, "publish", func(ctx context.Context, client *redis.Client) error {
		return client.Publish(ctx, channel, message).Err()
	})
}

// Ping returns nil if Redis answers.
func (c *Conn) Ping(ctx context.Context) error {
	return c.do(ctx, "ping", func(ctx context.Context, client *redis.Client) error {
		return client.Ping(ctx).Err()
	})
}

// Script is a Lua script that Redis runs in one step.
type Script struct{ script *redis.Script }

// NewScript takes the text of a script.
func NewScript(text string) *Script { return &Script{redis.NewScript(text)} }

// Eval runs the script, which Redis knows by its hash after the first time. The answer is nil, int64, string or []any of these.
func (c *Conn) Eval(ctx context.Context, s *Script, keys []string, args ...any) (answer any, err error) {
	err = c.do(ctx, "eval", func(ctx context.Context, client *redis.Client) error {
		answer, err = s.script.Run(ctx, client, keys, args...).Result()
		return err
	})
	return answer, err
}
