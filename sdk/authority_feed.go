package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// feedLimit is how many bytes a snapshot of the revocation feed may have.
const feedLimit = 64 << 20

// errFeedRefused: the server does not let this client read the revocation feed. It goes on until somebody changes the configuration,
// and the error says what.
var errFeedRefused = errors.New("the revocation feed may not be read")

// pollFeed returns what the feed has after cursor, and when the request began.
func (a *authority) pollFeed(ctx context.Context, cursor string) (body []byte, began time.Time, err error) {
	answer, err := a.feed(ctx, cursor, issuer.Request{Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil, time.Time{}, err
	}
	return answer.Body, answer.Began, nil
}

// streamFeed returns the feed's server-sent events after cursor. The stream ends when ctx does or it is closed.
func (a *authority) streamFeed(ctx context.Context, cursor string) (io.ReadCloser, error) {
	answer, err := a.feed(ctx, cursor, issuer.Request{Stream: true, Header: http.Header{
		"Accept":          {"text/event-stream"},
		"Accept-Encoding": {"identity"}, // compressed, events would wait for one another
	}})
	if err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil || media != "text/event-stream" {
		_ = answer.Stream.Close()
		return nil, errors.New("the revocation feed answers with something else than events")
	}
	return answer.Stream, nil
}

func (a *authority) feed(ctx context.Context, cursor string, r issuer.Request) (*issuer.Answer, error) {
	if a.auth == nil {
		return nil, fmt.Errorf("%w: %w", errFeedRefused, errNoCredentials)
	}
	m, err := a.metadata(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := a.own.use(ctx, m, func(own *Token) (*issuer.Answer, error) { return a.askFeed(ctx, m, own, cursor, r) })
	if unknown := notKnown(errFeedRefused, a.clientID, err); unknown != nil {
		return nil, unknown
	}
	if errors.Is(err, errNoForm) {
		return nil, fmt.Errorf("%w: %w", errFeedRefused, err)
	}
	if err != nil {
		return nil, err
	}
	return answer, feedRefusal(answer, a.clientID)
}

// askFeed asks by GET, and by a form where the client's credentials go into one.
func (a *authority) askFeed(ctx context.Context, m *issuer.Metadata, own *Token, cursor string, r issuer.Request) (*issuer.Answer, error) {
	u, err := url.Parse(m.RevocationFeed)
	if err != nil || m.RevocationFeed == "" {
		return nil, fmt.Errorf("the metadata of %s names no revocation feed", a.identifier)
	}
	r.Method, r.Limit, r.Prepare = http.MethodGet, feedLimit, a.admission(own, accepted{m.IntrospectionMethods, m.IntrospectionAlgorithms})
	if own == nil && a.needsBody(m.IntrospectionMethods) {
		r.Method, r.Form = http.MethodPost, url.Values{}
	}
	switch {
	case cursor != "" && r.Form != nil:
		r.Form.Set("after", cursor)
	case cursor != "":
		query := u.Query()
		query.Set("after", cursor)
		u.RawQuery = query.Encode()
	}
	r.URL = u.String()
	return a.server.Do(ctx, r)
}

// feedRefusal says what to change where the server will not let the client read.
func feedRefusal(answer *issuer.Answer, clientID string) error {
	code, description := answer.Refusal()
	switch answer.Status {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the server does not know client %q by these credentials (%s: %s); check its id and secret, or key, "+
			"and that it is registered for this method of authentication", errFeedRefused, clientID, code, description)
	case http.StatusForbidden:
		return fmt.Errorf("%w: client %q is no server of any API (%s: %s); make it one by `countersign api serve API %s`, or grant it "+
			"revocations:read of urn:countersign:server", errFeedRefused, clientID, code, description, clientID)
	}
	return fmt.Errorf("the revocation feed answered %d (%s: %s)", answer.Status, code, description)
}
