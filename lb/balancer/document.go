package balancer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/lb"
)

// Document is the configuration of a load balancer, one YAML file. Members that are left out have the default given with them.
type Document struct {
	Listeners []Listener                 `yaml:"listeners" required:"true" help:"where the load balancer listens"`
	Admin     Admin                      `yaml:"admin" help:"health, metrics and status, for operators only"`
	Pools     map[string]lb.PoolSettings `yaml:"pools" required:"true" help:"the upstreams that serve the same requests, by a name of your choice"`
	Drain     listeners.DrainSettings    `yaml:"drain" help:"how the load balancer ends"`
	LogLevel  string                     `yaml:"log_level" default:"info" oneof:"debug|info|warn|error" help:"from which level on lines are logged"`
}

// Listener is an address at which the load balancer accepts connections.
type Listener struct {
	listeners.Settings

	Mode      string        `yaml:"mode" default:"http" oneof:"http|tcp" help:"http: each request goes to an upstream; tcp: each connection does, and what it carries is passed on as it is"`
	Pool      string        `yaml:"pool" required:"true" help:"the pool that it goes to"`
	NotFound  []string      `yaml:"not_found" help:"paths that are answered by 404 and not passed on"`
	AccessLog bool          `yaml:"access_log" default:"false" help:"one line of JSON for each request, on standard error"`
	TCPIdle   time.Duration `yaml:"tcp_idle" default:"10m" min:"1s" max:"720h" help:"mode tcp: how long a connection may carry nothing"`
}

// Admin is the listener for operators.
type Admin struct {
	Address string `yaml:"address" help:"host:port of /healthz, /readyz, /metrics and /status; without it there is none"`
}

// adminName is the name of the listener for operators.
const adminName = "admin-port"

const modeTCP = "tcp"

// read reads and judges a document, without what can be known only by trying: files, addresses and pools.
func read(name string, text []byte) (*Document, *document.Source, error) {
	d := new(Document)
	source, err := document.Decode(name, text, d)
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	seen := map[string]bool{}
	for i, l := range d.Listeners {
		at := fmt.Sprintf("listeners[%d]", i)
		wrong := func(member, format string, args ...any) {
			errs = append(errs, source.Errorf(at+"."+member, format, args...))
		}
		switch {
		case l.Name == adminName:
			wrong("name", "%q is what the listener of admin is called", l.Name)
		case seen[l.Name]:
			wrong("name", "another listener is called %q", l.Name)
		}
		seen[l.Name] = true
		if _, ok := d.Pools[l.Pool]; !ok {
			wrong("pool", "no pool is called %q: there are %s", l.Pool, strings.Join(slices.Sorted(maps.Keys(d.Pools)), ", "))
		}
		if _, err := httpx.ParseProxies(l.TrustedProxies); err != nil {
			wrong("trusted_proxies", "%w", err)
		}
		for j, path := range l.NotFound {
			if !strings.HasPrefix(path, "/") {
				wrong(fmt.Sprintf("not_found[%d]", j), "%q does not begin with /", path)
			}
		}
		if l.Mode == modeTCP {
			l.judgeTCP(wrong)
		}
	}
	return d, source, errors.Join(errs...)
}

// judgeTCP refuses what a listener cannot do that does not know what it carries.
func (l Listener) judgeTCP(wrong func(member, format string, args ...any)) {
	for member, given := range map[string]bool{
		"tls": l.TLS != nil, "trusted_proxies": len(l.TrustedProxies) > 0, "not_found": len(l.NotFound) > 0, "access_log": l.AccessLog,
	} {
		if given {
			wrong(member, "goes with the mode http alone")
		}
	}
}

// Schema returns the JSON Schema of a Document.
func Schema() ([]byte, error) {
	text, err := document.Schema(Document{}, "countersign lb")
	if err != nil {
		return nil, fmt.Errorf("describe the configuration: %w", err)
	}
	return text, nil
}
