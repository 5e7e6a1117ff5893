package sdk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
)

func TestBearerToken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		want   string
		err    error
	}{
		{name: "a token", values: []string{"Bearer abc"}, want: "abc"},
		{name: "every character that a token may have", values: []string{"Bearer AZaz09-._~+/=="}, want: "AZaz09-._~+/=="},
		{name: "S12: lower case", values: []string{"bearer abc"}, want: "abc"},
		{name: "S12: any case", values: []string{"bEARER abc"}, want: "abc"},
		{name: "several spaces (RFC 9110 §11.4)", values: []string{"Bearer   abc"}, want: "abc"},

		{name: "S01: no header", err: sdk.ErrNoToken},
		{name: "an empty header", values: []string{""}, err: sdk.ErrNoToken},
		{name: "another scheme", values: []string{"Basic abc"}, err: sdk.ErrNoToken},
		{name: "a scheme that begins alike", values: []string{"BearerX abc"}, err: sdk.ErrNoToken},
		{name: "a token without scheme", values: []string{"abc"}, err: sdk.ErrNoToken},
		{name: "a letter that folds to one of ASCII", values: []string{"Baſic abc"}, err: sdk.ErrNoToken},

		{name: "S02: nothing after the scheme", values: []string{"Bearer"}, err: sdk.ErrInvalidRequest},
		{name: "S02: only spaces after the scheme", values: []string{"Bearer   "}, err: sdk.ErrInvalidRequest},
		{name: "S02: two tokens", values: []string{"Bearer abc def"}, err: sdk.ErrInvalidRequest},
		{name: "S02: a space behind", values: []string{"Bearer abc "}, err: sdk.ErrInvalidRequest},
		{name: "S02: a list", values: []string{"Bearer abc,Bearer def"}, err: sdk.ErrInvalidRequest},
		{name: "S02: a quoted token", values: []string{`Bearer "abc"`}, err: sdk.ErrInvalidRequest},
		{name: "S02: padding alone", values: []string{"Bearer =="}, err: sdk.ErrInvalidRequest},
		{name: "S02: padding inside", values: []string{"Bearer a=b"}, err: sdk.ErrInvalidRequest},
		{name: "S02: a tab", values: []string{"Bearer \tabc"}, err: sdk.ErrInvalidRequest},
		{name: "S02: a byte beyond ASCII", values: []string{"Bearer ab\xff"}, err: sdk.ErrInvalidRequest},
		{name: "attack 36: a line end", values: []string{"Bearer abc\r\nX-Client-Id: root"}, err: sdk.ErrInvalidRequest},

		{name: "S11, attack 23: two headers", values: []string{"Bearer abc", "Bearer abc"}, err: sdk.ErrInvalidRequest},
		{name: "S11: two headers, one of another scheme", values: []string{"Basic abc", "Bearer abc"}, err: sdk.ErrInvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdk.BearerToken(tt.values)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("BearerToken(%q) = %q, %v; want %q, %v", tt.values, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestErrorsOfBearerTokenDoNotHoldIt(t *testing.T) {
	for _, values := range [][]string{{"Bearer s3cret, s3cret"}, {"Bearer s3cret", "Bearer s3cret"}, {"Digest s3cret"}} {
		if _, err := sdk.BearerToken(values); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("BearerToken(%q) says %v", values, err)
		}
	}
}

func FuzzBearerToken(f *testing.F) {
	for _, seed := range []string{"Bearer abc", "bearer  a.b.c==", "Bearer", "Bearer =", "Basic YTpi", "Bearer a b", "Bearer a,b", "", "Bearer \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := sdk.BearerToken([]string{value})
		if err != nil {
			if !errors.Is(err, sdk.ErrNoToken) && !errors.Is(err, sdk.ErrInvalidRequest) {
				t.Errorf("BearerToken(%q): %v", value, err)
			}
			return
		}
		if token == "" || strings.ContainsAny(token, " ,;\"'\\\r\n\t\x00") || !strings.HasSuffix(value, token) {
			t.Errorf("BearerToken(%q) = %q", value, token)
		}
		if again, err := sdk.BearerToken([]string{"Bearer " + token}); again != token || err != nil {
			t.Errorf("BearerToken of %q = %q, %v", token, again, err)
		}
	})
}

func BenchmarkBearerToken(b *testing.B) {
	values := []string{"Bearer " + strings.Repeat("abcdefgh", 100)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdk.BearerToken(values); err != nil {
			b.Fatal(err)
		}
	}
}
