package strictjson

import "slices"

// names are those that an object has so far. Few are compared one by one, which costs no memory; many go into a map, so that an
// object of a hundred thousand members does not take a hundred thousand times as long.
type names struct {
	few  [16]string
	used int
	many map[string]struct{}
}

// add tells whether name is new.
func (n *names) add(name string) bool {
	if n.many != nil {
		before := len(n.many)
		n.many[name] = struct{}{}
		return len(n.many) > before
	}
	if slices.Contains(n.few[:n.used], name) {
		return false
	}
	if n.used < len(n.few) {
		n.few[n.used] = name
		n.used++
		return true
	}
	n.many = make(map[string]struct{}, 2*len(n.few))
	for _, known := range n.few {
		n.many[known] = struct{}{}
	}
	n.many[name] = struct{}{}
	return true
}
