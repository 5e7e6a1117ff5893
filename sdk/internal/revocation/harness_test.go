package revocation_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

const bound = time.Second

// refusal is how a server says no.
type refusal struct {
	status int
	after  time.Duration
}

func (r refusal) Error() string { return "refused" }

func permanent(err error) bool {
	var r refusal
	return errors.As(err, &r) && (r.status == 401 || r.status == 403)
}

func retryAfter(err error) time.Duration {
	var r refusal
	errors.As(err, &r)
	return r.after
}

// issuer answers polls and streams as the test wants. Its functions are called one at a time.
type issuer struct {
	delay time.Duration // of a poll's answer

	mu     sync.Mutex
	poll   func(cursor string) (string, error)
	stream func(cursor string) (io.ReadCloser, error)
	log    record
}

// record is what an issuer was asked.
type record struct {
	polls   []time.Time
	cursors []string // of polls
	opened  []time.Time
	from    []string // of streams
	changed int
	keys    int // how often keys were taken back
}

// seen returns what i was asked so far.
func (i *issuer) seen() record {
	synctest.Wait()
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log
}

func (i *issuer) config() revocation.Config {
	c := revocation.Config{
		Bound: bound, Leeway: time.Minute, Permanent: permanent, RetryAfter: retryAfter,
		Poll: func(ctx context.Context, cursor string) ([]byte, time.Time, error) {
			i.mu.Lock()
			began := time.Now()
			i.log.polls, i.log.cursors = append(i.log.polls, began), append(i.log.cursors, cursor)
			body, err := i.poll(cursor)
			i.mu.Unlock()
			select {
			case <-time.After(i.delay):
				return []byte(body), began, err
			case <-ctx.Done():
				return nil, began, ctx.Err()
			}
		},
		Changed: func() {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.log.changed++
		},
		KeyRevoked: func() {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.log.keys++
		},
	}
	if i.stream != nil {
		c.Stream = func(_ context.Context, cursor string) (io.ReadCloser, error) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.log.opened, i.log.from = append(i.log.opened, time.Now()), append(i.log.from, cursor)
			return i.stream(cursor)
		}
	}
	return c
}

// answers makes polls be answered by these in turn, the last one again and again.
func (i *issuer) answers(bodies ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.poll = func(string) (string, error) {
		body := bodies[0]
		if len(bodies) > 1 {
			bodies = bodies[1:]
		}
		return body, nil
	}
}

func (i *issuer) fails(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.poll = func(string) (string, error) { return "", err }
}

// follow runs a follower of i in a bubble of its own; it ends, with all its goroutines, before follow returns.
func follow(t *testing.T, i *issuer, test func(t *testing.T, f *revocation.Follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := revocation.New(i.config())
		run(t, f, func() { test(t, f) })
	})
}

func run(t *testing.T, f *revocation.Follower, test func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	synctest.Wait()
	test()
	cancel()
	synctest.Wait()
	select {
	case <-done:
	default:
		t.Error("Run did not end at once")
		<-done
	}
}

// token is one with everything that an entry can name.
func token(revision uint64) *revocation.Subject {
	return &revocation.Subject{
		TokenID: "jti", ClientID: "cl", Credential: "sec", KeyID: "kid", Audience: []string{"https://other", "https://api"}, Revision: revision,
	}
}
