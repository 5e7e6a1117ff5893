package outbound

import (
	"fmt"
	"net/netip"
	"strings"
)

// allowed is what the configuration lets through beside the addresses of the internet.
type allowed struct {
	addresses []netip.Prefix
	hosts     map[string]bool
}

// parseAllowed reads entries that are a CIDR, an address, or the name of a host.
func parseAllowed(entries []string) (allowed, error) {
	list := allowed{hosts: map[string]bool{}}
	for _, entry := range entries {
		if prefix, err := netip.ParsePrefix(entry); err == nil && prefix == prefix.Masked() {
			list.addresses = append(list.addresses, prefix)
			continue
		}
		if address, err := netip.ParseAddr(entry); err == nil && address.Zone() == "" {
			list.addresses = append(list.addresses, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		name := strings.ToLower(entry)
		if !hostName(name) {
			return allowed{}, fmt.Errorf("outbound_allow: %q is no CIDR such as 10.1.0.0/16 without bits beyond its length, no address, and no name of a host such as issuer.internal", entry)
		}
		list.hosts[name] = true
	}
	return list, nil
}

// reachable tells whether a connection to this address may be made, for a host that is not allowed by its name.
func (l *allowed) reachable(a netip.Addr) bool { return public(a) || within(l.addresses, a) }

// hostName tells whether name, which is lower case, is the name of a host in ASCII (RFC 1123 §2.1). What some resolvers read as an
// IPv4 address (2130706433, 0x7f.1, 0177.0.0.1, 127.1) is none: the last label of a name is never a number (RFC 3696 §2).
func hostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
