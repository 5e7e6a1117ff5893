package lb

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/countersign/countersign/internal/httpx"
)

// newPolicy returns nil if it is not known.
func (s PoolSettings) newPolicy() Policy {
	switch s.Policy {
	case policyRoundRobin:
		return new(RoundRobin)
	case policyWeighted:
		return new(Weighted)
	case policyLeastRequests:
		return LeastRequests{}
	case policyConsistent:
		return Consistent{}
	case policyFailover:
		return new(Failover)
	}
	return nil
}

// clientKey is the address of the client: as far as trusted proxies say, where there is an httpx.Edge.
func clientKey(r *http.Request) string {
	if address := httpx.From(r.Context()).Address; address.IsValid() {
		return address.String()
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func headerKey(name string) func(*http.Request) string {
	name = http.CanonicalHeaderKey(name)
	return func(r *http.Request) string { return r.Header.Get(name) }
}

// poolConfig is what s says of the pool; secured is for health checks.
func (s PoolSettings) poolConfig(name string, cfg PoolsConfig, metrics *Metrics, secured *tls.Config) PoolConfig {
	pool := PoolConfig{
		Name: name, Policy: s.newPolicy(), SlowStart: s.SlowStart, Metrics: metrics, Logger: cfg.Logger, Now: cfg.Now,
		Health: Health{
			Disabled: s.Health.Disabled, Connect: s.Health.Mode == modeTCP, Path: s.Health.Path,
			Interval: s.Health.Interval, Timeout: s.Health.Timeout, Rise: s.Health.Rise, Fall: s.Health.Fall,
			Client: checkClient(secured, s.Protocol == protocolHTTP2),
		},
		Outlier: Outlier(s.Outlier),
	}
	if s.Breaker != nil {
		b := Breaker(*s.Breaker)
		pool.Breaker = &b
	}
	for _, t := range s.Targets {
		pool.Targets = append(pool.Targets, Target(t))
	}
	if d := s.DNS; d != nil {
		pool.Discovery = &Discovery{Name: d.Name, Port: d.Port, Scheme: d.Scheme, Refresh: d.Refresh, Lookup: cfg.Lookup}
	}
	return pool
}

// readCA returns the content of the file of authorities, nil if there is none.
func (s PoolSettings) readCA() ([]byte, error) {
	if s.TLS == nil || s.TLS.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.TLS.CA)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	return text, nil
}

// tlsConfig is nil if s has nothing to say of TLS. ca is what readCA returned.
func (s PoolSettings) tlsConfig(cfg PoolsConfig, ca []byte, wrong func(path, format string, args ...any)) *tls.Config {
	if s.TLS == nil && (s.DNS == nil || s.DNS.Scheme != "https") {
		return nil
	}
	secured := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.DNS != nil {
		secured.ServerName = s.DNS.Name // upstreams are connected to by address, for which they have no certificate
	}
	t := s.TLS
	if t == nil {
		return secured
	}
	if t.ServerName != "" {
		secured.ServerName = t.ServerName
	}
	if ca != nil {
		secured.RootCAs = x509.NewCertPool()
		if !secured.RootCAs.AppendCertsFromPEM(ca) {
			wrong("tls.ca", "%s has no certificate in PEM", t.CA)
		}
	}
	if t.Certificate != "" && t.Key != "" {
		own, err := httpx.LoadCertificates(t.Certificate, t.Key, cfg.Logger, cfg.Now)
		if err != nil {
			wrong("tls.certificate", "%w", err)
			return nil
		}
		secured.GetClientCertificate = own.ForServer
	}
	return secured
}
