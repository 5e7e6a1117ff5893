package httpx

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose forwarded headers are believed. The zero value is nobody.
type Proxies []netip.Prefix

// ParseProxies reads networks in CIDR notation or single addresses.
func ParseProxies(texts []string) (Proxies, error) {
	proxies := make(Proxies, 0, len(texts))
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if addr, err := netip.ParseAddr(text); err == nil {
			proxies = append(proxies, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: an address such as 10.0.0.7 or a network such as 10.0.0.0/8 is allowed", text)
		}
		proxies = append(proxies, network.Masked())
	}
	return proxies, nil
}

func (p Proxies) contain(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Trusts reports whether the request comes straight from a trusted proxy.
func (p Proxies) Trusts(r *http.Request) bool { return len(p) > 0 && p.contain(peer(r)) }

// Client returns the client's address: the peer, or, behind trusted proxies, the right-most address of X-Forwarded-For that
// is not one of theirs. What stands further left was sent by the client and proves nothing.
func (p Proxies) Client(r *http.Request) netip.Addr {
	client := peer(r)
	if len(p) == 0 || !p.contain(client) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, text := range slices.Backward(hops) {
		hop, ok := parseHop(strings.TrimSpace(text))
		if !ok {
			break
		}
		client = hop
		if !p.contain(hop) {
			break
		}
	}
	return client
}

// parseHop reads an address with or without a port.
func parseHop(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// peer is the other end of the connection: an address with a port.
func peer(r *http.Request) netip.Addr {
	with, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return with.Addr().Unmap().WithZone("")
}
