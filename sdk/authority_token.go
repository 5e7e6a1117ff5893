package sdk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/strictjson"
)

const (
	usualLifetime   = 300 * time.Second // of a token of which the server does not say one
	longestLifetime = 10 * 365 * 24 * time.Hour
)

// tokenAnswer is a token that was asked for.
type tokenAnswer struct {
	accessToken string
	tokenType   string // as the server writes it; it means Bearer, or DPoP where that was asked for
	began       time.Time
	lifetime    time.Duration // from began, when the request began: the token is not younger
	scopes      []string
}

// requestToken asks for a token by client credentials (RFC 6749 §4.4) for a resource (RFC 8707), at every address once, bound to the key of d
// if d is not nil. Errors are *TokenError.
func (a *authority) requestToken(ctx context.Context, resource string, scopes []string, d *dpop) (*tokenAnswer, error) {
	return a.obtain(ctx, url.Values{"grant_type": {"client_credentials"}}, resource, scopes, d)
}

// exchangeToken asks for a token in exchange for another (RFC 8693 §2.1), otherwise as requestToken does.
func (a *authority) exchangeToken(ctx context.Context, subject, resource string, scopes []string, d *dpop) (*tokenAnswer, error) {
	return a.obtain(ctx, url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {subject},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}, resource, scopes, d)
}

// obtain asks for a token by the parameters of a grant.
func (a *authority) obtain(ctx context.Context, form url.Values, resource string, scopes []string, d *dpop) (*tokenAnswer, error) {
	m, err := a.metadata(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	if resource != "" {
		form.Set("resource", resource)
	}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	moveOn := a.server.Doubt()
	answer, err := a.askForToken(ctx, m, form, d)
	token, failure := readToken(answer, err, scopes, d)
	if failure == nil {
		return token, nil
	}
	if failure.Code == "" && failure.Status != 0 { // whoever answered, it was no authorization server
		moveOn()
	}
	return nil, failure
}

// askForToken sends a token request, with a proof if d is not nil; once more if the server has a nonce for that (RFC 9449 §8).
func (a *authority) askForToken(ctx context.Context, m *issuer.Metadata, form url.Values, d *dpop) (*issuer.Answer, error) {
	by := a.credentials(accepted{m.TokenMethods, m.TokenAlgorithms})
	r := issuer.Request{Operation: OperationToken, Form: form}
	if _, once := a.auth.(asserting); once || d != nil || form.Has("subject_token") {
		r.Rounds = 2 // the transport does not send again what is good for once, and kept connections do break
	}
	if d == nil {
		return a.post(ctx, m.TokenEndpoint, by, r)
	}
	if err := d.supported(m); err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(m.TokenEndpoint)
	if err != nil {
		return nil, fmt.Errorf("the metadata of %s names no token endpoint", a.identifier) // it was parsed before
	}
	r.Prepare = func(_ context.Context, h http.Header, _ url.Values) error {
		return d.prove(h, http.MethodPost, endpoint, "")
	}
	answer, err := a.post(ctx, m.TokenEndpoint, by, r)
	if err != nil || !d.heed(endpoint, answer.Header) {
		return answer, err
	}
	if code, _ := answer.Refusal(); code != useNonce {
		return answer, nil
	}
	return a.post(ctx, m.TokenEndpoint, by, r)
}

func readToken(answer *issuer.Answer, err error, scopes []string, d *dpop) (*tokenAnswer, *TokenError) {
	if err != nil {
		return nil, unanswered(err)
	}
	if answer.Status != http.StatusOK {
		return nil, refused(answer)
	}
	token, err := parseToken(answer.Body, scopes)
	if err == nil {
		err = token.checkType(d != nil)
	}
	if err != nil {
		return nil, &TokenError{Status: answer.Status, Err: fmt.Errorf("read token answer: %w", err)}
	}
	token.began = answer.Began
	return token, nil
}

// unanswered is the error for a request that no server decided.
func unanswered(err error) *TokenError {
	e := &TokenError{Err: err}
	if failure := (*issuer.Failure)(nil); errors.As(err, &failure) {
		e.Status, e.RetryAfter = failure.Status, failure.RetryAfter
	}
	return e
}

// refused is the error for an answer that is no success. Without a code of RFC 6749 it may be from anybody on the way.
func refused(answer *issuer.Answer) *TokenError {
	code, description := answer.Refusal()
	e := &TokenError{Code: code, Description: description, Status: answer.Status, RetryAfter: answer.RetryAfter()}
	if code == "" {
		e.Err = fmt.Errorf("answered %d %s without an OAuth error code", answer.Status, http.StatusText(answer.Status))
	}
	return e
}

// parseToken reads an answer of RFC 6749 §5.1. No scope in it means the scopes that were asked for.
func parseToken(body []byte, asked []string) (*tokenAnswer, error) {
	token := &tokenAnswer{lifetime: usualLifetime, scopes: asked}
	err := strictjson.Object(body, func(name string, value strictjson.Value) (err error) {
		if value.Kind() == strictjson.Null {
			return nil
		}
		switch name {
		case "access_token":
			token.accessToken, err = value.String()
		case "token_type":
			token.tokenType, err = value.String()
		case "expires_in":
			token.lifetime, err = lifetime(value)
		case "scope":
			var scope string
			scope, err = value.String()
			token.scopes = strings.Fields(scope)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case token.accessToken == "":
		return nil, errors.New("there is no access_token")
	case strings.ContainsFunc(token.accessToken, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, errors.New("access_token holds characters that no header can carry")
	}
	return token, nil
}

// checkType tells whether the token is used as was asked for.
func (t *tokenAnswer) checkType(bound bool) error {
	switch {
	case bound && strings.EqualFold(t.tokenType, bearerScheme):
		return local(errBearer)
	case bound && !strings.EqualFold(t.tokenType, dpopScheme):
		return errors.New("token_type is not DPoP")
	case !bound && strings.EqualFold(t.tokenType, dpopScheme):
		return local(errors.New("token_type is not Bearer but DPoP, which was not asked for; add WithDPoP"))
	case !bound && !strings.EqualFold(t.tokenType, bearerScheme):
		return errors.New("token_type is not Bearer")
	}
	return nil
}

// lifetime reads expires_in: a number of seconds, or one in quotes as some servers have it.
func lifetime(value strictjson.Value) (time.Duration, error) {
	var seconds float64
	text, err := value.String()
	if err == nil {
		var whole uint64
		if whole, err = strconv.ParseUint(text, 10, 32); err != nil {
			return 0, errors.New("is not a number of seconds")
		}
		seconds = float64(whole)
	} else if seconds, err = value.Number(); err != nil {
		return 0, err
	}
	life := time.Duration(min(seconds, longestLifetime.Seconds()) * float64(time.Second))
	if life < time.Second { // it would be replaced all the time
		return 0, errors.New("the token has expired already, or will within a second")
	}
	return life, nil
}
