package lb

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Target names one upstream.
type Target struct {
	// URL is where requests go: "host:port" or "http(s)://host[:port]", without path, query or
	// user information.
	URL string
	// Health is where health checks go, in the same form, for upstreams that answer them on another
	// port. Empty means URL.
	Health string
	// Weight is the upstream's share beside the others', 1 to MaxWeight. 0 means 1. RoundRobin does not look at it.
	Weight int
	// MaxRequests is how many requests may be in flight at the upstream at once; what is beyond that goes to others. 0: any number.
	MaxRequests int
}

// MaxWeight is the greatest Target.Weight.
const MaxWeight = 1000

// Upstream is one member of a Pool, as a Policy sees it. Its methods are safe for concurrent use.
type Upstream struct {
	base    *url.URL
	address string   // of base
	health  *url.URL // where checks go
	weight  int
	most    int64  // requests in flight; 0: any number
	seed    uint64 // tells upstreams apart for Consistent, the same in every process

	metrics *upstreamMetrics // nil if nobody counts
	breaker breaker          // nil if there is none
	credit  int              // of Weighted, guarded by its mutex

	inFlight atomic.Int64
	failures atomic.Int64 // requests in a row, if they are counted
	back     atomic.Int64 // when it last came back, in nanoseconds since 1970; 0: it has been there from the start

	// Guarded by the pool's mutex.
	condition

	passes  int
	fails   int
	ejected bool
	open    bool // the breaker is, and lets nobody try yet
	// ejections are those since the upstream was last good for a long time; readmitted is when the last one ended.
	ejections  int
	readmitted time.Time
}

// condition is what outlasts a change of the configuration.
type condition struct {
	up      bool
	since   time.Time // when up last changed
	lastErr error
	errAt   time.Time
	drained bool
}

// Address returns the scheme, host and port that requests are sent to, such as "http://127.0.0.1:9001".
func (u *Upstream) Address() string { return u.address }

// InFlight returns the number of requests whose response, body included, is not yet complete.
func (u *Upstream) InFlight() int { return int(u.inFlight.Load()) }

// take counts one more request in flight, unless the upstream has as many as it may.
func (u *Upstream) take() bool {
	if n := u.inFlight.Add(1); u.most > 0 && n > u.most {
		u.inFlight.Add(-1)
		return false
	}
	return true
}

// Weight returns the upstream's share beside the others', at least 1.
func (u *Upstream) Weight() int { return max(1, u.weight) }

func newUpstream(t Target, healthPath string, now time.Time) (*Upstream, error) {
	base, err := parseBase(t.URL)
	if err != nil {
		return nil, err
	}
	if t.Weight < 0 || t.Weight > MaxWeight {
		return nil, fmt.Errorf("upstream %s: weight %d: want 1 to %d", base, t.Weight, MaxWeight)
	}
	if t.MaxRequests < 0 {
		return nil, fmt.Errorf("upstream %s: at most %d requests: want 0, for any number, or more", base, t.MaxRequests)
	}
	health := base
	if t.Health != "" {
		if health, err = parseBase(t.Health); err != nil {
			return nil, err
		}
	}
	check, err := health.Parse(healthPath)
	if err != nil {
		return nil, fmt.Errorf("parse health path %q: %w", healthPath, err)
	}
	return &Upstream{
		base: base, address: base.String(), health: check, weight: t.Weight, most: int64(t.MaxRequests),
		seed: hashText(base.String()), condition: condition{up: true, since: now},
	}, nil
}

// hostPort is where u is connected to.
func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// parseBase reads "host:port" or a URL that has nothing but scheme and host.
func parseBase(s string) (*url.URL, error) {
	if strings.Contains(s, "@") { // not shown, as there may be a password in it
		return nil, errors.New("upstream: user information is not allowed")
	}
	spec, bare := s, !strings.Contains(s, "://")
	if bare {
		spec = "http://" + s
	}
	u, err := url.Parse(spec)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || !validPort(u, bare) {
		return nil, fmt.Errorf("upstream %q: want host:port or http(s)://host[:port]", s)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("upstream %q: a path, query or fragment is not allowed", s)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func validPort(u *url.URL, required bool) bool {
	if u.Port() == "" {
		return !required && !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}
