package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// How often and how patiently a request is repeated.
const (
	attempts    = 3
	firstWait   = 200 * time.Millisecond
	longestWait = 5 * time.Second
)

// silence is a request that got no whole answer.
type silence struct {
	url string
	err error
}

func (s *silence) Error() string { return s.err.Error() }

func (s *silence) Unwrap() error { return s.err }

// fault is what the user reads of it; who is "the issuer" or "the admin API", start the command that starts the system, if it is known.
func (s *silence) fault(who, start string) error {
	if errors.Is(s.err, context.Canceled) {
		return errors.New("interrupted")
	}
	if errors.Is(s.err, context.DeadlineExceeded) {
		return &remoteError{status: unreachable, what: fmt.Sprintf("%s at %s does not answer in time", who, s.url)}
	}
	what := fmt.Sprintf("%s at %s does not answer: is it running?", who, s.url)
	if start != "" {
		what += " `" + start + "` starts it"
	}
	return &remoteError{status: unreachable, what: what, err: s.err}
}

// again calls do until it succeeds, at most three times. do asks for another time by a silence that is no timeout, or by a wait above
// zero, which its last answer then stands for.
func again(ctx context.Context, do func() (wait time.Duration, err error)) error {
	pause := firstWait
	for i := 1; ; i++ {
		wait, err := do()
		_, silent := errors.AsType[*silence](err)
		timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		if i == attempts || !silent && wait <= 0 || timeout {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(max(wait, pause), longestWait)):
		}
		pause *= 4
	}
}

// retryAfter returns how long to wait before the request is sent again, zero if that would not help. (RFC 9110 §10.2.3)
func retryAfter(resp *http.Response) time.Duration {
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
	default:
		return 0
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return firstWait
}
