package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// describeSchemas lists the named schemas in order of name.
func describeSchemas(document *huma.OpenAPI) (all []referenceSchema) {
	for name, schema := range document.Components.Schemas.Map() {
		all = append(all, referenceSchema{Name: name, Fields: describeFields(document, schema)})
	}
	slices.SortFunc(all, func(a, b referenceSchema) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// describeFields lists the members of an object in the order of the Go type from which it was made.
func describeFields(document *huma.OpenAPI, schema *huma.Schema) (all []referenceField) {
	for name, member := range schema.Properties {
		field := describeField(name, member)
		field.Required = slices.Contains(schema.Required, name)
		all = append(all, field)
	}
	order := memberOrder(document, schema)
	slices.SortFunc(all, func(a, b referenceField) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return all
}

func memberOrder(document *huma.OpenAPI, schema *huma.Schema) (names []string) {
	for name, known := range document.Components.Schemas.Map() {
		if known != schema {
			continue
		}
		for _, field := range reflect.VisibleFields(document.Components.Schemas.TypeFromRef("#/components/schemas/" + name)) {
			member, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, member)
		}
	}
	return names
}

func describeField(name string, schema *huma.Schema) referenceField {
	f := referenceField{Name: name, About: prose(sentence(schema.Description)), Type: typeOf(schema), Schema: nameOf(schema)}
	if f.Schema == "" && schema.Items != nil {
		f.Schema = nameOf(schema.Items)
	}
	if inner, ok := schema.AdditionalProperties.(*huma.Schema); ok && f.Schema == "" {
		f.Schema = nameOf(inner)
	}
	limit := func(name string, value any) {
		if v := reflect.ValueOf(value); !v.IsNil() {
			f.Facts = append(f.Facts, fmt.Sprintf("%s %v", name, v.Elem()))
		}
	}
	limit("at least", schema.Minimum)
	limit("at most", schema.Maximum)
	limit("min. length", schema.MinLength)
	limit("max. length", schema.MaxLength)
	limit("min. items", schema.MinItems)
	limit("max. items", schema.MaxItems)
	for _, value := range schema.Enum {
		f.Facts = append(f.Facts, fmt.Sprint(value))
	}
	if schema.Default != nil {
		f.Facts = append(f.Facts, fmt.Sprintf("default %v", reflect.Indirect(reflect.ValueOf(schema.Default))))
	}
	return f
}

func typeOf(schema *huma.Schema) string {
	kind := schema.Type
	switch {
	case schema.Ref != "":
		kind = nameOf(schema)
	case schema.Format == "date-time":
		kind = "time"
	case kind == huma.TypeArray:
		kind = "list of " + typeOf(schema.Items)
	case kind == huma.TypeObject:
		kind = "map"
		if inner, ok := schema.AdditionalProperties.(*huma.Schema); ok {
			kind += " of " + typeOf(inner)
		}
	case kind == "":
		kind = "any"
	}
	if schema.Nullable {
		kind += " or null"
	}
	return kind
}

func nameOf(schema *huma.Schema) string { return schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:] }

// sentence begins a description as a sentence does: in Go's tags they begin small.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// prose writes the little of Markdown that the descriptions have: code, and what is set in bold.
func prose(text string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(text, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			out.WriteString("<code>" + part + "</code>")
			continue
		}
		for j, bold := range strings.Split(part, "**") {
			if j%2 == 1 {
				bold = "<strong>" + bold + "</strong>"
			}
			out.WriteString(bold)
		}
	}
	return template.HTML(out.String()) //nolint:gosec // escaped above
}

var jsonToken = regexp.MustCompile(`(?m)^(\s*)(&#34;[^:]*?&#34;)(: )`)

// highlighted writes an example as indented JSON whose member names stand out.
func highlighted(example any) template.HTML {
	text, err := json.Marshal(example)
	if err != nil {
		return ""
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return ""
	}
	escaped := template.HTMLEscapeString(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(indented.String()))
	return template.HTML(jsonToken.ReplaceAllString(escaped, `$1<b>$2</b>$3`)) //nolint:gosec // escaped above
}
