package issuer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Failure is why there is no answer that could be gone by.
type Failure struct {
	// Status is the HTTP status of the last answer that came; 0: none did.
	Status int
	// RetryAfter is for how long the server asks to be left alone; 0: it did not say.
	RetryAfter time.Duration
	// Err says what happened at each address. It matches context errors only if it was the caller's context that ended.
	Err error

	again bool // another attempt may fare better
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Unanswered tells whether there was no answer, or only that of a server in trouble. One that asks to be left alone (429) is well.
func (f *Failure) Unanswered() bool { return f.again && f.Status != http.StatusTooManyRequests }

// decided tells whether the server answered, with something that can be no answer and that it will say again.
func (f *Failure) decided() bool { return f.Status != 0 && !f.again }

// and adds what happened at the address asked after that of f. f may be nil.
func (f *Failure) and(next *Failure) *Failure {
	if f == nil {
		return next
	}
	sum := *next
	sum.Err = fmt.Errorf("%w; %w", f.Err, next.Err)
	sum.RetryAfter, sum.again = max(f.RetryAfter, next.RetryAfter), f.again || next.again
	if next.Status == 0 {
		sum.Status = f.Status
	}
	return &sum
}

// cause is an error of the transport in words that hold no credential.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// explain says why there was no answer, and what can be done about it.
func explain(err error, hide func(string) string) error {
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err // it repeats method and URL
	}
	var (
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		text    string
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		text = fmt.Sprintf("the server's certificate is good from %s to %s only: %s",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339), err)
	case errors.As(err, &unknown):
		text = err.Error() + " (give an HTTP client that trusts it)"
	default:
		text = err.Error()
	}
	return &cause{text: tell(text, 500, hide), err: err}
}

// ended tells whether it was the caller's context that ended.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// RetryAfter is for how long the server asks to be left alone (RFC 9110 §10.2.3), in seconds or until a date; 0: it does not say.
func (a *Answer) RetryAfter() time.Duration {
	const longest = 24 * time.Hour
	text := strings.TrimSpace(a.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(time.Until(date), 0), longest)
}
