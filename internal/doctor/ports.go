package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

func (c Config) ports() []step {
	return []step{
		single("listen", func(ctx context.Context, s step) Finding {
			return c.port(ctx, s, c.Listen, func(ctx context.Context, base string) bool {
				_, issuer, err := c.issuerAt(ctx, base)
				return err == nil && issuer == c.Issuer
			})
		}),
		single("admin_listen", func(ctx context.Context, s step) Finding {
			return c.port(ctx, s, c.AdminListen, c.healthy)
		}),
	}
}

// port looks whether a server can listen at the address, or does already. ours tells by the URL of the listener whether it is one.
func (c Config) port(ctx context.Context, s step, address string, ours func(context.Context, string) bool) Finding {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close()
		return s.ok(address + " is free")
	}
	cure := "end what listens there, or choose another address by the setting " + s.check
	switch {
	case !errors.Is(err, syscall.EADDRINUSE):
		return s.fail(err.Error(), "choose an address of this machine, above port 1023 or with the right to lower ones, by the setting "+s.check)
	case answered(ctx, ours, c.urlOf(s, address)):
		return s.ok("a server of this issuer listens at " + address)
	}
	_, port, _ := net.SplitHostPort(address)
	if who := holder(c.Root, port); who != "" {
		return s.fail(address+" is held by "+who, cure)
	}
	return s.fail(address+" is held by another program", cure)
}

// answered asks whoever listens, who may never answer.
func answered(ctx context.Context, ours func(context.Context, string) bool, base string) bool {
	ctx, cancel := context.WithTimeout(ctx, Within/5)
	defer cancel()
	return ours(ctx, base)
}

// urlOf is where a listener is reached on this machine.
func (c Config) urlOf(s step, address string) string {
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http://"
	if s.check == "listen" && c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// healthy reports whether the admin port of a server answers there: /readyz and no metadata.
func (c Config) healthy(ctx context.Context, base string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusServiceUnavailable
}

func describe(name string, pid int) string { return fmt.Sprintf("%s (process %d)", name, pid) }
