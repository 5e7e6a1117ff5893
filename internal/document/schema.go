package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"reflect"
	"strconv"
	"strings"
)

// Schema returns a JSON Schema (2020-12) of the documents that Decode takes into a struct of the type of `of`, for editors. The same type
// gives the same bytes. What a schema cannot say stays with Decode: bounds of durations and of sizes with a unit, and what an
// encoding.TextUnmarshaler takes. It panics where Decode does.
func Schema(of any, title string) ([]byte, error) {
	t := bare(reflect.TypeOf(of))
	s := sketch{uses: map[reflect.Type]int{}, names: map[reflect.Type]string{}, definitions: object{}}
	s.count(t)
	s.name()
	top := s.structure(t)
	top["$schema"], top["title"] = "https://json-schema.org/draft/2020-12/schema", title
	if len(s.definitions) > 0 {
		top["$defs"] = s.definitions
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(top); err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return out.Bytes(), nil
}

type object = map[string]any

// sketch is a schema being made. A struct that stands in several places is defined once.
type sketch struct {
	uses        map[reflect.Type]int
	order       []reflect.Type
	names       map[reflect.Type]string
	definitions object
}

func bare(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func (s *sketch) count(t reflect.Type) {
	switch t = bare(t); kindOf(t) {
	case kindStruct:
		if s.uses[t]++; s.uses[t] > 1 {
			return
		}
		s.order = append(s.order, t)
		for _, m := range membersOf(t) {
			s.count(m.field.Type)
		}
	case kindMap, kindList:
		s.count(t.Elem())
	case kindText, kindString, kindBool, kindInt, kindUint, kindFloat, kindDuration, kindSize:
	}
}

// name names the structs that need a definition by their Go types, with as much of the package as tells them apart.
func (s *sketch) name() {
	taken := map[string]bool{}
	for _, t := range s.order {
		if s.uses[t] < 2 {
			continue
		}
		name := t.Name()
		if taken[name] {
			name = path.Base(t.PkgPath()) + "." + name
		}
		for n := 2; name == "" || taken[name]; n++ {
			name = t.Name() + strconv.Itoa(n)
		}
		taken[name], s.names[t] = true, name
	}
}

// value returns the schema of one value.
func (s *sketch) value(t reflect.Type, r rules) object {
	t = bare(t)
	switch k := kindOf(t); k {
	case kindStruct:
		name, ok := s.names[t]
		if !ok {
			return s.structure(t)
		}
		if s.definitions[name] == nil {
			s.definitions[name] = object{} // for what refers to itself
			s.definitions[name] = s.structure(t)
		}
		return object{"$ref": "#/$defs/" + name}
	case kindMap:
		return object{"type": "object", "additionalProperties": s.value(t.Elem(), r), "propertyNames": object{"pattern": entryName.String(), "maxLength": maxName}}
	case kindList:
		return object{"type": "array", "items": s.value(t.Elem(), r)}
	case kindText, kindString, kindBool, kindInt, kindUint, kindFloat, kindDuration, kindSize:
		return plain(t, k, r)
	}
	return nil
}

func (s *sketch) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, m := range membersOf(t) {
		properties[m.name] = s.member(m)
		if m.needed() {
			required = append(required, m.name)
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

func (s *sketch) member(m member) object {
	schema := s.value(m.field.Type, m.rules)
	if text := m.description(); text != "" {
		schema["description"] = text
	}
	if m.fallback != nil {
		var value any
		if err := m.fallbackNode().Decode(&value); err != nil {
			panic(fmt.Sprintf("document: field %s: %v", m.field.Name, err))
		}
		schema["default"] = value
	}
	least := map[kind]string{kindString: "minLength", kindText: "minLength", kindList: "minItems", kindMap: "minProperties"}[kindOf(m.field.Type)]
	if m.required && least != "" {
		schema[least] = 1
	}
	return schema
}

// description is the help, with the bounds that no schema can judge.
func (m member) description() string {
	text := m.help
	if k := kindOf(m.field.Type); k == kindDuration || k == kindSize {
		if m.min != "" {
			text = sentence(text) + " At least " + m.min + "."
		}
		if m.max != "" {
			text = sentence(text) + " At most " + m.max + "."
		}
	}
	return strings.TrimSpace(text)
}

// sentence ends text with a period.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// plain returns the schema of a scalar.
func plain(t reflect.Type, k kind, r rules) (schema object) {
	switch k {
	case kindString:
		schema = object{"type": "string"}
		if len(r.oneOf) > 0 {
			schema["enum"] = r.oneOf
		}
	case kindText:
		schema = object{"type": "string"}
	case kindDuration:
		return object{"type": "string", "pattern": durations.String()}
	case kindSize:
		schema = object{"type": []string{"integer", "string"}, "pattern": sizes.String(), "minimum": 0}
	case kindBool:
		schema = object{"type": "boolean"}
	case kindInt, kindUint:
		schema = object{"type": "integer"}
	case kindFloat:
		schema = object{"type": "number"}
	case kindStruct, kindMap, kindList: // are not plain
	}
	if k == kindUint {
		schema["minimum"], schema["maximum"] = 0, uint64(math.MaxUint64)>>(64-t.Bits())
	}
	for key, bound := range map[string]string{"minimum": r.min, "maximum": r.max} {
		if bound != "" {
			schema[key] = limit(k, bound)
		}
	}
	return schema
}

func limit(k kind, bound string) any {
	if k == kindSize {
		size, _ := parseSize(bound)
		return int64(size)
	}
	return json.Number(bound)
}
