package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/countersign/countersign/sdk/strictjson"
)

// FuzzObject compares with encoding/json: whatever is accepted is valid there too and has the same members, and whatever is refused is
// invalid there or breaks one of the rules that this package adds.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":1} `, `{"a":{"b":[1,"x",null,true,-0.5e-3]},"c":"\ud83d\ude00\u00e9"}`, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`,
		"{\"a\":\"\xff\"}", `{"a":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}`, `{"a":1}{}`, `{"a":01}`, `{"alg":"ES256","ALG":"none"}`,
		`{"iss":"https://auth.example.com","exp":1300819380,"aud":["a","b"]}`, `{"a":"\\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := map[string]any{}
		err := strictjson.Object(text, func(name string, value strictjson.Value) error {
			decoded, err := decoded(value)
			got[name] = decoded
			return err
		})
		var want map[string]json.RawMessage
		valid := json.Unmarshal(text, &want) == nil && want != nil
		switch {
		case err == nil && !valid:
			t.Fatalf("%q is accepted and not valid", text)
		case err != nil && valid && !breaksRule(t, text):
			t.Fatalf("%q is refused: %v", text, err)
		case err != nil:
			return
		case breaksRule(t, text):
			t.Fatalf("%q is accepted", text)
		}
		if len(got) != len(want) {
			t.Fatalf("%q has %d members, not %d", text, len(want), len(got))
		}
		for name, value := range got {
			var other any
			decoder := json.NewDecoder(bytes.NewReader(want[name]))
			decoder.UseNumber()
			if err := decoder.Decode(&other); err != nil || fmt.Sprintf("%#v", value) != fmt.Sprintf("%#v", other) {
				t.Fatalf("%q: %q is %#v, not %#v", text, name, other, value)
			}
		}
	})
}

// decoded reads a value as encoding/json would with UseNumber.
func decoded(value strictjson.Value) (any, error) {
	switch value.Kind() {
	case strictjson.Null:
		return nil, nil
	case strictjson.Bool:
		return value.Bool()
	case strictjson.Number:
		return json.Number(value.Raw()), nil
	case strictjson.String:
		return value.String()
	case strictjson.Array:
		all := []any{}
		err := value.Array(func(member strictjson.Value) error {
			one, err := decoded(member)
			all = append(all, one)
			return err
		})
		return all, err
	}
	all := map[string]any{}
	err := value.Object(func(name string, member strictjson.Value) error {
		one, err := decoded(member)
		all[name] = one
		return err
	})
	return all, err
}

var (
	escapes = regexp.MustCompile(`\\\\|\\[uU]([0-9a-fA-F]{4})`)
	pair    = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	half    = regexp.MustCompile(`^\\u[dD][89a-fA-F]`)
)

// breaksRule tells, in the slowest way, whether JSON that encoding/json accepts is not strict.
func breaksRule(t *testing.T, text []byte) bool {
	if !utf8.Valid(text) {
		return true
	}
	backslashes := regexp.MustCompile(`\\\\`).ReplaceAll(text, []byte(`__`))
	return slices.ContainsFunc(escapes.FindAll(pair.ReplaceAll(backslashes, nil), -1), half.Match) || repeats(t, json.NewDecoder(bytes.NewReader(text)))
}

// repeats tells whether an object has two members of one name, or is too deep.
func repeats(t *testing.T, decoder *json.Decoder) bool {
	type level struct {
		seen   map[string]bool // nil: an array
		inside bool            // a value is due, not a name
	}
	var levels []level
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		top := len(levels) - 1
		if top >= 0 && levels[top].seen != nil && token != json.Delim('}') {
			if !levels[top].inside {
				name, _ := token.(string)
				if levels[top].seen[name] {
					return true
				}
				levels[top].seen[name] = true
				levels[top].inside = true
				continue
			}
			levels[top].inside = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{seen: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:top]
		}
		if len(levels) > strictjson.MaxDepth {
			return true
		}
	}
}
