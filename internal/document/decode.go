package document

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where a value stands: the path of its member, and the line of that member's name.
type place struct {
	path string
	line int
}

type decoder struct {
	source   *Source
	mistakes mistakes
	left     int // bytes of names and values that may still come: aliases can make a small document a huge one
	depth    int // of values and merged mappings in one another: aliases can make it endless
}

const (
	maxDepth = 100
	perValue = 4 // bytes, on top of its own
)

// maxName bounds the name of an entry in characters. Names make paths, of which there is one for each value below.
const maxName = 256

var entryName = regexp.MustCompile(`^[^\x00-\x1f\x7f]+$`)

// value puts node into a value that is still zero.
func (d *decoder) value(at place, node *yaml.Node, into reflect.Value, r rules) {
	node, ok := d.enter(at, node)
	if !ok {
		return
	}
	defer d.leave()
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	switch k := kindOf(into.Type()); {
	case !d.fits(at, node, k, r):
	case k == kindStruct:
		d.structure(at, node, into)
	case k == kindMap:
		d.mapping(at, node, into, r)
	case k == kindList:
		d.list(at, node, into, r)
	default:
		d.scalar(at, node, into, r)
	}
}

// enter follows an alias, and refuses what aliases expand to beyond measure. If it returns true, leave must be called.
func (d *decoder) enter(at place, node *yaml.Node) (*yaml.Node, bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if !d.spend(at, node.Value) {
		return nil, false
	}
	if d.depth == maxDepth {
		d.mistakes.add(at, "more than %d values stand in one another", maxDepth)
		return nil, false
	}
	d.depth++
	return node, true
}

func (d *decoder) leave() { d.depth-- }

// spend takes a name or value into account.
func (d *decoder) spend(at place, text string) bool {
	if d.left < 0 {
		return false // which was told
	}
	if d.left -= perValue + len(text); d.left < 0 {
		d.mistakes.add(at, "the document's aliases make it larger than %d bytes", maxExpanded)
	}
	return d.left >= 0
}

// fits refuses a node of another kind than the one wanted.
func (d *decoder) fits(at place, node *yaml.Node, k kind, r rules) bool {
	want := yaml.ScalarNode
	switch k {
	case kindStruct, kindMap:
		want = yaml.MappingNode
	case kindList:
		want = yaml.SequenceNode
	case kindText, kindString, kindBool, kindInt, kindUint, kindFloat, kindDuration, kindSize:
	}
	found := r.show(node.Value)
	switch tag := node.ShortTag(); {
	case tag == "!!null":
		found = "nothing"
	case !slices.Contains([]string{"!!map", "!!seq", "!!str", "!!bool", "!!int", "!!float", "!!timestamp", "!!merge"}, tag):
		found = "a value with the tag " + quoted(tag)
	case node.Kind == want:
		return true
	case node.Kind == yaml.MappingNode:
		found = "a mapping"
	case node.Kind == yaml.SequenceNode:
		found = "a list"
	}
	d.mistakes.add(at, "%s stands where %s belongs", found, k)
	return false
}

func (d *decoder) structure(at place, node *yaml.Node, into reflect.Value) {
	members := membersOf(into.Type())
	given := map[string]bool{}
	for _, e := range d.entries(at, node) {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == e.name })
		if i < 0 {
			d.mistakes.add(place{at.path, e.line}, "%s", unknown(e.name, members))
			continue
		}
		m, field := members[i], into.FieldByIndex(members[i].index)
		given[m.name] = true
		here, before := d.at(at, e), d.mistakes.count()
		d.value(here, e.value, field, m.rules)
		if m.required && d.mistakes.count() == before && empty(field) {
			d.mistakes.add(here, "must not be empty")
		}
	}
	for _, m := range members {
		switch {
		case given[m.name]:
		case m.needed():
			d.mistakes.add(at, "%q is missing", m.name)
		default:
			m.fill(into.FieldByIndex(m.index))
		}
	}
}

func empty(v reflect.Value) bool {
	v = reflect.Indirect(v)
	return (v.Kind() == reflect.String || v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

func (d *decoder) mapping(at place, node *yaml.Node, into reflect.Value, r rules) {
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range d.entries(at, node) {
		item := reflect.New(into.Type().Elem()).Elem()
		d.value(d.at(at, e), e.value, item, r)
		into.SetMapIndex(reflect.ValueOf(e.name).Convert(into.Type().Key()), item)
	}
}

func (d *decoder) list(at place, node *yaml.Node, into reflect.Value, r rules) {
	into.Set(reflect.MakeSlice(into.Type(), 0, min(len(node.Content), 1024)))
	for i, child := range node.Content {
		if d.left < 0 {
			return
		}
		here := place{fmt.Sprintf("%s[%d]", at.path, i), child.Line}
		d.source.lines[here.path] = here.line
		item := reflect.New(into.Type().Elem()).Elem()
		d.value(here, child, item, r)
		into.Set(reflect.Append(into, item))
	}
}

// at is the place of an entry, which the source learns.
func (d *decoder) at(parent place, e entry) place {
	path := strings.TrimPrefix(parent.path+"."+e.name, ".")
	d.source.lines[path] = e.line
	return place{path, e.line}
}
