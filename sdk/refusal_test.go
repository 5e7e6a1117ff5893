package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

func TestRefusal(t *testing.T) {
	verifier, _ := newGuarded(t, sdk.WithRealm("inventory"), sdk.WithResourceMetadata("https://inventory.test/.well-known/oauth-protected-resource"))
	const beginning = `Bearer realm="inventory", resource_metadata="https://inventory.test/.well-known/oauth-protected-resource"`
	for _, tt := range []struct {
		name string
		err  error
		want sdk.Refusal
	}{
		{
			name: "S01: no token", err: &sdk.VerifyError{Kind: sdk.ErrNoToken},
			want: sdk.Refusal{Status: 401, Detail: "no bearer token in the Authorization header", Challenge: beginning},
		},
		{
			name: "S02: an invalid request", err: &sdk.VerifyError{Kind: sdk.ErrInvalidRequest, Detail: "two tokens"},
			want: sdk.Refusal{
				Status: 400, Code: "invalid_request", Detail: "two tokens",
				Challenge: beginning + `, error="invalid_request", error_description="two tokens"`,
			},
		},
		{
			name: "S03: an invalid token", err: &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "expired", Err: errors.New("for logs")},
			want: sdk.Refusal{
				Status: 401, Code: "invalid_token", Detail: "expired",
				Challenge: beginning + `, error="invalid_token", error_description="expired"`,
			},
		},
		{
			name: "wrapped", err: fmt.Errorf("verify: %w", &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "expired"}),
			want: sdk.Refusal{
				Status: 401, Code: "invalid_token", Detail: "expired",
				Challenge: beginning + `, error="invalid_token", error_description="expired"`,
			},
		},
		{
			name: "a bare kind", err: sdk.ErrInvalidToken,
			want: sdk.Refusal{
				Status: 401, Code: "invalid_token", Detail: "the token is not valid",
				Challenge: beginning + `, error="invalid_token", error_description="the token is not valid"`,
			},
		},
		{
			name: "attack 36: what a quoted string cannot hold", err: &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "a\"b\\c\r\nd\x7fé"},
			want: sdk.Refusal{
				Status: 401, Code: "invalid_token", Detail: "a?b?c??d??",
				Challenge: beginning + `, error="invalid_token", error_description="a?b?c??d??"`,
			},
		},
		{
			name: "S08: too few scopes", err: &sdk.VerifyError{Kind: sdk.ErrInsufficientScope, Scope: `a b"`},
			want: sdk.Refusal{
				Status: 403, Code: "insufficient_scope", Detail: "the token lacks a scope that is needed here",
				Challenge: beginning + `, error="insufficient_scope", error_description="the token lacks a scope that is needed here", scope="a b?"`,
			},
		},
		{
			name: "a client that may not call", err: &sdk.VerifyError{Kind: sdk.ErrForbidden},
			want: sdk.Refusal{Status: 403, Detail: "this client may not call here", Challenge: beginning},
		},
		{
			name: "S15: unavailable", err: &sdk.VerifyError{Kind: sdk.ErrUnavailable},
			want: sdk.Refusal{Status: 503, Detail: "the token cannot be checked now", RetryAfter: time.Second},
		},
		{
			name: "unavailable for a while", err: &sdk.VerifyError{Kind: sdk.ErrUnavailable, Detail: "try later", RetryAfter: 2001 * time.Millisecond},
			want: sdk.Refusal{Status: 503, Detail: "try later", RetryAfter: 3 * time.Second},
		},
		{
			name: "unavailable, the cause a bad token of our own", err: &sdk.VerifyError{Kind: sdk.ErrUnavailable, Err: sdk.ErrInvalidToken},
			want: sdk.Refusal{Status: 503, Detail: "the token cannot be checked now", RetryAfter: time.Second},
		},
		{
			name: "closed", err: sdk.ErrClosed,
			want: sdk.Refusal{Status: 503, Detail: "the token cannot be checked now", RetryAfter: time.Second},
		},
		{
			name: "given up", err: fmt.Errorf("verify: %w", context.Canceled),
			want: sdk.Refusal{Status: 503, Detail: "the token cannot be checked now", RetryAfter: time.Second},
		},
		{
			name: "out of time", err: context.DeadlineExceeded,
			want: sdk.Refusal{Status: 503, Detail: "the token cannot be checked now", RetryAfter: time.Second},
		},
		{name: "anything else", err: errors.New("a secret"), want: sdk.Refusal{Status: 500, Detail: "internal error"}},
		{
			name: "anything else as a kind", err: &sdk.VerifyError{Kind: errors.New("a secret"), Detail: "a secret"},
			want: sdk.Refusal{Status: 500, Detail: "internal error"},
		},
		{name: "nothing", want: sdk.Refusal{Status: 500, Detail: "internal error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := verifier.Refusal(tt.err); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestReject(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	verifier, _ := newGuarded(t, sdk.WithLogger(logger))
	for _, tt := range []struct {
		name   string
		err    error
		status int
		header map[string]string
		log    string
	}{
		{
			name: "a challenge", err: &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "expired", Err: errors.New("an hour ago")}, status: 401,
			header: map[string]string{"WWW-Authenticate": `Bearer realm="https://inventory.test", error="invalid_token", error_description="expired"`, "Retry-After": ""},
			log:    `level=DEBUG msg="request refused" … audience=https://inventory.test status=401 error="invalid token: expired: an hour ago"`,
		},
		{
			name: "no challenge", err: &sdk.VerifyError{Kind: sdk.ErrUnavailable, RetryAfter: 7 * time.Second}, status: 503,
			header: map[string]string{"WWW-Authenticate": "", "Retry-After": "7"},
			log:    `level=DEBUG msg="request refused" … audience=https://inventory.test status=503`,
		},
		{
			name: "neither", err: errors.New("confidential"), status: 500,
			header: map[string]string{"WWW-Authenticate": "", "Retry-After": ""},
			log:    `level=ERROR msg="request refused" … audience=https://inventory.test status=500 error=confidential`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log.Reset()
			w := httptest.NewRecorder()
			verifier.Reject(w, httptest.NewRequest(http.MethodGet, "/", nil), tt.err)
			resp := w.Result()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			for name, want := range tt.header {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			checkProblem(t, resp, w.Body.String())
			if strings.Contains(w.Body.String(), "confidential") {
				t.Errorf("shows the cause: %s", w.Body)
			}
			before, after, _ := strings.Cut(tt.log, "…")
			if !strings.Contains(log.String(), before+"component=countersign issuer=https://issuer.test client_id=") || !strings.Contains(log.String(), after) {
				t.Errorf("logged %s, want %s", &log, tt.log)
			}
		})
	}
}

func TestOptionsOfChallenges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option sdk.VerifierOption
		ok     bool
	}{
		{"a realm", sdk.WithRealm("inventory of Example, Inc."), true},
		{"an empty realm", sdk.WithRealm(""), false},
		{"a realm with a quote", sdk.WithRealm(`a"b`), false},
		{"a realm with a line end", sdk.WithRealm("a\r\nb"), false},
		{"https", sdk.WithResourceMetadata("https://a.example/.well-known/oauth-protected-resource/b?c=d"), true},
		{"http on loopback", sdk.WithResourceMetadata("http://[::1]:8080/m"), true},
		{"http elsewhere", sdk.WithResourceMetadata("http://a.example/m"), false},
		{"relative", sdk.WithResourceMetadata("/.well-known/oauth-protected-resource"), false},
		{"a quote", sdk.WithResourceMetadata(`https://a.example/?"`), false},
		{"a fragment", sdk.WithResourceMetadata("https://a.example/#b"), false},
		{"a password", sdk.WithResourceMetadata("https://a:b@a.example/"), false},
		{"no URL", sdk.WithResourceMetadata("https://a.example/%zz"), false},
		{"another scheme", sdk.WithResourceMetadata("ftp://localhost/"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sdk.NewVerifier("https://auth.example", audience, tt.option)
			if (err == nil) != tt.ok {
				t.Errorf("error %v, want none: %v", err, tt.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "With") {
				t.Errorf("does not name the option: %v", err)
			}
		})
	}
}
