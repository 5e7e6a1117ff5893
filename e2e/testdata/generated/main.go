// Command generated walks through administration by the client that was generated from the OpenAPI document into package admin: it adds
// two services, lets one call the other, rotates a secret and takes tokens back. Its arguments are the addresses of the admin
// API and of the token endpoint; ACCESS_TOKEN holds a token for the former.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"

	"generated/admin"
)

func main() {
	if err := walk(context.Background(), os.Args[1], os.Args[2], os.Getenv("ACCESS_TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type walkthrough struct {
	api        *admin.ClientWithResponses
	tokens     string
	identifier string
}

func walk(ctx context.Context, address, tokens, bearer string) error {
	api, err := admin.NewClientWithResponses(address, admin.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+bearer)
		return nil
	}))
	if err != nil {
		return err
	}
	w := walkthrough{api, tokens, "https://generated.example"}
	called, caller, err := w.make(ctx)
	if err != nil {
		return err
	}
	if err := w.allow(ctx, caller, called); err != nil {
		return err
	}
	if err := w.rotate(ctx, caller); err != nil {
		return err
	}
	return w.end(ctx, caller)
}

// make adds an API and the client that will call it. The second attempt under the same key changes nothing.
func (w walkthrough) make(ctx context.Context) (api, client string, err error) {
	format := admin.APIBodyTokenFormat("opaque")
	scopes := []admin.Scope{{Name: "read"}, {Name: "write"}}
	made, err := w.api.CreateAPIWithResponse(ctx, &admin.CreateAPIParams{}, admin.APIBody{
		Identifier: w.identifier, Name: "Generated", Scopes: &scopes, TokenFormat: &format,
	})
	if err != nil || made.JSON201 == nil {
		return "", "", failed("create API", err, made)
	}
	key := "generated-0123456789"
	for range 2 {
		caller, err := w.api.CreateClientWithResponse(ctx, &admin.CreateClientParams{IdempotencyKey: &key}, admin.ClientBody{Name: "generated"})
		if err != nil || caller.JSON201 == nil {
			return "", "", failed("create client", err, caller)
		}
		if client != "" && client != caller.JSON201.ClientId {
			return "", "", errors.New("a repeated call made a second client")
		}
		client = caller.JSON201.ClientId
	}
	taken, err := w.api.CreateClientWithResponse(ctx, &admin.CreateClientParams{}, admin.ClientBody{Name: "generated"})
	if err != nil || taken.ApplicationproblemJSON409 == nil {
		return "", "", failed("create client of a name that is taken", err, taken)
	}
	return made.JSON201.ApiId, client, nil
}

func (w walkthrough) allow(ctx context.Context, client, api string) error {
	params := admin.ExplainParams{Client: client, Api: &api}
	for _, allowed := range []bool{false, true} {
		if allowed {
			any := admin.PutGrantParamsIfNoneMatch("*")
			granted, err := w.api.PutGrantWithResponse(ctx, client, api, &admin.PutGrantParams{IfNoneMatch: &any}, admin.GrantBody{Scopes: []string{"read"}})
			if err != nil || granted.JSON201 == nil {
				return failed("grant", err, granted)
			}
			if _, err := w.secret(ctx, client); err != nil {
				return err
			}
		}
		answer, err := w.api.ExplainWithResponse(ctx, &params)
		if err != nil || answer.JSON200 == nil {
			return failed("explain", err, answer)
		}
		if answer.JSON200.Allowed != allowed {
			return fmt.Errorf("explain says %t, want %t: %v", answer.JSON200.Allowed, allowed, answer.JSON200.Reasons)
		}
	}
	return nil
}

func (w walkthrough) secret(ctx context.Context, client string) (string, error) {
	added, err := w.api.AddSecretWithResponse(ctx, client, &admin.AddSecretParams{}, admin.SecretBody{})
	if err != nil || added.JSON201 == nil {
		return "", failed("add secret", err, added)
	}
	return *added.JSON201.ClientSecret, w.token(ctx, client, *added.JSON201.ClientSecret, http.StatusOK)
}

// rotate makes a new secret; those before work on.
func (w walkthrough) rotate(ctx context.Context, client string) error {
	old, err := w.secret(ctx, client)
	if err != nil {
		return err
	}
	overlap := int64(3600)
	rotated, err := w.api.RotateSecretsWithResponse(ctx, client, &admin.RotateSecretsParams{}, admin.RotationBody{OverlapSeconds: &overlap})
	if err != nil || rotated.JSON201 == nil {
		return failed("rotate", err, rotated)
	}
	return errors.Join(w.token(ctx, client, old, http.StatusOK), w.token(ctx, client, *rotated.JSON201.ClientSecret, http.StatusOK))
}

// end takes the client's tokens back and removes it, which needs the state that it has.
func (w walkthrough) end(ctx context.Context, client string) error {
	revoked, err := w.api.RevokeTokensWithResponse(ctx, &admin.RevokeTokensParams{}, admin.RevocationBody{ClientId: &client})
	if err != nil || revoked.JSON200 == nil || revoked.JSON200.RevokedTokens < 4 {
		return failed("revoke", err, revoked)
	}
	found, err := w.api.GetClientWithResponse(ctx, client)
	if err != nil || found.JSON200 == nil {
		return failed("get client", err, found)
	}
	etag, stale := found.HTTPResponse.Header.Get("ETag"), `"9999"`
	for _, c := range []struct {
		match  *string
		status int
	}{{nil, http.StatusPreconditionRequired}, {&stale, http.StatusPreconditionFailed}, {&etag, http.StatusOK}, {&etag, http.StatusNotFound}} {
		removed, err := w.api.DeleteClientWithResponse(ctx, client, &admin.DeleteClientParams{IfMatch: c.match})
		if err != nil || removed.StatusCode() != c.status {
			return failed(fmt.Sprint("delete client, wanting ", c.status), err, removed)
		}
	}
	return nil
}

func (w walkthrough) token(ctx context.Context, client, secret string, status int) error {
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {w.identifier}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.tokens, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client, secret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != status {
		return fmt.Errorf("token endpoint: %s", answer.Status)
	}
	return nil
}

// failed says what an answer of any operation holds.
func failed(what string, err error, answer any) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: the answer is %s", what, reflect.ValueOf(answer).Elem().FieldByName("Body").Bytes())
}
