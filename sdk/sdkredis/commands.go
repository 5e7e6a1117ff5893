package sdkredis

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/sdk"
)

var (
	_ sdk.RecordReader = (*Store)(nil)
	_ sdk.TokenStore   = (*Store)(nil)
	_ sdk.ReplayStore  = (*Store)(nil)
)

// release gives a lease back. The comparison and the deletion are one step: the lease may pass to another holder between them.
const release = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`

// Read returns the value under key, nil if there is none. A value of more than 16 KiB is an error.
func (s *Store) Read(ctx context.Context, key string) (value []byte, err error) {
	err = s.do(ctx, "getrange", func(ctx context.Context, client *redis.Client) (err error) {
		value, err = client.GetRange(ctx, key, 0, maxValue).Bytes()
		return err
	})
	switch {
	case err != nil || len(value) == 0: // GETRANGE has no other word for a key that does not exist
		return nil, err
	case len(value) > maxValue:
		return nil, fmt.Errorf("redis getrange: the value has more than %d bytes", maxValue)
	}
	return value, nil
}

// Write puts value, of at most 16 KiB, under key for as long as ttl, at least a millisecond.
func (s *Store) Write(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := bounded(value, ttl); err != nil {
		return fmt.Errorf("redis set: %w", err)
	}
	return s.do(ctx, "set", func(ctx context.Context, client *redis.Client) error {
		return client.Set(ctx, key, value, ttl).Err()
	})
}

// Acquire takes the lease for ttl, at least a millisecond, and tells whether it was free.
func (s *Store) Acquire(ctx context.Context, lease, holder string, ttl time.Duration) (free bool, err error) {
	if err := bounded([]byte(holder), ttl); err != nil {
		return false, fmt.Errorf("redis set nx: %w", err)
	}
	err = s.do(ctx, "set nx", func(ctx context.Context, client *redis.Client) (err error) {
		free, err = client.SetNX(ctx, lease, holder, ttl).Result()
		return err
	})
	return free, err
}

// Release gives the lease back, if it is still this holder's.
func (s *Store) Release(ctx context.Context, lease, holder string) error {
	return s.do(ctx, "eval", func(ctx context.Context, client *redis.Client) error {
		return client.Eval(ctx, release, []string{lease}, holder).Err()
	})
}

// replayPrefix is that of keys of DPoP proofs.
const replayPrefix = "csp:"

// Add implements [sdk.ReplayStore]: the first to set the key is told so.
func (s *Store) Add(ctx context.Context, key [32]byte, expires time.Time) (added bool, err error) {
	ttl := max(time.Millisecond, time.Until(expires)+time.Millisecond) // Redis counts whole ones
	err = s.do(ctx, "set nx", func(ctx context.Context, client *redis.Client) (err error) {
		added, err = client.SetNX(ctx, replayPrefix+base64.RawURLEncoding.EncodeToString(key[:]), "1", ttl).Result()
		return err
	})
	return added, err
}

func bounded(value []byte, ttl time.Duration) error {
	if len(value) == 0 || len(value) > maxValue || ttl < time.Millisecond {
		return fmt.Errorf("a value of %d bytes for %v: allowed are 1 to %d bytes and at least 1ms", len(value), ttl, maxValue)
	}
	return nil
}
