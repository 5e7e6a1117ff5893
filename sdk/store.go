package sdk

import (
	"context"
	"time"
)

// RecordReader reads records of the issuer's token store, for [WithTokenStore]. Package sdkredis has one on Redis.
type RecordReader interface {
	// Read returns the value under key, nil if there is none. It answers within some 50 ms or returns an error; an error is a miss.
	Read(ctx context.Context, key string) ([]byte, error)
}

// TokenStore keeps what the instances of a client share, for [WithSharedTokens]. What it keeps is encrypted before it gets there. It
// is never an authority: an error from it costs a request to the authorization server, nothing else. Every call answers within some 50 ms
// or returns an error. Package sdkredis has one on Redis.
type TokenStore interface {
	RecordReader
	// Write puts value under key for as long as ttl.
	Write(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Acquire takes the lease of this name for ttl on behalf of holder, a text that no other holder has, and tells whether it was free.
	Acquire(ctx context.Context, lease, holder string, ttl time.Duration) (bool, error)
	// Release gives the lease back, if it is still this holder's.
	Release(ctx context.Context, lease, holder string) error
}
