package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

const defaultMaxWait = 10 * time.Second

// WithMaxWait sets how long a call waits for a token at most, while there is no valid one: 1 ms to 5 min, 10 s by default. A context that
// ends sooner ends the wait.
func WithMaxWait(wait time.Duration) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if wait < time.Millisecond || wait > 5*time.Minute {
			return fmt.Errorf("WithMaxWait: %s is not within 1ms and 5m", wait)
		}
		c.maxWait = wait
		return nil
	})
}

// WithExchangeCache sets how many tokens are kept that were got in exchange for others ([Client.Exchange]): 8 to 1,048,576, 4,096 by default. Each takes as
// much memory as the token is long, and some 200 bytes. Who has no place any more is exchanged anew.
func WithExchangeCache(tokens int) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if tokens < 8 || tokens > 1<<20 {
			return fmt.Errorf("WithExchangeCache: %d is not within 8 and 1048576", tokens)
		}
		c.exchanges = tokens
		return nil
	})
}

// WithSharedTokens has all instances of a service that have the same client and the same store use one token, for which one of them at a
// time asks the server. What is stored is encrypted with a key that is derived from the client's secret, or [WithSharingKey]'s.
// Instances with an old and a new secret share nothing, and do not disturb each other. If the store fails the server is asked.
func WithSharedTokens(store TokenStore) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if store == nil {
			return errors.New("WithSharedTokens: the store is nil")
		}
		c.shared = store
		return nil
	})
}

// WithSharingKey sets the 32 bytes that tokens are encrypted with for [WithSharedTokens]: for clients that have no secret, or a weak one,
// against which whoever reads the store could try guesses.
func WithSharingKey(key []byte) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if len(key) != 32 {
			return fmt.Errorf("WithSharingKey: the key has %d bytes, not 32", len(key))
		}
		own := bytes.Clone(key)
		c.material = func(context.Context) ([]byte, error) { return own, nil }
		return nil
	})
}

// checkSharing finds where the key for sharing comes from.
func (c *clientConfig) checkSharing(auth ClientAuth) error {
	s, ok := auth.(*secret)
	switch {
	case c.shared != nil && c.dpop != nil && !c.dpop.given:
		return errors.New("WithSharedTokens: tokens that are bound to a key which this Client alone has are of no use to others; give WithDPoP a key")
	case c.shared == nil && c.material != nil:
		return errors.New("WithSharingKey: nothing is shared without WithSharedTokens")
	case c.shared == nil, c.material != nil:
	case ok:
		c.material = func(ctx context.Context) ([]byte, error) {
			value, err := s.value(ctx, c.log)
			return []byte(value), err
		}
	default:
		return errors.New("WithSharedTokens: these credentials have no secret to derive a key from; add WithSharingKey")
	}
	return nil
}
