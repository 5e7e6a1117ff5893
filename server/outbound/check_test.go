package outbound_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/outbound"
)

func newClient(t testing.TB, config outbound.Config) *outbound.Client {
	t.Helper()
	client, err := outbound.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// What is written tells already that these are not on the internet, or are no URL that is asked.
func TestAttack38AtRegistration(t *testing.T) {
	_, resolver := startNames(t)
	client := newClient(t, outbound.Config{Resolver: resolver})
	for _, tt := range []struct{ name, url string }{
		{"plain http", "http://keys.example.com/jwks"},
		{"http at loopback", "http://127.0.0.1/jwks"},
		{"another scheme", "file:///etc/passwd"},
		{"gopher", "gopher://keys.example.com/"},
		{"scheme in upper case, private", "HTTPS://10.0.0.1/"},
		{"no scheme", "//keys.example.com/"},
		{"relative", "/jwks"},
		{"opaque", "https:keys.example.com"},
		{"no host", "https:///jwks"},
		{"port only", "https://:443/jwks"},
		{"empty port", "https://keys.example.com:/"},
		{"user", "https://a:b@keys.example.com/"},
		{"user that looks like a host", "https://keys.example.com@127.0.0.1/"},
		{"fragment", "https://keys.example.com/#a"},
		{"backslash", `https://keys.example.com\@127.0.0.1/`},
		{"line break", "https://keys.example.com/\r\nHost: a"},
		{"long", "https://keys.example.com/" + strings.Repeat("a", 2048)},
		{"loopback", "https://127.0.0.1/"},
		{"loopback, other address", "https://127.8.8.8/"},
		{"decimal", "https://2130706433/"},
		{"octal", "https://0177.0.0.1/"},
		{"octal in one number", "https://017700000001/"},
		{"hexadecimal", "https://0x7f000001/"},
		{"hexadecimal bytes", "https://0x7f.0x0.0x0.0x1/"},
		{"hexadecimal last", "https://127.0.0x1/"},
		{"short form", "https://127.1/"},
		{"zero", "https://0/"},
		{"trailing dot", "https://127.0.0.1./"},
		{"name with trailing dot", "https://localhost./"},
		{"percent-encoded", "https://127%2e0.0.1/"},
		{"other digits", "https://①②⑦.⓪.⓪.①/"},
		{"other letters", "https://ⓛocalhost/"},
		{"localhost", "https://localhost/"},
		{"localhost in upper case", "https://LOCALHOST/"},
		{"below localhost", "https://a.localhost/"},
		{"this host", "https://0.0.0.0/"},
		{"private 10", "https://10.1.2.3/"},
		{"private 172", "https://172.31.255.255/"},
		{"private 192", "https://192.168.0.1/"},
		{"carrier-grade NAT", "https://100.64.0.1/"},
		{"metadata", "https://169.254.169.254/latest/meta-data/"},
		{"metadata of Alibaba Cloud", "https://100.100.100.200/"},
		{"metadata of Oracle Cloud", "https://192.0.0.192/"},
		{"host of Azure", "https://168.63.129.16/"},
		{"documentation", "https://192.0.2.1/"},
		{"documentation 2", "https://198.51.100.1/"},
		{"documentation 3", "https://203.0.113.1/"},
		{"benchmarks", "https://198.19.0.1/"},
		{"multicast", "https://224.0.0.1/"},
		{"reserved", "https://240.0.0.1/"},
		{"broadcast", "https://255.255.255.255/"},
		{"IPv6 loopback", "https://[::1]/"},
		{"IPv6 loopback, long", "https://[0:0:0:0:0:0:0:1]/"},
		{"IPv6 unspecified", "https://[::]/"},
		{"IPv4-mapped loopback", "https://[::ffff:127.0.0.1]/"},
		{"IPv4-mapped loopback in hexadecimal", "https://[::ffff:7f00:1]/"},
		{"IPv4-mapped metadata", "https://[::ffff:169.254.169.254]/"},
		{"IPv4-compatible", "https://[::127.0.0.1]/"},
		{"NAT64 of loopback", "https://[64:ff9b::7f00:1]/"},
		{"NAT64 of metadata", "https://[64:ff9b::169.254.169.254]/"},
		{"local NAT64", "https://[64:ff9b:1::1]/"},
		{"6to4 of a private address", "https://[2002:a00:1::1]/"},
		{"Teredo", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"},
		{"link-local", "https://[fe80::1]/"},
		{"link-local in a zone", "https://[fe80::1%25eth0]/"},
		{"unique-local", "https://[fd00:ec2::254]/"},
		{"site-local", "https://[fec0::1]/"},
		{"IPv6 multicast", "https://[ff02::1]/"},
		{"IPv6 documentation", "https://[2001:db8::1]/"},
		{"IPv6 documentation 2", "https://[3fff::1]/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := client.CheckURL(t.Context(), tt.url)
			if !errors.Is(err, fault.InvalidRequest) || fault.From(err).Detail == "" {
				t.Errorf("registered: %v", err)
			}
			if _, ok := errors.AsType[*net.DNSError](err); ok {
				t.Errorf("a resolver was asked: %v", err)
			}
			if _, err := client.Get(t.Context(), tt.url); !errors.Is(err, fault.InvalidRequest) {
				t.Errorf("asked: %v", err)
			}
		})
	}
}

func TestCheckURLAccepts(t *testing.T) {
	dns, resolver := startNames(t)
	dns.set("keys.example.com", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
	client := newClient(t, outbound.Config{Resolver: resolver})
	for _, url := range []string{
		"https://keys.example.com/jwks", "https://KEYS.example.com:8443/jwks?tenant=a", "https://8.8.8.8/", "https://[2606:4700:4700::1111]/",
		"https://[64:ff9b::8.8.8.8]/", "https://172.32.0.1/", "https://100.128.0.1/",
	} {
		if err := client.CheckURL(t.Context(), url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAttack38ByName(t *testing.T) {
	dns, resolver := startNames(t)
	client := newClient(t, outbound.Config{Resolver: resolver})
	for name, addresses := range map[string][]string{
		"metadata.example.com": {"169.254.169.254"},
		"private.example.com":  {"10.0.0.1"},
		"loopback.example.com": {"::1"},
		"mapped.example.com":   {"::ffff:127.0.0.1"},
		"one-of.example.com":   {"93.184.215.14", "192.168.1.1"},
		"nat64.example.com":    {"64:ff9b::a00:1"},
	} {
		dns.set(name, addresses...)
		if err := client.CheckURL(t.Context(), "https://"+name+"/jwks"); !errors.Is(err, fault.InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := client.CheckURL(t.Context(), "https://unknown.example.com/jwks"); !errors.Is(err, fault.InvalidRequest) {
		t.Errorf("a name without address: %v", err)
	}
}

// No answer of the name server is no verdict about the URL.
func TestCheckURLWithoutNameServer(t *testing.T) {
	broken := &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: refuse}).DialContext}
	err := newClient(t, outbound.Config{Resolver: broken}).CheckURL(t.Context(), "https://keys.example.com/jwks")
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAllow(t *testing.T) {
	dns, resolver := startNames(t)
	dns.set("inside.example.com", "10.1.2.3")
	dns.set("issuer.internal", "10.9.9.9")
	client := newClient(t, outbound.Config{Resolver: resolver, Allow: []string{"10.1.0.0/16", "fd00:1::/32", "192.168.7.7", "Issuer.Internal", "127.0.0.1"}})
	for url, allowed := range map[string]bool{
		"https://10.1.2.3/": true, "https://10.2.2.3/": false, "https://[fd00:1::5]/": true, "https://[fd00:2::5]/": false,
		"https://192.168.7.7/": true, "https://192.168.7.8/": false, "https://inside.example.com/": true, "https://ISSUER.internal/": true,
		"https://localhost/": true, "http://localhost:8080/": true, "http://127.0.0.1:8080/": true, "http://127.0.0.2/": false,
		"http://10.1.2.3/": false, "http://issuer.internal/": false, "https://[::ffff:10.1.2.3]/": false, "https://[::1]/": false,
	} {
		if err := client.CheckURL(t.Context(), url); (err == nil) != allowed {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, entry := range []string{"", "10.1.2.3/16", "https://issuer.internal", "*.internal", "issuer.internal:443", "fe80::1%eth0", "2130706433", "a b"} {
		if _, err := outbound.New(outbound.Config{Allow: []string{entry}}); err == nil || !strings.HasPrefix(err.Error(), "outbound_allow: ") {
			t.Errorf("%q: %v", entry, err)
		}
	}
}
