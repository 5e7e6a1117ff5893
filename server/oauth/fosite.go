package oauth

import (
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/fault"
)

// throughFosite serves an exchange.
func (e *Endpoint) throughFosite(ctx context.Context, s *session) error {
	access, err := e.engine.NewAccessRequest(ctx, e.exchange, s)
	if err == nil {
		_, err = e.engine.NewAccessResponse(ctx, access)
	}
	if err != nil {
		return translate(err)
	}
	return nil
}

// parsed is a request as fosite wants it, with a form that has been read already: fosite's own reading knows no bounds.
func parsed(grantType string) *http.Request {
	form := url.Values{"grant_type": {grantType}}
	return &http.Request{Method: http.MethodPost, Form: form, PostForm: form, MultipartForm: &multipart.Form{}}
}

// authenticateForFosite is the fosite.ClientAuthenticationStrategy.
func (c *Config) authenticateForFosite(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(ctx, s); err != nil {
		return nil, err
	}
	return &fosite.DefaultClient{ID: s.caller.Client.ID.String()}, nil
}

var errNoSession = errors.New("the request lost its session")

func sessionOf(ctx context.Context) (*session, error) {
	requester, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok {
		return nil, errNoSession
	}
	s, ok := requester.GetSession().(*session)
	if !ok {
		return nil, errNoSession
	}
	return s, nil
}

// SetExpiresAt implements fosite.Session. Expiry is in the decision.
func (*session) SetExpiresAt(fosite.TokenType, time.Time) {}

// GetExpiresAt implements fosite.Session.
func (*session) GetExpiresAt(fosite.TokenType) time.Time { return time.Time{} }

// GetUsername implements fosite.Session. There are no users.
func (*session) GetUsername() string { return "" }

// GetSubject implements fosite.Session.
func (s *session) GetSubject() string { return s.request.Credentials.ClientID }

// Clone implements fosite.Session.
func (s *session) Clone() fosite.Session {
	same := *s
	return &same
}

// translate ends fosite's errors: ours come out as they went in.
func translate(err error) error {
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	if theirs, ok := errors.AsType[*fosite.RFC6749Error](err); ok {
		return fault.Wrap(fault.Internal, "", theirs)
	}
	return err
}
