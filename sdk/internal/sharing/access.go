package sharing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// How long an instance waits between looks for what another one fetches.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// wait waits for a half to the whole of pause.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // G404: only to spread the instances
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look returns the token in the store, nil if there is none to be had. An error means that the store cannot be used.
func (s *Shared) look(ctx context.Context, v *vault, refused string) (*Token, error) {
	traced, end := s.config.Looked(ctx)
	token, err := s.read(traced, v)
	if token != nil && (s.excluded(token, refused) || time.Since(token.Began) >= worth(token.Lifetime)) {
		token = nil
	}
	switch {
	case errors.Is(err, errRecord): // it is written anew
		s.note(ctx, err)
		end("miss", err)
		return nil, nil
	case err != nil:
		s.note(ctx, err)
		end("unavailable", err)
		return nil, err
	}
	s.note(ctx, nil)
	if token == nil {
		end("miss", nil)
	} else {
		end("hit", nil)
	}
	return token, nil
}

// excluded tells whether a token must not be taken since one was refused: it is that one, or older than it. Otherwise whoever can write to
// the store could put back revoked tokens in turn, and the issuer would never be asked.
func (s *Shared) excluded(token *Token, refused string) bool {
	if refused == "" {
		return false
	}
	last := s.newest.Load()
	return token.AccessToken == refused || last != nil && token.Began.Before(last.Began)
}

// worth is how long a token is worth taking. Those who hold it replace it between 70 and 80 % of its life.
func worth(lifetime time.Duration) time.Duration { return lifetime / 10 * 7 }

func (s *Shared) read(ctx context.Context, v *vault) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	record, err := s.config.Store.Read(ctx, v.name)
	if err != nil {
		return nil, fmt.Errorf("read shared token: %w", err)
	}
	if record == nil {
		return nil, nil
	}
	plain, err := v.unseal(record)
	if err != nil {
		return nil, err
	}
	return decode(plain, time.Now())
}

func (s *Shared) acquire(ctx context.Context, v *vault, holder string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	acquired, err := s.config.Store.Acquire(ctx, v.lease, holder, s.config.Lease)
	if err != nil {
		err = fmt.Errorf("acquire lease of shared token: %w", err)
	}
	s.note(ctx, err)
	return acquired, err
}

// write puts a new token into the store. The others are to have it even if nobody wants it here any more.
func (s *Shared) write(ctx context.Context, v *vault, token *Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	ttl := worth(token.Lifetime) - time.Since(token.Began)
	if ttl < time.Millisecond {
		return
	}
	plain, err := encode(token)
	if err == nil {
		err = s.config.Store.Write(ctx, v.name, v.seal(plain), ttl)
	}
	if err != nil {
		err = fmt.Errorf("write shared token: %w", err)
	}
	s.note(ctx, err)
}

// release gives the lease back at once, so that after a failure another instance need not wait for its end.
func (s *Shared) release(ctx context.Context, v *vault, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.config.Store.Release(ctx, v.lease, holder); err != nil {
		s.note(ctx, fmt.Errorf("release lease of shared token: %w", err))
	}
}
