package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/admin/wire"
)

// maxAnswer bounds an answer of the admin API that is read as a whole, in bytes.
const maxAnswer = 256 << 20

// remote speaks to the admin API.
type remote struct {
	base    string // the URL of wire.Base
	issuer  issuer
	http    *http.Client
	timeout time.Duration
	agent   string
	now     func() time.Time

	token accessToken // of this run
	ends  time.Time
}

func newRemote(at target, timeout time.Duration, env Environment) (*remote, error) {
	if timeout <= 0 {
		return nil, usagef("--request-timeout is %v: allowed is a time above zero", timeout)
	}
	// A redirect is not followed: it would take the token along.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r := &remote{http: client, timeout: timeout, agent: "countersign/" + env.Version, now: env.Now}
	r.issuer = issuer{at: at, http: client, timeout: timeout, agent: r.agent}
	if at.adminURL != "" {
		if _, err := secureURL("admin-url", at.adminURL); err != nil {
			return nil, UsageError{err}
		}
		r.base = strings.TrimSuffix(at.adminURL, "/") + wire.Base
	}
	return r, nil
}

// path joins the segments of a path below wire.Base, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	for _, segment := range segments {
		b.WriteString("/" + url.PathEscape(segment))
	}
	return b.String()
}

// request is a call of the admin API.
type request struct {
	method string
	path   string
	query  url.Values
	body   any    // sent as JSON, if not nil
	match  string // If-Match
	absent bool   // If-None-Match: *
	large  bool   // the answer takes up to ten times as long as others
}

// answer is a successful one. body is valid JSON, or empty.
type answer struct {
	etag string
	body json.RawMessage
}

// do sends the request and returns the answer; a refusal is a *remoteError. What may be repeated without harm is repeated when
// nobody answers or the server says to come again: reads, and POSTs under one Idempotency-Key.
func (r *remote) do(ctx context.Context, req request) (got answer, err error) {
	if err := r.authorize(ctx); err != nil {
		return answer{}, err
	}
	body, err := encodeBody(req.body)
	if err != nil {
		return answer{}, err
	}
	key, timeout := rand.Text(), r.timeout
	if req.large {
		timeout *= 10
	}
	err = again(ctx, func() (time.Duration, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		resp, err := r.send(ctx, req, body, key)
		if err != nil {
			return 0, onlyIf(repeatable(req.method), err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err = read(resp)
		if err != nil {
			if _, silent := errors.AsType[*silence](err); silent {
				return 0, onlyIf(repeatable(req.method), &silence{url: r.base, err: err})
			}
			if repeatable(req.method) {
				return retryAfter(resp), err
			}
		}
		return 0, err
	})
	if silent, ok := errors.AsType[*silence](err); ok {
		err = silent.fault("the admin API", r.issuer.at.start)
	}
	return got, err
}

func repeatable(method string) bool { return method == http.MethodGet || method == http.MethodPost }

// onlyIf keeps a silence from being tried again unless that is harmless.
func onlyIf(harmless bool, err error) error {
	silent, ok := errors.AsType[*silence](err)
	if !ok || harmless {
		return err
	}
	return silent.fault("the admin API", "")
}

func encodeBody(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return text, nil
}

// authorize sees to an access token that lasts for the next request.
func (r *remote) authorize(ctx context.Context) error {
	if r.base == "" {
		return usagef("--admin-url is missing: --issuer names only where tokens come from")
	}
	const margin = 30 * time.Second
	if r.token.Value != "" && r.now().Before(r.ends.Add(-margin)) {
		return nil
	}
	token, _, err := r.issuer.token(ctx, wire.Audience, "")
	if err != nil {
		return err
	}
	r.token, r.ends = token, r.now().Add(time.Duration(token.Expires)*time.Second)
	return nil
}

// send makes one attempt. The caller closes the answer's body.
func (r *remote) send(ctx context.Context, req request, body []byte, key string) (*http.Response, error) {
	at := r.base + req.path
	if len(req.query) > 0 {
		at += "?" + req.query.Encode()
	}
	sent, err := http.NewRequestWithContext(ctx, req.method, at, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	h := sent.Header
	h.Set("Authorization", "Bearer "+r.token.Value)
	h.Set("Accept", "application/json, application/problem+json")
	h.Set("User-Agent", r.agent)
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if req.method == http.MethodPatch {
		h.Set("Content-Type", "application/merge-patch+json")
	}
	if req.method == http.MethodPost {
		h.Set("Idempotency-Key", key)
	}
	if req.match != "" {
		h.Set("If-Match", req.match)
	}
	if req.absent {
		h.Set("If-None-Match", "*")
	}
	resp, err := r.http.Do(sent)
	if err != nil {
		return nil, &silence{url: r.base, err: err}
	}
	return resp, nil
}

// read takes in a whole answer.
func read(resp *http.Response) (answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, &silence{err: err}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answer{}, refusal(resp, body)
	}
	if len(body) > 0 && (!isJSON(resp) || !json.Valid(body)) {
		return answer{}, &remoteError{what: "the admin API answers with something else than JSON: is --admin-url right?"}
	}
	return answer{etag: resp.Header.Get("ETag"), body: body}, nil
}

// refusal reads a problem document, RFC 9457.
func refusal(resp *http.Response, body []byte) error {
	e := &remoteError{status: resp.StatusCode}
	if isJSON(resp) && json.Unmarshal(body, &e.problem) == nil && e.problem.Title+e.problem.Detail != "" {
		return e
	}
	e.problem = wire.Problem{}
	e.what = fmt.Sprintf("%s answers %d %s", resp.Request.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.what += ", a redirect, which is not followed: is --admin-url right?"
	}
	return e
}
