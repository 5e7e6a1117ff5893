package issuer

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is one request to the server.
type Request struct {
	// Operation is what Config.Trace is told; empty: nothing.
	Operation string
	// Method and URL are the request's; the URL is an endpoint of the metadata.
	Method, URL string
	// Header and Form are sent, Form as the body; nil: without one. They are not changed.
	Header http.Header
	Form   url.Values
	// Prepare adds credentials to copies of Header and Form, anew for every attempt. Its error ends the exchange. It may be nil.
	Prepare func(ctx context.Context, h http.Header, form url.Values) error
	// Limit is how many bytes an answer may have.
	Limit int64
	// Rounds is how often the addresses are gone through; less than 1 is 1.
	Rounds int
	// Stream asks for an answer of status 200 to be handed over unread. It has no time-out once its header has come.
	Stream bool
}

// Answer is what the server said: a status from 200 to 299 or 400 to 499, but not 429.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Stream is the body in place of Body if one was asked for and the status is 200. It is to be closed.
	Stream io.ReadCloser
	// Began is when the attempt that brought the answer began.
	Began time.Time

	hide func(string) string
}

// MaxAge is for how long the answer may be used (RFC 9111 §5.2.2), and false if it does not say. no-store and no-cache are 0.
func (a *Answer) MaxAge() (time.Duration, bool) {
	const longest = 365 * 24 * time.Hour
	age, said := time.Duration(0), false
	for _, header := range a.Header["Cache-Control"] {
		for directive := range strings.SplitSeq(strings.ToLower(header), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch name {
			case "no-store", "no-cache":
				return 0, true
			case "max-age":
				if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil && !said {
					age, said = min(time.Duration(seconds)*time.Second, longest), true
				}
			}
		}
	}
	return age, said
}

// Do exchanges a request. An endpoint at the issuer's own origin is asked at one address after the other, another one where it is. Where
// no answer comes, or a server error does, the next address is tried, then another round after a pause; all but the first attempt
// draw on the issuer's budget for retries. A *Failure is returned when that is over, when ctx ends, on a redirect, and on 429: whoever is
// told to wait (RFC 6585 §4) does not ask the next one in place of that.
func (i *Issuer) Do(ctx context.Context, r Request) (*Answer, error) {
	if r.Operation == "" || i.config.Trace == nil {
		return i.exchange(ctx, &r)
	}
	ctx, end := i.config.Trace(ctx, r.Operation)
	answer, err := i.exchange(ctx, &r)
	switch {
	case err != nil:
		end("unavailable", err)
	case answer.Status >= http.StatusBadRequest:
		end("refused", nil)
	default:
		end("ok", nil)
	}
	return answer, err
}

func (i *Issuer) exchange(ctx context.Context, r *Request) (*Answer, error) {
	targets, err := i.targets(r.URL)
	if err != nil {
		return nil, &Failure{Err: err}
	}
	var last *Failure
	for round := range max(r.Rounds, 1) {
		if round > 0 && !i.pause(ctx, round, last.RetryAfter) {
			return nil, last
		}
		var failed *Failure // in this round
		for n, to := range targets {
			if last != nil && !i.budget.spend() {
				return nil, last
			}
			answer, failure := i.attempt(ctx, r, to.url, i.allowance(ctx, len(targets), n))
			i.note(ctx, to, failure)
			if failure == nil {
				i.budget.gain()
				return answer, nil
			}
			failed = failed.and(failure)
			last = failed
			if !failure.again || failure.Status == http.StatusTooManyRequests || ended(ctx) {
				return nil, last
			}
		}
	}
	return nil, last
}

// allowance is how long the n-th attempt of a round may take: so long that all others can be made too.
func (i *Issuer) allowance(ctx context.Context, of, n int) time.Duration {
	allowed := min(max(i.config.Timeout/time.Duration(of), time.Second), i.config.Timeout)
	if deadline, ok := ctx.Deadline(); ok && of-n > 1 {
		allowed = min(allowed, time.Until(deadline)/time.Duration(of-n))
	}
	return allowed
}

// pause waits before the next round, and tells whether there is a point in it.
func (i *Issuer) pause(ctx context.Context, round int, asked time.Duration) bool {
	backoff := min(50*time.Millisecond<<min(round, 6), 2*time.Second)
	wait := max(rand.N(backoff), asked) //nolint:gosec // jitter, not a secret
	if deadline, ok := ctx.Deadline(); wait > i.config.Timeout || ok && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// target is where an attempt goes; place is of one of the addresses, or -1.
type target struct {
	url   string
	place int
}

func (i *Issuer) targets(endpoint string) ([]target, error) {
	u, err := parseURL(endpoint)
	if err != nil {
		return nil, fmt.Errorf("ask %q: %w", endpoint, err)
	}
	if origin(u) != i.origin {
		return []target{{endpoint, -1}}, nil
	}
	path := u.EscapedPath()
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	all, first := make([]target, len(i.addresses)), int(i.first.Load())
	for n := range all {
		place := (first + n) % len(i.addresses)
		all[n] = target{i.addresses[place].origin + path, place}
	}
	return all, nil
}

// note moves on from an address that does not answer, until one does: that is asked first from then on. So a process whose budget is
// spent, and which has one attempt for a request, comes to the address that is well all the same.
func (i *Issuer) note(ctx context.Context, to target, failed *Failure) {
	if to.place < 0 || failed != nil && (!failed.Unanswered() || ended(ctx)) {
		return
	}
	a := i.addresses[to.place]
	if failed == nil {
		if a.silent.Swap(false) {
			i.config.Log.InfoContext(ctx, "authorization server is available again", "address", a.origin)
		}
		return
	}
	i.first.CompareAndSwap(int64(to.place), int64((to.place+1)%len(i.addresses)))
	if !a.silent.Swap(true) {
		i.config.Log.WarnContext(ctx, "authorization server is unavailable", "address", a.origin, "error", failed.Err)
	}
}

// Doubt returns a function that has the next address be asked first, unless another one is by then: for an answer that makes no sense,
// and so may not be the server's.
func (i *Issuer) Doubt() (moveOn func()) {
	first := i.first.Load()
	return func() { i.first.CompareAndSwap(first, (first+1)%int64(len(i.addresses))) }
}
