package gateway

import (
	"net/netip"
	"strings"
)

// hostname returns the name in an authority, in small letters, without port and final dot. ok is false if another server may read another
// name in it: one that decodes percents, say, or takes what follows a comma.
func hostname(authority string) (name string, ok bool) {
	host := authority
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		if strings.Trim(host[colon+1:], "0123456789") != "" {
			return "", false
		}
		host = host[:colon]
	}
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return address.String(), closed && err == nil && address.Is6() && address.Zone() == ""
	}
	host = strings.TrimSuffix(host, ".")
	for at := range len(host) {
		switch c := host[at]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && at > 0 && host[at-1] != '.' && at+1 < len(host):
		default:
			return "", false
		}
	}
	return strings.ToLower(host), true
}
