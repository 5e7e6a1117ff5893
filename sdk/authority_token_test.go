package sdk_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

const goodToken = `{"access_token":"tok","token_type":"Bearer","expires_in":3600,"scope":"a b"}`

// basic is the header by which testClient authenticates.
func basic() string {
	return "\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(testClient+":"+testSecret))
}

func TestWhatATokenRequestSays(t *testing.T) {
	const rest = "\nAccept: application/json\nContent-Type: application/x-www-form-urlencoded\n"
	inBody := "client_id=" + testClient + "&client_secret=" + testSecret + "&"
	for _, tt := range []struct {
		name     string
		auth     sdk.ClientAuth
		methods  string
		resource string
		scopes   []string
		want     string
	}{
		{"plain", sdk.Secret(testSecret), "", "", nil, basic() + rest + "grant_type=client_credentials"},
		{
			"resource and scopes", sdk.Secret(testSecret), "", "https://inventory.example/a b",
			[]string{"read", "write"},
			basic() + rest + "grant_type=client_credentials&resource=https%3A%2F%2Finventory.example%2Fa+b&scope=read+write",
		},
		{"post by choice", sdk.SecretPost(testSecret), "", "", nil, rest + inBody + "grant_type=client_credentials"},
		{"post where nothing else is taken", sdk.Secret(testSecret), `["client_secret_post"]`, "", nil, rest + inBody + "grant_type=client_credentials"},
		{"basic where no method is named", sdk.Secret(testSecret), `[]`, "", nil, basic() + rest + "grant_type=client_credentials"},
		{"basic where neither is named", sdk.Secret(testSecret), `["private_key_jwt"]`, "", nil, basic() + rest + "grant_type=client_credentials"},
		{"reserved characters, A08", sdk.Secret("a:b+c%d é&"), "", "", nil, "\nAuthorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte(testClient+":a%3Ab%2Bc%25d+%C3%A9%26")) + rest + "grant_type=client_credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, answers(200, goodToken))
			if tt.methods != "" {
				w.methods = tt.methods
			}
			began := time.Now()
			got, err := w.authority(t, tt.auth).RequestToken(t.Context(), tt.resource, tt.scopes...)
			if err != nil {
				t.Fatal(err)
			}
			if want := "POST /token" + tt.want; w.last() != want {
				t.Errorf("asked\n%s\nwant\n%s", w.last(), want)
			}
			if got.AccessToken != "tok" || got.Lifetime != time.Hour || got.Began.Before(began) || got.Began.After(time.Now()) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestParseToken(t *testing.T) {
	asked := []string{"asked"}
	for _, tt := range []struct {
		name, body string
		lifetime   time.Duration
		scopes     []string
		want       string // in the error
	}{
		{"full", goodToken, time.Hour, []string{"a", "b"}, ""},
		{"bEaReR, scope as asked for", `{"access_token":"tok","token_type":"bEaReR"}`, 300 * time.Second, asked, ""},
		{"strangers and null", `{"access_token":"tok","token_type":"bearer","expires_in":null,"scope":null,"Access_Token":"evil","x":{"y":[1]}}`, 300 * time.Second, asked, ""},
		{"fraction", `{"access_token":"tok","token_type":"bearer","expires_in":1.5}`, 1500 * time.Millisecond, asked, ""},
		{"in quotes", `{"access_token":"tok","token_type":"bearer","expires_in":"60"}`, time.Minute, asked, ""},
		{"for ever", `{"access_token":"tok","token_type":"bearer","expires_in":1e300}`, 10 * 365 * 24 * time.Hour, asked, ""},
		{"no scope is left", `{"access_token":"tok","token_type":"bearer","scope":""}`, 300 * time.Second, nil, ""},
		{"zero", `{"access_token":"tok","token_type":"bearer","expires_in":0}`, 0, nil, "expires_in: the token has expired already"},
		{"negative", `{"access_token":"tok","token_type":"bearer","expires_in":-1}`, 0, nil, "expired"},
		{"far below zero", `{"access_token":"tok","token_type":"bearer","expires_in":-1e300}`, 0, nil, "expired"},
		{"next to nothing", `{"access_token":"tok","token_type":"bearer","expires_in":1e-300}`, 0, nil, "expired"},
		{"less than a second", `{"access_token":"tok","token_type":"bearer","expires_in":0.999}`, 0, nil, "expired"},
		{"a second", `{"access_token":"tok","token_type":"bearer","expires_in":1}`, time.Second, asked, ""},
		{"no number", `{"access_token":"tok","token_type":"bearer","expires_in":true}`, 0, nil, "expires_in"},
		{"not a number in quotes", `{"access_token":"tok","token_type":"bearer","expires_in":"1h"}`, 0, nil, "expires_in"},
		{"beyond numbers", `{"access_token":"tok","token_type":"bearer","expires_in":1e999}`, 0, nil, "expires_in"},
		{"no token", `{"token_type":"bearer"}`, 0, nil, "no access_token"},
		{"another name", `{"Access_token":"tok","token_type":"bearer"}`, 0, nil, "no access_token"},
		{"empty token", `{"access_token":"","token_type":"bearer"}`, 0, nil, "no access_token"},
		{"attack 36 line end in the token", `{"access_token":"tok\r\nX-Admin: 1","token_type":"bearer"}`, 0, nil, "no header can carry"},
		{"token is a number", `{"access_token":1,"token_type":"bearer"}`, 0, nil, "access_token"},
		{"attack 14 two tokens", `{"access_token":"tok","access_token":"kot","token_type":"bearer"}`, 0, nil, "same name"},
		{"no type", `{"access_token":"tok"}`, 0, nil, "token_type is not Bearer"},
		{"DPoP", `{"access_token":"tok","token_type":"DPoP"}`, 0, nil, "token_type is not Bearer"},
		{"scope is a list", `{"access_token":"tok","token_type":"bearer","scope":["a"]}`, 0, nil, "scope"},
		{"page", `<html>tok</html>`, 0, nil, "not strict JSON"},
		{"empty", ``, 0, nil, "not strict JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdk.ParseToken([]byte(tt.body), asked...)
			if err != nil || tt.want != "" {
				if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "tok\"") {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if got.AccessToken != "tok" || got.Lifetime != tt.lifetime || !slices.Equal(got.Scopes, tt.scopes) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhyThereIsNoToken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   sdk.TokenError
		text   string
	}{
		{
			"refused", answers(401, `{"error":"invalid_client","error_description":"no"}`),
			sdk.TokenError{Code: "invalid_client", Description: "no", Status: 401},
			"token request refused: invalid_client: no",
		},
		{"400", answers(400, `{"error":"invalid_scope"}`), sdk.TokenError{Code: "invalid_scope", Status: 400}, "refused: invalid_scope"},
		{"not now", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			answers(400, `{"error":"temporarily_unavailable"}`)(w, r)
		}, sdk.TokenError{Code: "temporarily_unavailable", Status: 400, RetryAfter: 7 * time.Second}, "refused: temporarily_unavailable"},
		{"page", answers(404, `<html>`), sdk.TokenError{Status: 404}, "answered 404 Not Found without an OAuth error code"},
		{"429", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "9")
			answers(429, `{"error":"temporarily_unavailable","error_description":"tokens are not cached"}`)(w, r)
		}, sdk.TokenError{Status: 429, RetryAfter: 9 * time.Second}, "429 Too Many Requests: temporarily_unavailable: tokens are not cached"},
		{"503", answers(503, ``), sdk.TokenError{Status: 503}, "answered 503"},
		{"500", answers(500, `{"error":"server_error"}`), sdk.TokenError{Status: 500}, "server_error"},
		{"302", answers(302, ``), sdk.TokenError{Status: 302}, "redirects are not followed"},
		{"no JSON", answers(200, `tok`), sdk.TokenError{Status: 200}, "read token answer: not strict JSON"},
		{"204", answers(204, ``), sdk.TokenError{Status: 204}, "204"},
		{"too large", answers(200, goodToken+strings.Repeat(" ", 64<<10)), sdk.TokenError{Status: 200}, "limit of 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, tt.answer)
			_, err := w.authority(t, sdk.Secret(testSecret)).RequestToken(t.Context(), "")
			var got *sdk.TokenError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Code != tt.want.Code || got.Description != tt.want.Description || got.Status != tt.want.Status || got.RetryAfter != tt.want.RetryAfter {
				t.Errorf("got %#v", got)
			}
			if errors.Is(err, sdk.ErrUnavailable) != (tt.want.Code == "") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An address that leads to somebody else costs one attempt.
func TestTheNextAddressIsAskedForAToken(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"page": answers(404, `<html>`), "redirect": answers(302, ``), "no JSON": answers(200, `tok`),
		"no token": answers(200, `{"ok":true}`), "too large": answers(200, strings.Repeat(" ", 64<<10+1)),
	} {
		t.Run(name, func(t *testing.T) {
			good := newWire(t, answers(200, goodToken))
			wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/.well-known/") { // here it leads to the right one
					good.serve(w, r)
					return
				}
				answer(w, r)
			}))
			defer wrong.Close()
			for range 4 { // which is asked first is random
				a := good.authority(t, sdk.Secret(testSecret), sdk.WithAddresses(good.URL, wrong.URL))
				_, err := a.RequestToken(t.Context(), "")
				if err != nil {
					_, err = a.RequestToken(t.Context(), "")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNoServerNoToken(t *testing.T) {
	w := newWire(t, answers(200, goodToken))
	a := w.authority(t, sdk.Secret(testSecret))
	w.Close()
	_, err := a.RequestToken(t.Context(), "")
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "get metadata: ask "+w.URL) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w = newWire(t, answers(200, goodToken))
	if _, err := w.authority(t, sdk.Secret(testSecret)).RequestToken(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w = newWire(t, answers(200, goodToken))
	a = w.authority(t, sdk.Secret(testSecret))
	a.Close()
	if _, err := a.RequestToken(t.Context(), ""); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("got %v", err)
	}
	w.lacks = "token_endpoint"
	if _, err := w.authority(t, sdk.Secret(testSecret)).RequestToken(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "names no endpoint") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(goodToken))
	f.Add([]byte(`{"access_token":"a","token_type":"bearer","expires_in":"1"}`))
	f.Add([]byte(`{"access_token":"\u0000","token_type":"bearer","expires_in":1e-9,"scope":" a  b "}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := sdk.ParseToken(body, "asked")
		if err != nil {
			return
		}
		if got.Lifetime < time.Second || got.Lifetime > 10*365*24*time.Hour {
			t.Errorf("lives %s", got.Lifetime)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+got.AccessToken)
		var b strings.Builder
		if err := r.Header.Write(&b); err != nil || b.String() != "Authorization: Bearer "+got.AccessToken+"\r\n" {
			t.Errorf("header %q of %q", b.String(), got.AccessToken)
		}
		if slices.Contains(got.Scopes, "") {
			t.Errorf("scopes %q", got.Scopes)
		}
	})
}
