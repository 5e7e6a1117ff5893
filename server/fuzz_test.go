package server_test

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server"
)

// refusable fails for an error that a parser must not return.
func refusable(t *testing.T, err error, codes ...error) {
	t.Helper()
	for _, code := range codes {
		if errors.Is(err, code) {
			return
		}
	}
	t.Errorf("got %v", err)
}

// What the strict parser takes, the standard library reads the same way; and nothing in it can hurt those behind.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "a", "a=", "a=b&c=d", "grant_type=client_credentials&scope=a+b%20c", "a=1&a=2", "resource=a&resource=b", "a=%", "a=%4",
		"a=%zz", "a=%00", "a=%ff", "%61=1&a=2", "a;b=c", "a=b=c", "a=\x00", "scope=%0a", "ä=ö", strings.Repeat("a&", 101),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		flat, err := server.ParseForm(body)
		if err != nil {
			refusable(t, err, fault.InvalidRequest, fault.InvalidScope, fault.TooLarge)
			if flat != nil {
				t.Errorf("an error with a form: %q", flat)
			}
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
		if err != nil {
			t.Fatalf("taken, but %v", err)
		}
		total := 0
		for i := 0; i < len(flat); i += 2 {
			name, value := flat[i], flat[i+1]
			if name != "resource" && len(want[name]) != 1 {
				t.Errorf("%q: %d values", name, len(want[name]))
			}
			if name != "resource" && want.Get(name) != value {
				t.Errorf("%q: got %q, want %q", name, value, want.Get(name))
			}
			if !utf8.ValidString(name+value) || strings.ContainsFunc(name+value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q=%q", name, value)
			}
			total++
		}
		if sum := count(want); sum != total || total > 100 {
			t.Errorf("%d parameters, want %d", total, sum)
		}
	})
}

func count(form url.Values) (n int) {
	for _, values := range form {
		n += len(values)
	}
	return n
}

// What the strict parser takes has one encoding, and the standard library agrees on its meaning.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{
		"", "Basic", "Basic ", "Basic YTpi", "bAsIc YTpi", "Basic YTpi=", "Basic YTpj", "Basic YQ==", "Basic YR==", "Basic Og==", "Basic  YTpi",
		"Basic YT\npi", "Basic " + base64.StdEncoding.EncodeToString([]byte("a%3Ab:c%2Bd+e")),
		"Basic " + base64.StdEncoding.EncodeToString([]byte("a%:b")), "Basic " + base64.StdEncoding.EncodeToString([]byte("a\x00:b")),
		"Bearer abc", "bearer abc==", "Bearer", "Bearer a b", "Bearer =", "Digest a", "DPoP abc",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, bearer, err := server.Identify(header)
		if err != nil {
			refusable(t, err, fault.InvalidRequest, fault.InvalidClient)
			if id != "" || secret != "" || bearer != "" {
				t.Error("an error with credentials")
			}
			return
		}
		if bearer != "" {
			if !strings.HasSuffix(header, bearer) || strings.ContainsAny(bearer, " ,\"\\\r\n") || id != "" || secret != "" {
				t.Errorf("got %q", bearer)
			}
			return
		}
		encoded := strings.TrimLeft(header[len("Basic"):], " ")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != encoded {
			t.Errorf("%q is not the encoding of %q", encoded, raw)
		}
		first, second, _ := strings.Cut(string(raw), ":")
		wantID, err1 := url.QueryUnescape(first)
		wantSecret, err2 := url.QueryUnescape(second)
		if err1 != nil || err2 != nil || id != wantID || secret != wantSecret {
			t.Errorf("got %q %q, want %q %q", id, secret, wantID, wantSecret)
		}
	})
}
