package drill

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// send makes one request and says what became of it. expected are statuses that are as they should be, besides those from 200 to 299.
func send(client *http.Client, request *http.Request, expected ...int) (s Sample, body []byte) {
	resp, err := client.Do(request)
	if err != nil {
		return failure(err), nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return failure(err), nil
	}
	s = Sample{Kind: kindOf(resp.StatusCode), Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After") != ""}
	for _, status := range expected {
		if resp.StatusCode == status {
			s.Kind = OK
		}
	}
	if s.Kind != OK {
		s.Detail = problem(body)
	}
	return s, body
}

func kindOf(status int) Kind {
	switch {
	case status >= 200 && status < 300:
		return OK
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return Refused
	case status == http.StatusServiceUnavailable:
		return Unavailable
	case status >= http.StatusInternalServerError:
		return ServerError
	}
	return Unexpected
}

// failure is what became of a request without an answer. What the SDK gives no token for was refused only if the server said so.
func failure(err error) Sample {
	s := Sample{Kind: NoAnswer, Detail: err.Error()}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		s.Detail = wrapped.Err.Error()
	}
	if token, ok := errors.AsType[*sdk.TokenError](err); ok {
		s.Status = token.Status
		if token.Code != "" {
			s.Kind = Refused
		}
	}
	return s
}

// problem is the detail of a problem document (RFC 9457) or of an OAuth error (RFC 6749 §5.2).
func problem(body []byte) string {
	var told struct {
		Detail      string `json:"detail"`
		Title       string `json:"title"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &told) != nil {
		return ""
	}
	for _, text := range []string{told.Detail, told.Description, told.Title, told.Error} {
		if text != "" {
			return text
		}
	}
	return ""
}

// get makes a plain request.
func (r *run) get(ctx context.Context, address string) Sample {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return failure(err)
	}
	s, _ := send(r.http, request)
	return s
}

// post sends a form with a client's credentials to an endpoint of the authorization server at base.
func (r *run) post(ctx context.Context, base, endpoint string, c up.Credential, form url.Values) (Sample, []byte) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return failure(err), nil
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret)) // RFC 6749 §2.3.1
	s, body := send(r.http, request)
	if s.Status == http.StatusBadRequest {
		s.Kind = Refused // an OAuth error is a verdict
	}
	return s, body
}

// token asks for a token and returns it.
func (r *run) token(ctx context.Context, base string, c up.Credential) (Sample, string) {
	s, body := r.post(ctx, base, "/oauth2/token", c, url.Values{"grant_type": {"client_credentials"}, "resource": {c.Resource}})
	var told struct {
		Token string `json:"access_token"`
	}
	if s.Kind == OK && (json.Unmarshal(body, &told) != nil || told.Token == "") {
		s.Kind, s.Detail = Unexpected, "an answer without a token"
	}
	return s, told.Token
}

// introspect asks what a token is worth. A token that is not active is a verdict.
func (r *run) introspect(ctx context.Context, base string, c up.Credential, token string) Sample {
	s, body := r.post(ctx, base, "/oauth2/introspect", c, url.Values{"token": {token}})
	var told struct {
		Active bool `json:"active"`
	}
	if s.Kind == OK && (json.Unmarshal(body, &told) != nil || !told.Active) {
		s.Kind, s.Detail = Refused, `"active": false`
	}
	return s
}
