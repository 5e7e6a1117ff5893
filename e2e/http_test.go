package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// credential is a client's id and secret.
type credential struct{ ID, Secret string }

// answer is an HTTP response.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
	JSON   map[string]any // of the body, if it is a JSON object
}

// Text returns a member of the JSON body that is a string, "" if there is none.
func (a answer) Text(name string) string {
	text, _ := a.JSON[name].(string)
	return text
}

// post sends a form, authenticated by client_secret_basic unless the credential is empty. It is for any goroutine.
func post(ctx context.Context, endpoint string, c credential, form url.Values) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != (credential{}) {
		request.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return do(request)
}

func get(ctx context.Context, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	return do(request)
}

func do(request *http.Request) (answer, error) {
	return doBy(&http.Client{Timeout: endWithin}, request)
}

// doBy is do by a client of the test's own.
func doBy(client *http.Client, request *http.Request) (answer, error) {
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, err
	}
	got := answer{Status: response.StatusCode, Header: response.Header, Body: body}
	_ = json.Unmarshal(body, &got.JSON) // not every body is an object
	return got, nil
}

// askToken asks for a token by client_credentials and form, which may be nil. It is for any goroutine.
func askToken(ctx context.Context, issuer string, c credential, form url.Values) (answer, error) {
	all := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(all, form)
	return post(ctx, issuer+"/oauth2/token", c, all)
}

// token returns an access token; anything but 200 ends the test.
func token(t *testing.T, issuer string, c credential, form url.Values) string {
	t.Helper()
	got, err := askToken(t.Context(), issuer, c, form)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK || got.Text("access_token") == "" {
		t.Fatalf("token: %d %s", got.Status, got.Body)
	}
	return got.Text("access_token")
}

// introspect returns the answer of the introspection endpoint; anything but 200 ends the test.
func introspect(t *testing.T, issuer string, c credential, token string) answer {
	t.Helper()
	return postForToken(t, issuer+"/oauth2/introspect", c, token)
}

// active reports whether introspection says that the token is active.
func active(t *testing.T, issuer string, c credential, token string) bool {
	t.Helper()
	return introspect(t, issuer, c, token).JSON["active"] == true
}

// revoke revokes a token; anything but 200 ends the test.
func revoke(t *testing.T, issuer string, c credential, token string) {
	t.Helper()
	postForToken(t, issuer+"/oauth2/revoke", c, token)
}

func postForToken(t *testing.T, endpoint string, c credential, token string) answer {
	t.Helper()
	got, err := post(t.Context(), endpoint, c, url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", endpoint, got.Status, got.Body)
	}
	return got
}
