package gateway_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/gateway"
)

func TestCanonicalPath(t *testing.T) {
	for _, tt := range []struct {
		path string
		want string // empty: refused
		says string
	}{
		{path: "/", want: "/"},
		{path: "/token", want: "/token"},
		{path: "/token/", want: "/token/"},
		{path: "//token", want: "/token"},
		{path: "/%74oken", want: "/token"},
		{path: "/./token", want: "/token"},
		{path: "/a/../token", want: "/token"},
		{path: "/a/%2e%2E/token", want: "/token"},
		{path: "/a/.%2e/token", want: "/token"},
		{path: "/a/b/..", want: "/a/"},
		{path: "/a/..", want: "/"},
		{path: "/a/.", want: "/a/"},
		{path: "/a//", want: "/a/"},
		{path: "///", want: "/"},
		{path: "/a/...", want: "/a/..."},
		{path: "/.well-known/x", want: "/.well-known/x"},
		{path: "/m%c3%bcller", want: "/m%C3%BCller"},
		{path: "/a%20b", want: "/a%20b"},
		{path: "/a%3bb", says: "parameters"},
		{path: "/100%25", want: "/100%25"},
		{path: "/a~b!$&'()*+,=:@", want: "/a~b!$&'()*+,=:@"},
		{path: "/%7Euser", want: "/~user"},
		{path: "/ADMIN", want: "/ADMIN"},
		{path: "", says: "slash"},
		{path: "*", says: "slash"},
		{path: "/..", says: "above"},
		{path: "/../admin", says: "above"},
		{path: "/a/%2e%2e/../admin", says: "above"},
		{path: "/a%2fadmin", says: "encoded slash"},
		{path: "/a%2F..%2Fadmin", says: "encoded slash"},
		{path: "/a%5cadmin", says: "backslash"},
		{path: `/a\admin`, says: "backslash"},
		{path: "/admin%00", says: "control"},
		{path: "/admin%0a", says: "control"},
		{path: "/admin%7f", says: "control"},
		{path: "/a;x/../admin", says: "parameters"},
		{path: "/admin;x=1", says: "parameters"},
		{path: "/..;/admin", says: "parameters"},
		{path: "/%252e%252e/admin", says: "twice"},
		{path: "/%25%32%65/admin", says: "twice"},
		{path: "/%c0%ae%c0%ae/admin", says: "UTF-8"},
		{path: "/%ff", says: "UTF-8"},
		{path: "/%zz", says: "encoding"},
		{path: "/%4", says: "encoding"},
	} {
		got, err := gateway.Canonical(gateway.Paths{}, tt.path)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %q, %v, want %q %s", tt.path, got, err, tt.want, tt.says)
		}
	}
}

// What is let pass on request keeps its spelling, and dot segments in disguise stay out.
func TestCanonicalPathLetsPass(t *testing.T) {
	lax := gateway.Paths{Parameters: "pass", EncodedSlashes: "pass"}
	for path, want := range map[string]string{
		"/group%2fproject":   "/group%2Fproject",
		"/a;v=1/b":           "/a;v=1/b",
		"/a%3bb":             "/a%3Bb",
		"/..;/admin":         "",
		"/a/.;x/admin":       "",
		"/a/%2e%2e;x/admin":  "",
		"/a/;x/admin":        "",
		"/a%5c..%2fadmin":    "",
		"/a/%252e%252e/x":    "",
		"/a%2f%2e%2e%2fb/..": "/",
	} {
		if got, err := gateway.Canonical(lax, path); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", path, got, err, want)
		}
	}
}

// FuzzCanonical: what comes out is the same when it goes in again, and no server can find a dot segment or an empty one in it, nor a
// folder boundary that is none here.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"/", "//a/./b/../c/", "/%2e%2e/%61%C3%BC", "/a;b", "/%25%32%65", "/a/..%2f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		one, err := gateway.Canonical(gateway.Paths{}, path)
		if err != nil {
			return
		}
		if again, err := gateway.Canonical(gateway.Paths{}, one); again != one || err != nil {
			t.Errorf("%q: %q, then %q, %v", path, one, again, err)
		}
		plain, err := url.PathUnescape(one)
		if err != nil || !strings.HasPrefix(one, "/") || strings.ContainsAny(plain, "\\\x00") || strings.Count(plain, "/") != strings.Count(one, "/") {
			t.Fatalf("%q: %q, unescaped %q, %v", path, one, plain, err)
		}
		if twice, err := url.PathUnescape(plain); err == nil && twice != plain {
			t.Errorf("%q: %q can be decoded once more", path, one)
		}
		segments := strings.Split(plain[1:], "/")
		for n, s := range segments {
			if s == "." || s == ".." || s == "" && n < len(segments)-1 {
				t.Errorf("%q: %q has the segment %q", path, one, s)
			}
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	for b.Loop() {
		if _, err := gateway.Canonical(gateway.Paths{}, "/inventory/items/4711/reservations"); err != nil {
			b.Fatal(err)
		}
	}
}
