package ratelimit

import "net/netip"

// Network is what the caller at an address has at least: of IPv6 a /64 (RFC 6177), in which it can take any address.
func Network(a netip.Addr) netip.Addr {
	const shared = 64
	if !a.Is6() || a.Is4In6() {
		return a.Unmap()
	}
	return netip.PrefixFrom(a, shared).Masked().Addr()
}
