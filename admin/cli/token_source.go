package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The ways to authenticate at the token endpoint, RFC 7591 §2.
const (
	basic = "client_secret_basic"
	post  = "client_secret_post"
)

// maxMetadata bounds the metadata and the answers of the token endpoint, in bytes.
const maxMetadata = 1 << 20

// issuer gets access tokens from an authorization server that it finds by RFC 8414.
type issuer struct {
	at      target
	http    *http.Client
	timeout time.Duration
	agent   string
}

// accessToken is the answer of the token endpoint, RFC 6749 §5.1.
type accessToken struct {
	Value   string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"` // seconds
	Scope   string `json:"scope"`
}

// token asks for an access token. resource and scope may be empty. It returns what the server answered, too.
func (i issuer) token(ctx context.Context, resource, scope string) (accessToken, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	endpoint, err := i.discover(ctx)
	if err != nil {
		return accessToken{}, nil, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if resource != "" {
		form.Set("resource", resource)
	}
	if scope != "" {
		form.Set("scope", scope)
	}
	if i.at.method == post {
		form.Set("client_id", i.at.clientID)
		form.Set("client_secret", i.at.secret)
	}
	// A token that is not used does no harm, so the request may be repeated.
	status, body, err := i.patiently(ctx, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if i.at.method != post {
				req.SetBasicAuth(url.QueryEscape(i.at.clientID), url.QueryEscape(i.at.secret)) // RFC 6749 §2.3.1
			}
		}
		return req, err
	})
	if err != nil {
		return accessToken{}, nil, err
	}
	if status != http.StatusOK {
		return accessToken{}, nil, i.refusal(status, body)
	}
	var got accessToken
	if err := json.Unmarshal(body, &got); err != nil || got.Value == "" || !strings.EqualFold(got.Type, "Bearer") {
		return accessToken{}, nil, &remoteError{what: fmt.Sprintf("the token endpoint %s answers without a bearer token", endpoint)}
	}
	return got, body, nil
}

// discover returns the token endpoint. The metadata must be of the very issuer that was asked (RFC 8414 §3.3).
func (i issuer) discover(ctx context.Context) (string, error) {
	u, err := secureURL("issuer", i.at.issuer)
	if err != nil {
		return "", UsageError{err}
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	status, body, err := i.patiently(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	})
	if err != nil {
		return "", err
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		Token  string `json:"token_endpoint"`
	}
	if status >= http.StatusInternalServerError {
		return "", &remoteError{status: status, what: fmt.Sprintf("%s answers %d %s: try again later", u, status, http.StatusText(status))}
	}
	if status != http.StatusOK {
		return "", &remoteError{status: status, what: fmt.Sprintf("%s answers %d: is the issuer right?", u, status)}
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return "", &remoteError{what: fmt.Sprintf("%s is no authorization server metadata: is the issuer right?", u)}
	}
	if metadata.Issuer != i.at.issuer {
		return "", &remoteError{what: fmt.Sprintf("%s calls itself %q, not %q: write the issuer as the server does", u, metadata.Issuer, i.at.issuer)}
	}
	if _, err := secureURL("token_endpoint", metadata.Token); err != nil {
		return "", &remoteError{what: "the metadata of the issuer: " + err.Error()}
	}
	return metadata.Token, nil
}

// patiently sends a request, again if need be, and returns the whole answer.
func (i issuer) patiently(ctx context.Context, request func() (*http.Request, error)) (status int, body []byte, err error) {
	err = again(ctx, func() (wait time.Duration, err error) {
		req, err := request()
		if err != nil {
			return 0, fmt.Errorf("make the request: %w", err)
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("User-Agent", i.agent)
		resp, err := i.http.Do(req)
		if err != nil {
			return 0, &silence{url: i.at.issuer, err: err}
		}
		defer func() { _ = resp.Body.Close() }()
		status = resp.StatusCode
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
		if err != nil {
			return 0, &silence{url: i.at.issuer, err: err}
		}
		return retryAfter(resp), nil
	})
	if silent, ok := errors.AsType[*silence](err); ok {
		return 0, nil, silent.fault("the issuer", i.at.start)
	}
	return status, body, err
}

// refusal makes an error of an error of RFC 6749 §5.2.
func (i issuer) refusal(status int, body []byte) error {
	var told struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &told) // what is not JSON has no description
	return i.refused(status, i.scrubbed(told.Code), i.scrubbed(told.Description))
}

// refused makes an error of what the issuer said.
func (i issuer) refused(status int, code, description string) error {
	if description == "" {
		description = http.StatusText(status)
	}
	if code == "invalid_client" { // the issuer tells nobody more than that
		status = http.StatusUnauthorized
		description += "; `countersign audit failures` says why to an administrator"
	}
	who := "client " + i.at.clientID
	if i.at.profile != "" && !i.at.own {
		who += fmt.Sprintf(" of profile %q", i.at.profile)
	}
	return &remoteError{status: status, what: fmt.Sprintf("the issuer gives no token to %s: %s: %s", who, code, description)}
}

// scrubbed is what a server said without the secret that it was sent, in whatever form it repeats it.
func (i issuer) scrubbed(text string) string {
	escaped := url.QueryEscape(i.at.secret)
	for _, form := range []string{
		i.at.secret, escaped, base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(i.at.clientID) + ":" + escaped)),
	} {
		if form != "" {
			text = strings.ReplaceAll(text, form, "[redacted]")
		}
	}
	return text
}

// isJSON reports whether the answer is JSON of any kind.
func isJSON(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
