package httpx

import (
	"net/http"
	"strings"
)

// inLines answers 400 to requests of HTTP/2 that could not have come by HTTP/1.1: who passes a blank in a path or a host on by HTTP/1.1
// writes a request line that others read in another way (RFC 9113 §10.3). net/http refuses only control characters there.
func inLines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 && !fitsLines(r) {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			http.Error(w, "400 Bad Request", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func fitsLines(r *http.Request) bool {
	blank := func(c rune) bool { return c <= ' ' || c == 0x7f }
	return !strings.ContainsFunc(r.Method, blank) && !strings.ContainsFunc(r.RequestURI, blank) && isAuthority(r.Host)
}

// isAuthority allows the characters of RFC 3986 §3.2, without a user, as net/http does in a Host.
func isAuthority(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!$%&'()*+,-.:;=[]_~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
