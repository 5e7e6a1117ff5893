package gateway

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// table finds the route of a request. It does not change once it is made.
//
// A route that names the request's host comes before one that names a domain above it, and that before one for any host. Among those of one
// host an exact path comes before a prefix and a longer prefix before a shorter one; what is found decides, whatever its methods: a method
// that it does not have is not looked for elsewhere, where it might be easier to get in.
type table struct {
	hosts   map[string]*paths // by name; "" is any
	domains []string          // the parts of *.example.com behind the star, the longest first
	capital bool              // a route's path has capitals
}

// paths are the routes of one host.
type paths struct {
	exact  map[string]*choice
	prefix map[string]*choice
	folded map[string][]*choice // both, by their path in small letters
}

// choice are the routes of one path, which differ by their methods.
type choice struct {
	path   string
	exact  bool
	routes []*route
}

func newTable() *table { return &table{hosts: map[string]*paths{}} }

// add puts a route into the table, or returns the one that stands there already.
func (t *table) add(r *route) (taken *route) {
	hosts := r.hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		if domain, ok := strings.CutPrefix(host, "*"); ok && !slices.Contains(t.domains, domain) {
			t.domains = append(t.domains, domain)
			slices.SortFunc(t.domains, func(a, b string) int { return len(b) - len(a) })
		}
		p := t.hosts[host]
		if p == nil {
			p = &paths{exact: map[string]*choice{}, prefix: map[string]*choice{}, folded: map[string][]*choice{}}
			t.hosts[host] = p
		}
		if taken := p.add(r); taken != nil {
			return taken
		}
	}
	t.capital = t.capital || hasUpper(r.path)
	return nil
}

func (p *paths) add(r *route) (taken *route) {
	key := trimmed(r.path)
	all := p.prefix
	if r.exact {
		all = p.exact
	}
	c := all[key]
	if c == nil {
		c = &choice{path: r.path, exact: r.exact}
		all[key] = c
		folded := strings.ToLower(key)
		p.folded[folded] = append(p.folded[folded], c)
	}
	for _, other := range c.routes {
		if len(other.methods) == 0 && len(r.methods) == 0 || slices.ContainsFunc(r.methods, func(m string) bool { return slices.Contains(other.methods, m) }) {
			return other
		}
	}
	c.routes = append(c.routes, r)
	return nil
}

// find returns the routes of a canonical path at a host, as hostname returns it. ambiguous: a path that differs by capitals only has
// others, so that a server that takes capitals for small letters would serve what is guarded elsewhere.
func (t *table) find(host, path string) (found *choice, ambiguous bool) {
	key := trimmed(path)
	fold := t.capital || hasUpper(path)
	for p := range t.candidates(host) {
		found := p.find(key)
		if fold && !p.agrees(strings.ToLower(key), found) {
			return nil, true
		}
		if found != nil {
			return found, false
		}
	}
	return nil, false
}

// candidates are where to look, in order. Every domain above the host is one: what *.example.com guards must not be open below another domain
// of it, for the paths that this has no routes for.
func (t *table) candidates(host string) iter.Seq[*paths] {
	return func(yield func(*paths) bool) {
		if p := t.hosts[host]; p != nil && host != "" && !yield(p) {
			return
		}
		for _, domain := range t.domains {
			if len(host) > len(domain) && strings.HasSuffix(host, domain) && !yield(t.hosts["*"+domain]) {
				return
			}
		}
		if p := t.hosts[""]; p != nil {
			yield(p)
		}
	}
}

func (p *paths) find(key string) *choice {
	if c := p.exact[key]; c != nil {
		return c
	}
	for {
		if c := p.prefix[key]; c != nil {
			return c
		}
		if key == "" {
			return nil
		}
		key = key[:strings.LastIndexByte(key, '/')]
	}
}

// agrees tells whether found is also what is found if capitals do not count.
func (p *paths) agrees(folded string, found *choice) bool {
	for whole := true; ; whole = false {
		for _, exact := range []bool{true, false} {
			if exact && !whole {
				continue
			}
			same := slices.DeleteFunc(slices.Clone(p.folded[folded]), func(c *choice) bool { return c.exact != exact })
			if len(same) > 0 {
				return slices.Contains(same, found)
			}
		}
		if folded == "" {
			return found == nil
		}
		folded = folded[:strings.LastIndexByte(folded, '/')]
	}
}

// route returns the one for a method, or nil. A route for GET serves HEAD, unless another names that.
func (c *choice) route(method string) *route {
	var read, whatever *route
	for _, r := range c.routes {
		switch {
		case len(r.methods) == 0:
			whatever = r
		case slices.Contains(r.methods, method):
			return r
		case method == http.MethodHead && slices.Contains(r.methods, http.MethodGet):
			read = r
		}
	}
	if read != nil {
		return read
	}
	return whatever
}

// allow lists the methods, for the header of that name.
func (c *choice) allow() string {
	var all []string
	for _, r := range c.routes {
		all = append(all, r.methods...)
		if slices.Contains(r.methods, "GET") {
			all = append(all, "HEAD")
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// trimmed is a path without its last slash: both spellings have one policy.
func trimmed(path string) string { return strings.TrimSuffix(path, "/") }
