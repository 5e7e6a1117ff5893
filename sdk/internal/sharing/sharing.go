// Package sharing lets the instances of one client use one token: it is kept, encrypted, in a store that all of them reach, and one of
// them at a time asks the issuer for the next.
//
// The store is a convenience and never an authority. Where it fails, or another instance takes too long, the issuer is asked.
package sharing

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// storeTimeout ends a call to a store that does not keep to its contract.
const storeTimeout = time.Second

// Store keeps records and leases. Its calls answer within some 50 ms.
type Store interface {
	// Read returns the value under key, nil if there is none.
	Read(ctx context.Context, key string) ([]byte, error)
	// Write puts value under key for ttl.
	Write(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Acquire takes the lease for ttl on behalf of holder, and tells whether it was free.
	Acquire(ctx context.Context, lease, holder string, ttl time.Duration) (bool, error)
	// Release gives the lease back, if it is still this holder's.
	Release(ctx context.Context, lease, holder string) error
}

// Token is a token as the issuer gave it.
type Token struct {
	AccessToken, Type string
	Scopes            []string
	// Began is when the request for it began, and Lifetime how long it lives from then on.
	Began    time.Time
	Lifetime time.Duration
}

// Config configures a [Shared].
type Config struct {
	Store Store
	// Material returns the secret that the keys are derived from. It is asked every time, as secrets change; instances whose secrets
	// differ share nothing.
	Material func(context.Context) ([]byte, error)
	// Issuer, ClientID, Resource and Scopes say what the token is for. A record for anything else is not taken. Scopes are sorted.
	Issuer, ClientID, Resource string
	Scopes                     []string
	// Holder names the key or certificate that tokens are bound to, empty if they are not: those of others are not taken. nil: they are not.
	Holder func(context.Context) (string, error)
	// Fetch asks the issuer.
	Fetch func(context.Context) (*Token, error)
	// Lease is how long one instance has to fetch before the next one may; the others wait no longer than twice that.
	Lease time.Duration
	// Patience is how long an instance without a valid token waits for another one at most; 0: as long as any. Whoever has one can wait.
	Patience time.Duration
	// Looked is told what came of a look into the store: "hit", "miss" or "unavailable". nil: nobody is.
	Looked func(context.Context) (_ context.Context, end func(result string, err error))
	// Log is told when the store fails, and when it works again.
	Log *slog.Logger
}

// Shared is a token that instances share. Its methods may be called by any number of goroutines.
type Shared struct {
	config  Config
	failing atomic.Bool // the store, as it was logged last
	newest  atomic.Pointer[Token]
}

// New returns a Shared. It does no I/O.
func New(config Config) *Shared {
	if config.Looked == nil {
		config.Looked = func(ctx context.Context) (context.Context, func(string, error)) { return ctx, func(string, error) {} }
	}
	return &Shared{config: config}
}

// Token returns the token that is shared, or a new one. It is never refused, an access token that somebody would not have ("": none), or
// an older one than the last if that was refused, nor one past 70 % of its life unless it is new. An error is that of Fetch, or of ctx.
func (s *Shared) Token(ctx context.Context, refused string) (*Token, error) {
	token, err := s.token(ctx, refused)
	if token != nil {
		s.newest.Store(token)
	}
	return token, err
}

func (s *Shared) token(ctx context.Context, refused string) (*Token, error) {
	vault, err := s.open(ctx)
	if err != nil {
		s.note(ctx, err)
		return s.config.Fetch(ctx)
	}
	began, patience, pause := time.Now(), s.patience(refused), firstPause
	for {
		token, err := s.look(ctx, vault, refused)
		if token != nil {
			return token, nil
		}
		switch {
		case err != nil:
			return s.config.Fetch(ctx)
		case time.Since(began) >= patience:
			return s.fetch(ctx, vault)
		}
		holder := rand.Text()
		acquired, err := s.acquire(ctx, vault, holder)
		switch {
		case err != nil:
			return s.config.Fetch(ctx)
		case acquired:
			return s.fetchFor(ctx, vault, holder, refused)
		}
		left := max(patience-time.Since(began), time.Millisecond)
		if err := wait(ctx, min(pause, left)); err != nil {
			return nil, err
		}
		pause = min(2*pause, longestPause)
	}
}

// patience is how long another instance is waited for. Whoever has a valid token waits until a lease ends and another instance has had its
// turn, too. The callers of others would leave before: a store that gives nobody a lease must not cost them their token.
func (s *Shared) patience(refused string) time.Duration {
	long := 2 * s.config.Lease
	last := s.newest.Load()
	valid := last != nil && last.AccessToken != refused && time.Until(last.Began.Add(last.Lifetime)) > long
	if valid || s.config.Patience == 0 {
		return long
	}
	return min(long, s.config.Patience)
}

// fetchFor asks the issuer on behalf of all instances. The lease is ours.
func (s *Shared) fetchFor(ctx context.Context, v *vault, holder, refused string) (*Token, error) {
	defer s.release(ctx, v, holder)
	// Between our last look and the lease another instance may have been done.
	if token, _ := s.look(ctx, v, refused); token != nil {
		return token, nil
	}
	return s.fetch(ctx, v)
}

func (s *Shared) fetch(ctx context.Context, v *vault) (*Token, error) {
	token, err := s.config.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	s.write(ctx, v, token)
	return token, nil
}

// open derives the keys.
func (s *Shared) open(ctx context.Context) (*vault, error) {
	material, err := s.config.Material(ctx)
	if err != nil {
		return nil, fmt.Errorf("derive the key of shared tokens: %w", err)
	}
	holder := ""
	if s.config.Holder != nil {
		if holder, err = s.config.Holder(ctx); err != nil {
			return nil, fmt.Errorf("tell whose the shared token is: %w", err)
		}
	}
	return newVault(material, binding(&s.config, holder))
}

// note logs that the store fails, or works again, once each.
func (s *Shared) note(ctx context.Context, err error) {
	switch {
	case err != nil && !s.failing.Swap(true):
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "token is not shared", slog.Any("error", err))
	case err == nil && s.failing.Swap(false):
		s.config.Log.LogAttrs(ctx, slog.LevelInfo, "token is shared again")
	}
}
