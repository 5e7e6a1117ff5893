package document

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// kind is how a Go type stands in a document.
type kind string

const (
	kindStruct   kind = "a mapping"
	kindMap      kind = "a mapping by name"
	kindList     kind = "a list"
	kindText     kind = "a plain value" // encoding.TextUnmarshaler
	kindString   kind = "a text"
	kindBool     kind = "true or false"
	kindInt      kind = "a whole number"
	kindUint     kind = "a whole number, not below 0"
	kindFloat    kind = "a number"
	kindDuration kind = "a duration such as 1s or 500ms"
	kindSize     kind = "a size such as 64KiB or 10MiB"
)

// kindOf panics on a type that has no place in a document. Pointers are looked through.
func kindOf(t reflect.Type) kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Duration]():
		return kindDuration
	case t == reflect.TypeFor[Size]():
		return kindSize
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return kindText
	case k == reflect.Struct:
		return kindStruct
	case k == reflect.Map && t.Key().Kind() == reflect.String:
		return kindMap
	case k == reflect.Slice:
		return kindList
	case k == reflect.String:
		return kindString
	case k == reflect.Bool:
		return kindBool
	case k >= reflect.Int && k <= reflect.Int64:
		return kindInt
	case k >= reflect.Uint && k <= reflect.Uint64:
		return kindUint
	case k == reflect.Float32 || k == reflect.Float64:
		return kindFloat
	}
	panic(fmt.Sprintf("document: a value of type %s cannot stand in a document", t))
}

// rules are what a member's tags allow.
type rules struct {
	oneOf    []string
	min, max string // "" is no bound
	secret   bool
}

// member is a field that stands in a document.
type member struct {
	rules

	name, help string
	fallback   *string // the tag `default`
	required   bool
	field      reflect.StructField
	index      []int
}

func membersOf(t reflect.Type) (list []member) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if field.Anonymous && field.Type.Kind() == reflect.Struct && (name == "" || options == "inline") {
			for _, inner := range membersOf(field.Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		m := member{name: name, help: field.Tag.Get("help"), required: field.Tag.Get("required") == "true", field: field, index: []int{i}}
		m.min, m.max, m.secret = field.Tag.Get("min"), field.Tag.Get("max"), field.Tag.Get("secret") == "true"
		if one := field.Tag.Get("oneof"); one != "" {
			m.oneOf = strings.Split(one, "|")
		}
		if text, ok := field.Tag.Lookup("default"); ok {
			m.fallback = &text
		}
		list = append(list, m)
	}
	return list
}

// needed says whether a document must give the member: it is required, or is a struct with a member that is.
func (m member) needed() bool {
	return m.required || m.field.Type.Kind() != reflect.Pointer && kindOf(m.field.Type) == kindStruct && slices.ContainsFunc(membersOf(m.field.Type), member.needed)
}

// fill puts what an absent member holds into its field.
func (m member) fill(field reflect.Value) {
	switch k := kindOf(m.field.Type); {
	case m.fallback != nil:
		d := decoder{source: &Source{lines: map[string]int{}}, left: maxExpanded}
		d.value(place{path: m.name}, m.fallbackNode(), field, m.rules)
		if err := d.mistakes.join("default"); err != nil {
			panic(fmt.Sprintf("document: field %s: %v", m.field.Name, err))
		}
	case k == kindStruct && m.field.Type.Kind() != reflect.Pointer:
		for _, inner := range membersOf(m.field.Type) {
			inner.fill(field.FieldByIndex(inner.index))
		}
	}
}

// fallbackNode is the tag `default` as YAML; a text needs no quotes there.
func (m member) fallbackNode() *yaml.Node {
	if k := kindOf(m.field.Type); k == kindString || k == kindText {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: *m.fallback}
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(*m.fallback), &document); err != nil || len(document.Content) != 1 {
		panic(fmt.Sprintf("document: field %s: default %q is no YAML", m.field.Name, *m.fallback))
	}
	return document.Content[0]
}
