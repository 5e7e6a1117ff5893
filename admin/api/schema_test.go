package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// record holds answers against the OpenAPI document, and notes which were seen.
type record struct {
	*world

	document map[string]any
	paths    []path
	seen     map[string]map[string]bool // by operation and status
}

// path is one of the document.
type path struct {
	text    string
	matches *regexp.Regexp
	methods map[string]any
}

func newRecord(w *world) *record {
	r := &record{world: w, seen: map[string]map[string]bool{}}
	got := w.send(call{method: http.MethodGet, path: "/openapi.json"})
	w.check(json.Unmarshal(got.body, &r.document))
	for text, item := range object(r.document["paths"]) {
		pattern := "^" + regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(text, "[^/]+") + "$"
		r.paths = append(r.paths, path{text, regexp.MustCompile(pattern), object(item)})
	}
	slices.SortFunc(r.paths, func(a, b path) int { return strings.Count(a.text, "{") - strings.Count(b.text, "{") }) // concrete ones first
	return r
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// operation finds the operation of a call.
func (r *record) operation(c call) (id string, op map[string]any) {
	bare, _, _ := strings.Cut(c.path, "?")
	for _, p := range r.paths {
		if op := object(p.methods[strings.ToLower(c.method)]); op != nil && p.matches.MatchString(bare) {
			return op["operationId"].(string), op
		}
	}
	return "", nil
}

// hold reports an answer that is not as described.
func (r *record) hold(c call, got reply) {
	r.Helper()
	id, op := r.operation(c)
	if op == nil {
		return
	}
	if got.header.Get("Cache-Control") != "no-store" {
		r.Errorf("%s %d may be cached", id, got.status)
	}
	status := fmt.Sprint(got.status)
	answer := object(object(op["responses"])[status])
	if answer == nil {
		r.Errorf("%s answers %s, which is not documented: %s", id, status, got.body)
		return
	}
	if ref, ok := answer["$ref"].(string); ok {
		answer = object(r.at(ref))
	}
	if r.seen[id] == nil {
		r.seen[id] = map[string]bool{}
	}
	r.seen[id][status] = true
	mediaType := got.header.Get("Content-Type")
	content := object(object(answer["content"])[mediaType])
	if len(got.body) == 0 && answer["content"] == nil {
		return
	}
	if content == nil {
		r.Errorf("%s %s has the type %q, which is not documented", id, status, mediaType)
		return
	}
	if mediaType == "application/jsonl" {
		return
	}
	var value any
	r.check(json.Unmarshal(got.body, &value))
	for _, wrong := range r.wrong(content["schema"], value, "") {
		r.Errorf("%s %s: %s\n%s", id, status, wrong, got.body)
	}
}

// unseen lists what is documented and was never answered.
func (r *record) unseen() (missing []string) {
	for _, p := range r.paths {
		for _, op := range p.methods {
			id := object(op)["operationId"].(string)
			for status := range object(object(op)["responses"]) {
				if status != "default" && !r.seen[id][status] {
					missing = append(missing, id+" "+status)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// at follows a reference.
func (r *record) at(ref string) (found any) {
	found = r.document
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		found = object(found)[name]
	}
	return found
}

// wrong says where a value does not fit its JSON Schema, of which it knows what the document uses; it fails at what it does not.
func (r *record) wrong(of, value any, at string) (all []string) {
	schema := object(of)
	if ref, ok := schema["$ref"].(string); ok {
		return r.wrong(r.at(ref), value, at)
	}
	for _, keyword := range slices.Sorted(maps.Keys(schema)) {
		if why := r.breaks(keyword, schema, value, at); why != "" {
			all = append(all, at+": "+why)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			inner, known := object(schema["properties"])[name]
			if !known {
				inner = schema["additionalProperties"]
			}
			all = append(all, r.wrong(inner, member, at+"/"+name)...)
			if inner == false || inner == nil && schema["properties"] != nil {
				all = append(all, at+"/"+name+": is not described")
			}
		}
	case []any:
		for i, item := range value {
			all = append(all, r.wrong(schema["items"], item, fmt.Sprintf("%s/%d", at, i))...)
		}
	}
	return all
}

// breaks says why a value breaks one keyword.
func (r *record) breaks(keyword string, schema map[string]any, value any, at string) string {
	given := schema[keyword]
	text, isText := value.(string)
	number, isNumber := value.(float64)
	list, isList := value.([]any)
	limit, _ := given.(float64)
	broken := false
	switch keyword {
	case "description", "examples", "default", "properties", "additionalProperties", "items":
	case "type":
		types, several := given.([]any)
		if !several {
			types = []any{given}
		}
		broken = !slices.ContainsFunc(types, func(kind any) bool { return is(kind.(string), value) })
	case "format":
		_, err := time.Parse(time.RFC3339, text)
		broken = given == "date-time" && isText && (err != nil || !strings.HasSuffix(text, "Z"))
		if !slices.Contains([]any{"date-time", "int64"}, given) {
			r.Fatalf("%s: format %v", at, given)
		}
	case "required":
		for _, name := range given.([]any) {
			_, ok := object(value)[name.(string)]
			broken = broken || !ok
		}
	case "enum":
		broken = !slices.Contains(given.([]any), value)
	case "minimum":
		broken = isNumber && number < limit
	case "maximum":
		broken = isNumber && number > limit
	case "minLength":
		broken = isText && utf8.RuneCountInString(text) < int(limit)
	case "maxLength":
		broken = isText && utf8.RuneCountInString(text) > int(limit)
	case "minItems":
		broken = isList && len(list) < int(limit)
	case "maxItems":
		broken = isList && len(list) > int(limit)
	default:
		r.Fatalf("%s: the document uses %s, of which this test knows nothing", at, keyword)
	}
	if broken {
		return fmt.Sprintf("%v does not fit %s %v", value, keyword, given)
	}
	return ""
}

func is(kind string, value any) bool {
	switch value := value.(type) {
	case nil:
		return kind == "null"
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case float64:
		return kind == "number" || kind == "integer" && value == float64(int64(value))
	case []any:
		return kind == "array"
	}
	return kind == "object"
}
