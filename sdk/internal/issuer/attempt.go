package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var errSlow = errors.New("no answer in time")

// attempt asks once. What a 429 or server error says of its reason becomes part of the failure.
func (i *Issuer) attempt(ctx context.Context, r *Request, at string, allowed time.Duration) (*Answer, *Failure) {
	began := time.Now()
	attempt, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(allowed, func() { cancel(errSlow) })
	stop := func() {
		timer.Stop()
		cancel(nil)
	}
	request, hide, err := newRequest(attempt, r, at)
	if err == nil {
		err = i.present(attempt)
	}
	if err != nil {
		stop()
		return nil, &Failure{Err: err} // nobody was asked
	}
	failure := func(status int, err error) (*Answer, *Failure) {
		switch {
		case ended(ctx):
			err = context.Cause(ctx)
		case errors.Is(context.Cause(attempt), errSlow):
			err = fmt.Errorf("%w, %s", errSlow, allowed.Round(time.Millisecond))
		default:
			err = explain(err, hide)
		}
		stop()
		return nil, &Failure{Status: status, Err: fmt.Errorf("ask %s: %w", at, err), again: true}
	}
	resp, err := i.client.Do(request) //nolint:bodyclose // read closes it, or the stream
	if err != nil {
		return failure(0, err)
	}
	answer := &Answer{Status: resp.StatusCode, Header: resp.Header, Began: began, hide: hide}
	if r.Stream && resp.StatusCode == http.StatusOK && timer.Stop() {
		answer.Stream = &stream{resp.Body, cancel}
		return answer, nil
	}
	answer.Body, err = read(resp.Body, r.Limit)
	if errors.Is(err, errLarge) && resp.StatusCode >= http.StatusMultipleChoices { // a page, whose status says what there is to know
		answer.Body, err = nil, nil
	}
	if errors.Is(err, errLarge) {
		stop()
		return nil, &Failure{Status: resp.StatusCode, Err: fmt.Errorf("ask %s: %w of %d bytes", at, err, r.Limit)}
	}
	if err != nil {
		return failure(resp.StatusCode, fmt.Errorf("read answer: %w", err))
	}
	stop()
	return answer.judge(at)
}

// judge tells answers from failures.
func (a *Answer) judge(at string) (*Answer, *Failure) {
	status := fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
	switch {
	case a.Status == http.StatusTooManyRequests || a.Status >= http.StatusInternalServerError:
		if code, description := a.Refusal(); code != "" {
			status = strings.TrimSuffix(status+": "+code+": "+description, ": ")
		}
		return nil, &Failure{
			Status: a.Status, RetryAfter: a.RetryAfter(), again: true, Err: fmt.Errorf("ask %s: answered %s", at, status),
		}
	case a.Status < http.StatusOK || a.Status >= http.StatusMultipleChoices && a.Status < http.StatusBadRequest:
		return nil, &Failure{
			Status: a.Status, Err: fmt.Errorf("ask %s: answered %s to %s; redirects are not followed", at, status, a.elsewhere()),
		}
	}
	return a, nil
}

// elsewhere is the origin that a redirect leads to. The rest of its URL may repeat what was sent.
func (a *Answer) elsewhere() string {
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil || u.Host == "" {
		return "another place"
	}
	return tell(origin(u), 200, a.hide)
}

func newRequest(ctx context.Context, r *Request, at string) (*http.Request, func(string) string, error) {
	header, form := r.Header.Clone(), maps.Clone(r.Form)
	if header == nil {
		header = http.Header{}
	}
	for name, values := range form {
		form[name] = append([]string(nil), values...)
	}
	if r.Prepare != nil {
		if err := r.Prepare(ctx, header, form); err != nil {
			return nil, nil, err
		}
	}
	hide := scrubber(r, header, form)
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, at, body)
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", at, err)
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "countersign-sdk")
	}
	// All that is asked here may be asked twice. By this the transport sends a POST again, too, if a kept connection was just closed by the
	// server; the header itself is not sent. What proves who asks once only is made anew for that, by another attempt.
	if !once(header, form) {
		header["Idempotency-Key"] = nil
	}
	request.Header = header
	return request, hide, nil
}

// once tells whether a request holds what a server takes one time: a client assertion or a DPoP proof.
func once(h http.Header, form url.Values) bool {
	return h.Get("DPoP") != "" || form.Has("client_assertion")
}

var errLarge = errors.New("the answer is above the limit")

func read(body io.ReadCloser, limit int64) ([]byte, error) {
	defer func() { _ = body.Close() }() // what was to be read has been
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, errLarge
	}
	return text, err
}

// stream is a body whose request ends with it.
type stream struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (s *stream) Close() error {
	s.cancel(nil)
	return s.ReadCloser.Close()
}
