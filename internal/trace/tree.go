package trace

import "strings"

// The services of the picture, by their service.name.
const (
	balancer = "countersign-lb"
	gateway  = "countersign-gateway"
	server   = "countersign-server"
	serviceA = "service-a"
	serviceB = "service-b"
)

// tree is the spans of one trace, each below its parent.
type tree struct {
	below map[string][]*Span // by the parent's id, in the order in which they began
	known map[string]bool
}

func newTree(spans []Span) *tree {
	t := &tree{below: map[string][]*Span{}, known: map[string]bool{}}
	for i := range spans {
		s := &spans[i]
		t.below[s.Parent] = append(t.below[s.Parent], s)
		t.known[s.ID] = true
	}
	return t
}

// find returns the first span below s, at any depth, that fits; nil: there is none, or no s. Nothing below a span that is beyond is
// looked at.
func (t *tree) find(s *Span, fits, beyond func(*Span) bool) *Span {
	if s == nil {
		return nil
	}
	for _, child := range t.below[s.ID] {
		if beyond(child) {
			continue
		}
		if fits(child) {
			return child
		}
		if found := t.find(child, fits, beyond); found != nil {
			return found
		}
	}
	return nil
}

// served returns the first request below s that an instance of service answered, of those whose path begins with this.
func (t *tree) served(s *Span, service, path string) *Span {
	return t.find(s, func(c *Span) bool {
		return c.Kind == "server" && c.Service == service && strings.HasPrefix(c.Attributes["url.path"], path)
	}, func(*Span) bool { return false })
}

// own returns the first span of this name that the process of s made below s, of which other processes had no part.
func (t *tree) own(s *Span, name string) *Span {
	if s == nil {
		return nil
	}
	return t.find(s, func(c *Span) bool { return c.Name == name },
		func(c *Span) bool { return c.Service != s.Service || c.Instance != s.Instance })
}

// orphans reports whether the parent of some span is not there yet. root has none.
func (t *tree) orphans() bool {
	for parent := range t.below {
		if parent != "" && !t.known[parent] {
			return true
		}
	}
	return false
}
