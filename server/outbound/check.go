package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

const (
	maxURL        = 2048 // bytes
	lookupTimeout = 3 * time.Second
)

// CheckURL tells whether Get may ask rawURL, for when somebody registers it: by its form, and by the addresses that its host has now. The
// error is fault.InvalidRequest with a detail for who registers it, who names the field by its At; or fault.Unavailable if the host's
// addresses cannot be had at the moment. It asks nobody but the resolver, for 3 seconds at most.
func (c *Client) CheckURL(ctx context.Context, rawURL string) error {
	target, err := c.parse(rawURL)
	if err != nil {
		return err
	}
	if target.literal.IsValid() || c.allow.hosts[target.host] {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, err := c.resolver.LookupNetIP(ctx, "ip", target.host)
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		return fault.Wrap(fault.InvalidRequest, "must have a host whose name has an address", err)
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, "the host's address cannot be looked up right now", err)
	}
	for _, address := range addresses {
		if !c.reachable(target.host, address.Unmap()) {
			return errHost()
		}
	}
	return nil
}

// target is a URL that may be asked, as far as it can be told without asking a resolver.
type target struct {
	url     *url.URL
	host    string     // in lower case
	literal netip.Addr // if the host is one
}

func (c *Client) parse(rawURL string) (target, error) {
	malformed := func(err error) error {
		return fault.Wrap(fault.InvalidRequest, "must be an absolute URL of https with the name of a host in ASCII, without user, fragment and spaces, of at most 2048 bytes", err)
	}
	if len(rawURL) > maxURL || strings.ContainsAny(rawURL, " #\\") {
		return target{}, malformed(nil)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return target{}, malformed(errors.New("malformed URL")) // url.Error has all of it, and nobody knows what was pasted
	}
	t := target{url: u, host: strings.ToLower(u.Hostname())}
	literal, err := netip.ParseAddr(t.host)
	switch {
	case u.User != nil, u.Opaque != "", u.Scheme != "https" && u.Scheme != "http", strings.HasSuffix(u.Host, ":"):
		return target{}, malformed(nil)
	case err == nil:
		t.literal = literal
	case !hostName(t.host):
		return target{}, malformed(nil)
	}
	if !c.mayBe(t) {
		return target{}, errHost()
	}
	if u.Scheme == "http" && !t.loopback() {
		return target{}, fault.New(fault.InvalidRequest, "must be a URL of https; http is for loopback addresses that outbound_allow names")
	}
	return t, nil
}

// mayBe judges the host by what is written.
func (c *Client) mayBe(t target) bool {
	switch {
	case t.literal.IsValid():
		return c.allow.reachable(t.literal)
	case c.allow.hosts[t.host]:
		return true
	case localName(t.host):
		return within(c.allow.addresses, netip.AddrFrom4([4]byte{127, 0, 0, 1})) || within(c.allow.addresses, netip.IPv6Loopback())
	}
	return true
}

func (t target) loopback() bool { return t.literal.IsLoopback() || localName(t.host) }

// localName tells whether name stands for this machine, whatever a resolver says (RFC 6761 §6.3).
func localName(name string) bool { return name == "localhost" || strings.HasSuffix(name, ".localhost") }

// reachable tells whether a connection to host may be made at this address, which is the one that is dialled.
func (c *Client) reachable(host string, a netip.Addr) bool {
	switch {
	case localName(host):
		return a.IsLoopback() && (c.allow.hosts[host] || c.allow.reachable(a))
	case c.allow.hosts[host]:
		return true
	}
	return c.allow.reachable(a)
}

func errHost() error {
	return fault.New(fault.InvalidRequest, "must have a host on the internet: private, loopback, link-local and other special addresses are refused unless the setting outbound_allow names them")
}
