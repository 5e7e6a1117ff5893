package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// call is what is known of a request before its parameters and body are looked at.
type call struct {
	actor  auth.Actor
	bearer string
	body   []byte
	// matches are the states that the request allows, match the one that is being tried.
	matches []registry.Match
	match   registry.Match
	// registry is what a change is asked of: under an Idempotency-Key, repeat, it is carried out once.
	registry *registry.Registry
	repeat   *registry.Repeat // nil: without a key
	header   http.Header      // of the answer
	url      string           // of the request: path and query
	leave    func()           // lets the next large request in
}

type callKey struct{}

// from returns the call that a handler was given.
func from(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) } //nolint:errcheck,forcetypeassert // the router sets it for every operation

// admit finds out who calls, and reads what every operation of its kind is sent.
// Whoever is admitted must leave.
func (s *service) admit(w http.ResponseWriter, r *http.Request, op *operation) (admitted *call, err error) {
	bearer, err := bearerOf(r.Header)
	if err != nil {
		return nil, err
	}
	actor, err := s.Authenticator.Authenticate(r.Context(), bearer)
	if err != nil {
		return nil, err
	}
	x := httpx.From(r.Context())
	x.Client, actor.Source, actor.Request = actor.Client.String(), x.Address.String(), x.ID
	if err := checkQuery(r); err != nil {
		return nil, err
	}
	c := &call{registry: s.Registry, actor: actor, bearer: bearer, header: w.Header(), url: r.URL.RequestURI(), leave: func() {}}
	if c.matches, err = op.read(r.Header); err != nil {
		return nil, err
	}
	if err := op.admits(actor); err != nil {
		return nil, err
	}
	if op.maxBody > 0 {
		if c.leave, err = s.large.enter(); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				c.leave()
			}
		}()
	}
	began := time.Now()
	if c.body, err = readBody(w, r, op); err != nil {
		return nil, err
	}
	if time.Since(began) > atOnce { // the caller may have been shut out meanwhile
		if _, err := s.Authenticator.Authenticate(r.Context(), bearer); err != nil {
			return nil, err
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	if err := c.once(r, op); err != nil {
		return nil, err
	}
	if op.patience > 0 {
		deadline := http.NewResponseController(w)
		_ = deadline.SetReadDeadline(time.Time{}) // the server's would end the context; who cannot set one has none
		_ = deadline.SetWriteDeadline(time.Now().Add(op.patience))
	}
	return c, nil
}

// atOnce is how long a body may take to arrive until it is asked again who calls.
const atOnce = 100 * time.Millisecond

// admits returns fault.InsufficientScope for a caller without the scopes of an operation that takes a large body, before any work is
// done for it. Whether a caller may do what the body asks for is for the registry to say.
func (op *operation) admits(actor auth.Actor) error {
	if op.maxBody == 0 {
		return nil
	}
	held, err := auth.ParseScopes(actor.Scope)
	if err != nil {
		return err
	}
	for _, scope := range op.scopes[0] {
		if !held.Has(scope) {
			return fault.New(fault.InsufficientScope, "the access token does not hold the scope "+scope).At(scope)
		}
	}
	return nil
}

// bearerOf reads the access token, RFC 6750 §2.1. fault.InvalidClient says that there is none.
func bearerOf(h http.Header) (string, error) {
	headers := h["Authorization"]
	if len(headers) > 1 {
		return "", fault.New(fault.InvalidRequest, "there is more than one Authorization header").At("Authorization")
	}
	if len(headers) == 0 {
		return "", errNoToken()
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken()
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || len(token) > auth.MaxTokenLength || strings.ContainsFunc(token, notBearer) {
		return "", fault.New(fault.InvalidToken, "the access token is malformed")
	}
	return token, nil
}

func errNoToken() error {
	return fault.New(fault.InvalidClient, "send an access token for "+auth.AdminAPI+" as Authorization: Bearer")
}

// notBearer reports what b64token of RFC 6750 §2.1 does not hold.
func notBearer(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.ContainsRune("-._~+/=", c):
		return false
	}
	return true
}
