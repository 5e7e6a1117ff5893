package lb

import (
	"fmt"
	"strings"
)

// The names of policies and protocols in PoolSettings.
const (
	policyRoundRobin    = "round-robin"
	policyWeighted      = "weighted"
	policyLeastRequests = "least-requests"
	policyConsistent    = "consistent-hash"
	policyFailover      = "failover"

	protocolHTTP1 = "http1"
	protocolHTTP2 = "h2"

	modeHTTP = "http"
	modeTCP  = "tcp"
)

// check tells what is wrong with s beyond what the tags say, by the path of each member at fault, such as "targets[0].url". It does no I/O.
func (s PoolSettings) check(wrong func(path, format string, args ...any)) {
	secured := s.checkUpstreams(wrong)
	if s.Hash != nil && s.Policy != policyConsistent {
		wrong("hash", "only the policy %s goes by it", policyConsistent)
	}
	if s.Hash != nil && !isToken(s.Hash.Header) {
		wrong("hash.header", "%q is not the name of a header", s.Hash.Header)
	}
	if s.SlowStart > 0 && s.Policy == policyFailover {
		wrong("slow_start", "the policy %s gives nobody a share", policyFailover)
	}
	if s.newPolicy() == nil {
		wrong("policy", "%q is not known", s.Policy)
	}
	if s.Protocol != protocolHTTP1 && s.Protocol != protocolHTTP2 {
		wrong("protocol", "%q is not known", s.Protocol)
	}
	if t := s.TLS; t != nil {
		if !secured {
			wrong("tls", "no upstream is https")
		}
		if (t.Certificate == "") != (t.Key == "") {
			wrong("tls", "certificate and key are given both or not at all")
		}
	}
	switch {
	case s.Health.Mode != modeHTTP && s.Health.Mode != modeTCP:
		wrong("health.mode", "%q is not known", s.Health.Mode)
	case s.Health.Mode == modeHTTP && !strings.HasPrefix(s.Health.Path, "/"):
		wrong("health.path", "%q must begin with /", s.Health.Path)
	}
	s.checkNumbers(wrong)
}

// checkUpstreams reports whether any is https.
func (s PoolSettings) checkUpstreams(wrong func(path, format string, args ...any)) (secured bool) {
	switch {
	case len(s.Targets) == 0 && s.DNS == nil:
		wrong("targets", "is missing, and so is dns: where are the upstreams?")
	case len(s.Targets) > 0 && s.DNS != nil:
		wrong("dns", "there are targets too: want one of both")
	}
	if d := s.DNS; d != nil {
		if strings.ContainsAny(d.Name, "/:@ ") || d.Name == "" {
			wrong("dns.name", "%q is not a name", d.Name)
		}
		if d.Port == 0 {
			wrong("dns.port", "is missing")
		}
		secured = d.Scheme == "https"
	}
	seen := map[string]int{}
	for i, t := range s.Targets {
		at := fmt.Sprintf("targets[%d]", i)
		base, err := parseBase(t.URL)
		if err != nil {
			wrong(at+".url", "%w", err)
			continue
		}
		if first, twice := seen[base.String()]; twice {
			wrong(at+".url", "%s is targets[%d] already", base, first)
		}
		seen[base.String()] = i
		secured = secured || base.Scheme == "https"
		if t.Weight > 1 && (s.Policy == policyRoundRobin || s.Policy == policyFailover) {
			wrong(at+".weight", "the policy %s knows no weights: want %s", s.Policy, policyWeighted)
		}
		if t.Weight < 0 || t.Weight > MaxWeight {
			wrong(at+".weight", "%d: want 1 to %d", t.Weight, MaxWeight)
		}
		if t.MaxRequests < 0 {
			wrong(at+".max_requests", "%d: want 0, for any number, or more", t.MaxRequests)
		}
		if t.Health != "" {
			if _, err := parseBase(t.Health); err != nil {
				wrong(at+".health", "%w", err)
			}
		}
	}
	return secured
}

func (s PoolSettings) checkNumbers(wrong func(path, format string, args ...any)) {
	for path, negative := range map[string]bool{
		"health":     s.Health.Interval < 0 || s.Health.Timeout < 0 || s.Health.Rise < 0 || s.Health.Fall < 0,
		"outlier":    s.Outlier.Failures < 0 || s.Outlier.For < 0 || s.Outlier.Longest < 0 || s.Outlier.MostPercent < 0,
		"slow_start": s.SlowStart < 0,
		"timeouts":   s.Timeouts.Connect < 0 || s.Timeouts.Response < 0 || s.Timeouts.Idle < 0,
		"retries":    s.Retries.Attempts < 0 || s.Retries.Buffer < 0,
	} {
		if negative {
			wrong(path, "a number is negative")
		}
	}
	if s.Breaker != nil {
		if _, err := Breaker(*s.Breaker).withDefaults(); err != nil {
			wrong("breaker", "%w", err)
		}
	}
	if s.Outlier.MostPercent > 100 {
		wrong("outlier.most_percent", "%d: want 1 to 100", s.Outlier.MostPercent)
	}
}

// isToken reports whether RFC 9110 §5.6.2 allows name for a header.
func isToken(name string) bool {
	for _, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if digit := '0' <= c && c <= '9'; !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
