package proof

import (
	"net/url"
	"strings"
)

// sameURI tells whether two absolute URIs of HTTP are the same but for query and fragment, RFC 9449 §4.3.
func sameURI(a, b string) bool {
	left, ok := normal(a)
	if !ok {
		return false
	}
	right, ok := normal(b)
	return ok && left == right
}

// address is what of a URI counts.
type address struct{ scheme, host, path string }

// normal returns a URI in its one spelling (RFC 3986 §6.2.2.1, §6.2.2.2, §6.2.3), and false if it is not one of HTTP.
func normal(uri string) (address, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return address{}, false
	}
	host := strings.ToLower(u.Host)
	for _, port := range [...]string{":", defaultPort(u.Scheme)} {
		host = strings.TrimSuffix(host, port)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return address{u.Scheme, host, normalPath(path)}, true
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return ":443"
	}
	return ":80"
}

// normalPath writes percent-encoded octets in capitals, and those plain that need no encoding.
func normalPath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var text strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			text.WriteByte(path[i])
			continue
		}
		plain, err := url.PathUnescape(path[i : i+3])
		if err == nil && len(plain) == 1 && unreserved(plain[0]) {
			text.WriteString(plain)
		} else {
			text.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return text.String()
}

// unreserved is RFC 3986 §2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
