package wire_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/wire"
)

// node is the part of a JSON Schema that is looked at here.
type node struct {
	Ref        string          `json:"$ref"`
	Type       string          `json:"type"`
	Enum       []string        `json:"enum"`
	Const      string          `json:"const"`
	Required   []string        `json:"required"`
	Properties map[string]node `json:"properties"`
	Additional json.RawMessage `json:"additionalProperties"`
	Items      *node           `json:"items"`
	Minimum    json.Number     `json:"minimum"`
	Maximum    json.Number     `json:"maximum"`
	Defs       map[string]node `json:"$defs"`
}

// What the schema says and what the program reads are the same: each member with its type and what it may be, and nothing else.
func TestSchemaIsWhatIsRead(t *testing.T) {
	var root node
	if err := json.Unmarshal([]byte(wire.Schema()), &root); err != nil {
		t.Fatal(err)
	}
	compare(t, "", root, root, reflect.TypeFor[wire.Document]())
}

func compare(t *testing.T, at string, root, schema node, read reflect.Type) {
	t.Helper()
	if name, ok := strings.CutPrefix(schema.Ref, "#/$defs/"); ok {
		found, there := root.Defs[name]
		if !there {
			t.Errorf("%s refers to %s, which is not there", at, name)
		}
		schema = found
	}
	switch read.Kind() {
	case reflect.Pointer:
		compare(t, at, root, schema, read.Elem())
	case reflect.Struct:
		compareMembers(t, at, root, schema, read)
	case reflect.Slice:
		if schema.Type != "array" || schema.Items == nil {
			t.Fatalf("%s is no list of something", at)
		}
		compare(t, at+"/0", root, *schema.Items, read.Elem())
	case reflect.Map:
		var value node
		if err := json.Unmarshal(schema.Additional, &value); err != nil || schema.Type != "object" {
			t.Fatalf("%s is no map: %v", at, err)
		}
		compare(t, at+"/*", root, value, read.Elem())
	default:
		want := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int64: "integer"}[read.Kind()]
		if schema.Type != want && (want != "string" || len(schema.Enum) == 0 && schema.Const == "") {
			t.Errorf("%s is a %q, and read as a %s", at, schema.Type, read)
		}
	}
}

func compareMembers(t *testing.T, at string, root, schema node, read reflect.Type) {
	t.Helper()
	if schema.Type != "object" || string(schema.Additional) != "false" {
		t.Errorf("%s takes unknown members", at)
	}
	var members, required []string
	for _, field := range reflect.VisibleFields(read) {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if options == "inline" {
			continue // its fields come of themselves
		}
		if name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(field.Name) // as the decoder does
			_, options, _ = strings.Cut(field.Tag.Get("json"), ",")
		}
		members = append(members, name)
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
		member := schema.Properties[name]
		compare(t, at+"/"+name, root, member, field.Type)
		allowed := member.Enum
		if member.Const != "" {
			allowed = []string{member.Const}
		}
		if enum := field.Tag.Get("enum"); strings.Join(allowed, ",") != enum {
			t.Errorf("%s/%s may be %q, and is read as %q", at, name, allowed, enum)
		}
		if got, want := [2]string{member.Minimum.String(), member.Maximum.String()}, [2]string{field.Tag.Get("minimum"), field.Tag.Get("maximum")}; got != want {
			t.Errorf("%s/%s has the bounds %q, and is read with %q", at, name, got, want)
		}
	}
	slices.Sort(members)
	if diff := cmp.Diff(members, slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
		t.Errorf("members of %s: %s", at, diff)
	}
	if diff := cmp.Diff(required, schema.Required); diff != "" {
		t.Errorf("required of %s: %s", at, diff)
	}
}
