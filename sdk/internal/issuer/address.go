package issuer

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
)

// address is one origin by which the server is reached.
type address struct {
	origin string
	silent atomic.Bool // it did not answer when it was asked last
}

// CheckAddress tells what is wrong with an address of Config.Addresses.
func CheckAddress(text string) error {
	_, err := parseAddress(text)
	return err
}

func parseAddress(text string) (*address, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("an address is a scheme, a host and maybe a port, without a path")
	}
	return &address{origin: origin(u)}, nil
}

// parseIdentifier checks an issuer identifier, RFC 8414 §2.
func parseIdentifier(text string) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return nil, errors.New("an issuer identifier has no query")
	}
	return u, nil
}

// parseURL reads an absolute URL that may be asked: https, or http on this machine.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https://")
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password")
	case strings.Contains(text, "#"):
		return nil, errors.New("must not have a fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("must use https: http is for localhost and loopback addresses only")
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// origin is scheme, host and port in one form, RFC 6454 §4.
func origin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch {
	case port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80"):
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host
}

// locations are where metadata may be, in the order in which they are tried. The well-known part goes between host and path (RFC 8414 §3.1);
// OpenID Connect Discovery 1.0 §4 puts it behind the path.
func locations(u *url.URL) []string {
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	path := strings.TrimRight(u.EscapedPath(), "/")
	all := []string{origin(u) + oauth + path, origin(u) + openid + path}
	if path != "" {
		all = append(all, origin(u)+path+openid)
	}
	return all
}
