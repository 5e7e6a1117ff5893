package outbound

import "net/netip"

// special are addresses that are no server on the internet, by the IANA registries of special-purpose addresses (RFC 6890), and those
// that carry another address in them, by which one of the others could be reached.
//
//nolint:gochecknoglobals // a constant in all but name
var special = prefixes(
	"0.0.0.0/8",        // this host, RFC 1122 §3.2.1.3
	"10.0.0.0/8",       // private, RFC 1918
	"100.64.0.0/10",    // carrier-grade NAT, RFC 6598; metadata of Alibaba Cloud
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // the host of a virtual machine of Azure
	"169.254.0.0/16",   // link-local, RFC 3927; metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments, RFC 6890 §2.1; metadata of Oracle Cloud
	"192.0.2.0/24",     // documentation, RFC 5737
	"192.88.99.0/24",   // relays of 6to4, RFC 7526
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks, RFC 2544
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/3",      // multicast, reserved, broadcast
	"2001::/23",        // protocol assignments, RFC 2928; Teredo (RFC 4380), ORCHID, benchmarks
	"2001:db8::/32",    // documentation, RFC 3849
	"2002::/16",        // 6to4, RFC 3056
	"3fff::/20",        // documentation, RFC 9637
)

//nolint:gochecknoglobals // constants in all but name
var (
	global6 = netip.MustParsePrefix("2000::/3")     // all that is global unicast, RFC 4291 §2.4
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // the IPv4 address is in the last 32 bits, RFC 6052 §2.1
)

func prefixes(all ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(all))
	for i, text := range all {
		parsed[i] = netip.MustParsePrefix(text)
	}
	return parsed
}

// public tells whether an address is that of a server on the internet. One in a zone is not, nor is an IPv4 address in the clothes of an
// IPv6 address; one that NAT64 takes to IPv4 is if that one is.
func public(a netip.Addr) bool {
	switch {
	case !a.IsValid(), a.Zone() != "", a.Is4In6():
		return false
	case nat64.Contains(a):
		embedded := a.As16()
		return public(netip.AddrFrom4([4]byte(embedded[12:])))
	case a.Is6() && !global6.Contains(a):
		return false
	}
	return !within(special, a)
}

func within(all []netip.Prefix, a netip.Addr) bool {
	for _, prefix := range all {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}
