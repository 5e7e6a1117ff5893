package ratelimit

import "net/netip"

// Network is what the caller at an address has at least: of IPv6 a /64 (RFC 6177), in which it can take any address.
func Network(a netip.Addr) netip.Addr {
	const shared = 64
	if p, err := a.Prefix(shared); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}
