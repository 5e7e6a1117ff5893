package issuer_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

func TestWhichIssuersAreAllowed(t *testing.T) {
	for _, tt := range []struct {
		name, identifier string
		want             string // in the error; empty: allowed
	}{
		{"https", "https://auth.example.com", ""},
		{"port", "https://auth.example.com:8443", ""},
		{"path", "https://auth.example.com/tenant/one", ""},
		{"trailing slash", "https://auth.example.com/", ""},
		{"capitals", "HTTPS://Auth.Example.com", ""},
		{"http, localhost", "http://localhost:9000", ""},
		{"http, loopback v4", "http://127.9.9.9:9000", ""},
		{"http, loopback v6", "http://[::1]:9000", ""},
		{"http, loopback v4 in v6", "http://[::ffff:127.0.0.1]:9000", ""},
		{"attack 32 http", "http://auth.example.com", "must use https"},
		{"attack 32 http to a name like localhost", "http://localhost.example.com", "must use https"},
		{"attack 32 http to a name like an address", "http://127.0.0.1.example.com", "must use https"},
		{"attack 32 http to an odd address", "http://2130706433", "must use https"},
		{"attack 38 http to link-local", "http://169.254.169.254", "must use https"},
		{"attack 38 http to unspecified", "http://0.0.0.0", "must use https"},
		{"query", "https://auth.example.com?x=1", "no query"},
		{"empty query", "https://auth.example.com?", "no query"},
		{"fragment", "https://auth.example.com#x", "fragment"},
		{"empty fragment", "https://auth.example.com#", "fragment"},
		{"user", "https://me:pw@auth.example.com", "user or password"},
		{"relative", "auth.example.com", "https://"},
		{"other scheme", "ftp://auth.example.com", "https://"},
		{"no host", "https:///path", "no host"},
		{"port without host", "https://:443", "no host"},
		{"opaque", "https:auth.example.com", "no host"},
		{"empty", "", "https://"},
		{"control character", "https://auth.example.com\n", "not a URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := issuer.New(issuer.Config{Identifier: tt.identifier})
			check(t, err, tt.want)
		})
	}
}

func TestWhichAddressesAreAllowed(t *testing.T) {
	for _, tt := range []struct{ name, address, want string }{
		{"https", "https://10.0.0.7:8443", ""},
		{"slash", "https://10.0.0.7/", ""},
		{"http, loopback", "http://127.0.0.1:9000", ""},
		{"http", "http://10.0.0.7:9000", "must use https"},
		{"path", "https://10.0.0.7/tenant", "without a path"},
		{"query", "https://10.0.0.7?a=b", "without a path"},
		{"host and port alone", "10.0.0.7:8443", "not a URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := issuer.New(issuer.Config{Identifier: identifier, Addresses: []string{"https://10.0.0.6", tt.address}})
			check(t, err, tt.want)
			check(t, issuer.CheckAddress(tt.address), tt.want)
		})
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("allowed, want an error that says %q", want)
	case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	}
}
