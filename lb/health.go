package lb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Health says how the upstreams of a pool are checked. Zero fields take the default given with them.
type Health struct {
	// Disabled says that there are no checks: then only requests that cannot connect take an upstream down, until no other is left.
	Disabled bool
	// Connect says that a check passes if a TCP connection can be made; then Path and Client do not matter.
	Connect bool
	// Path is requested by GET; any 2xx passes. Default "/readyz".
	Path string
	// Interval is from the start of one check to the start of the next. Default 1 s.
	Interval time.Duration
	// Timeout bounds one check, from connecting to the status line. Default 500 ms.
	Timeout time.Duration
	// Rise and Fall are how many checks in a row must pass to bring an upstream back, or fail to
	// take it down. Default 2 each.
	Rise, Fall int
	// Client sends the checks. Default: one that connects anew each time, because a kept connection
	// would go on answering after the upstream has stopped to accept, and follows no redirects. It
	// trusts the host's roots, so https upstreams of a private authority need a client of their own.
	Client *http.Client
}

func (h Health) withDefaults() (Health, error) {
	if h.Interval < 0 || h.Timeout < 0 || h.Rise < 0 || h.Fall < 0 {
		return h, errors.New("health: interval, timeout, rise and fall must not be negative")
	}
	if h.Path == "" {
		h.Path = "/readyz"
	}
	if h.Path[0] != '/' {
		return h, fmt.Errorf("health: path %q must begin with /", h.Path)
	}
	if h.Interval == 0 {
		h.Interval = time.Second
	}
	if h.Timeout == 0 {
		h.Timeout = 500 * time.Millisecond
	}
	if h.Rise == 0 {
		h.Rise = 2
	}
	if h.Fall == 0 {
		h.Fall = 2
	}
	if h.Client == nil {
		h.Client = checkClient(nil, false)
	}
	return h, nil
}

// checkClient connects anew for each check and follows no redirects.
func checkClient(secured *tls.Config, http2 bool) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: clientTLS(secured, http2), Protocols: protocols(http2)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (p *Pool) watch(ctx context.Context, u *Upstream) {
	ticker := time.NewTicker(p.cfg.Health.Interval)
	defer ticker.Stop()
	for {
		result := p.check(ctx, u)
		if ctx.Err() != nil {
			return // what ended the check is not the upstream
		}
		p.checked(ctx, u, result)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *Pool) check(ctx context.Context, u *Upstream) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Health.Timeout)
	defer cancel()
	if p.cfg.Health.Connect {
		return checkConnect(ctx, u)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.health.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("make health check: %w", err)
	}
	resp, err := p.cfg.Health.Client.Do(req)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("check health: %s answered %d", u.health, resp.StatusCode)
	}
	return nil
}

func checkConnect(ctx context.Context, u *Upstream) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(u.health))
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	return nil
}
