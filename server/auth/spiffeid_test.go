package auth_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/server/auth"
)

func TestTrustDomain(t *testing.T) {
	for id, want := range map[string]string{
		"spiffe://example.org/a":                            "spiffe://example.org",
		"spiffe://example.org/a/B-c_d.e/1":                  "spiffe://example.org",
		"spiffe://ex_am-ple.1/a":                            "spiffe://ex_am-ple.1",
		"spiffe://example.org":                              "",
		"spiffe://example.org/":                             "",
		"spiffe://example.org/a/":                           "",
		"spiffe://example.org//a":                           "",
		"spiffe://example.org/./a":                          "",
		"spiffe://example.org/../a":                         "",
		"spiffe://example.org/a%2fb":                        "",
		"spiffe://example.org/a?b":                          "",
		"spiffe://example.org/a#b":                          "",
		"spiffe://example.org:443/a":                        "",
		"spiffe://a@example.org/a":                          "",
		"spiffe://Example.org/a":                            "",
		"SPIFFE://example.org/a":                            "",
		"spiffe:///a":                                       "",
		"https://example.org/a":                             "",
		"spiffe://exämple.org/a":                            "",
		"":                                                  "",
		"spiffe://example.org/" + strings.Repeat("a", 2048): "",
		"spiffe://" + strings.Repeat("a", 256) + "/a":       "",
	} {
		if got, ok := auth.TrustDomain(id); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
