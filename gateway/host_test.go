package gateway_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/gateway"
)

func TestHostname(t *testing.T) {
	for authority, want := range map[string]string{
		"a.test": "a.test", "A.Test:80": "a.test", "a.test.": "a.test", "a.test.:443": "a.test", "[::1]:80": "::1", "[::1]": "::1",
		"[0:0:0:0:0:0:0:1]": "::1", "127.0.0.1:1": "127.0.0.1", "": "", ":80": "", "a_b-c.test": "a_b-c.test", "a.test:": "a.test",
	} {
		if got, ok := gateway.Hostname(authority); got != want || !ok {
			t.Errorf("%q: %q, %t, want %q", authority, got, ok, want)
		}
	}
	for _, authority := range []string{
		"a.test,b.test", "a.test;b", "%61.test", "a.test..", "..", "a..test", ".a.test", "a.test:80:80", "a.test:b", "[a.test]", "[::1", "::1]", "[127.0.0.1]",
		"[fe80::1%25eth0]", "a test", "b@a.test", "a.test/b", "a.test\\b", "a.test\x00", "é.test", "*.test", "[::1]a",
	} {
		if got, ok := gateway.Hostname(authority); ok {
			t.Errorf("%q: %q", authority, got)
		}
	}
}

// FuzzHostname: what comes out is the same when it goes in again, and holds nothing that a server could divide or decode.
func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"a.test", "A.test.:80", "[::1]:80", "a,b", "%61.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		name, ok := gateway.Hostname(authority)
		if !ok {
			return
		}
		if strings.ContainsAny(name, " ,;%@/\\*[]") || strings.ToLower(name) != name {
			t.Errorf("%q: %q", authority, name)
		}
		again := name
		if strings.Contains(name, ":") {
			again = "[" + name + "]"
		}
		if got, ok := gateway.Hostname(again); !ok || got != name {
			t.Errorf("%q: %q, then %q", authority, name, got)
		}
	})
}
