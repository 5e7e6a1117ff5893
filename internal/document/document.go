// Package document reads the YAML documents of `countersign lb` and `countersign gateway`: strictly, into structs whose tags say what
// may stand where. Every mistake names file, line and member, and all of them are told at once. The same tags give a JSON Schema
// for editors. Watch follows a document's file.
package document

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Decode fills into, a pointer to a struct, from a YAML document. name is the file's name in errors. What into held is gone; after an
// error it holds nothing of use. The error joins all mistakes, in the order of their lines.
//
//	type Route struct {
//		Pool    string        `yaml:"pool" required:"true" help:"The pool that requests go to."`
//		Mode    string        `yaml:"mode" oneof:"strict|available" default:"available"`
//		Timeout time.Duration `yaml:"timeout" default:"30s" min:"1ms" max:"1h"`
//		Body    document.Size `yaml:"body" default:"1MiB"`
//		TLS     *TLS          `yaml:"tls"`
//	}
//	type Config struct {
//		Routes []Route `yaml:"routes" required:"true"`
//	}
//
//	var config Config
//	source, err := document.Decode("gateway.yaml", text, &config)
//	if err != nil {
//		return err // gateway.yaml:12: routes[1].timeout: "soon" is no duration: want one such as 1s or 500ms
//	}
//	if pools[config.Routes[1].Pool] == nil {
//		return source.Errorf("routes[1].pool", "no pool is named %q", config.Routes[1].Pool)
//	}
//
// A field is a member of the document if it has the tag `yaml`; an embedded struct adds its own. Fields are strings, booleans, integers,
// floats, time.Duration, Size, whatever implements encoding.TextUnmarshaler, structs, pointers (nil if absent), slices, and maps by
// string. Other tags:
//
//   - `help` describes the member, for Schema.
//   - `default` is what an absent member holds, as YAML ("1s", "[GET, HEAD]"). It also holds in a struct that is itself absent.
//   - `required:"true"`: the member must be there, and a text, list or map not be empty. A struct (not behind a pointer) is required if
//     one of its members is.
//   - `oneof:"a|b"`, `min`, `max` (both inclusive; for numbers, durations, sizes) and `secret:"true"` (the value is never shown in an
//     error) hold for the items if the field is a slice or map.
//
// A document has at most 1 MiB of UTF-8, and 4 MiB of names and values once its anchors and merge keys are followed. A member that is null is a
// mistake, since nearly always its value was forgotten. Decode panics on types and tags that it does not know: that is a mistake of the program.
func Decode(name string, text []byte, into any) (*Source, error) {
	top, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	d := decoder{source: &Source{name: name, lines: map[string]int{}}, left: maxExpanded}
	target := reflect.ValueOf(into).Elem()
	target.SetZero()
	d.value(place{line: top.Line}, top, target, rules{})
	if err := d.mistakes.join(name); err != nil {
		return nil, err
	}
	return d.source, nil
}

// Source knows the lines of a document that was decoded, so that what is judged later can name them. It is safe for concurrent use.
type Source struct {
	name  string
	lines map[string]int // by path
}

// Errorf returns an error that begins with the file, line and path of a member, such as "routes[1].pool" or, in a map, "pools.inventory". The line is
// that of the nearest member around it if the document leaves it out. The rest is as in fmt.Errorf.
func (s *Source) Errorf(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w", s.Place(path), fmt.Errorf(format, args...))
}

// Place returns the file, line and path of a member, as Errorf does.
func (s *Source) Place(path string) string {
	prefix := s.name
	for at := path; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if line, ok := s.lines[at]; ok {
			prefix = fmt.Sprintf("%s:%d", s.name, line)
			break
		}
	}
	if path != "" {
		prefix += ": " + path
	}
	return prefix
}

// maxMistakes bounds how many mistakes are told: whoever made more of them has another problem.
const maxMistakes = 50

type mistakes struct {
	list []mistake
	more int
}

type mistake struct {
	line int
	text string
}

func (m *mistakes) add(at place, format string, args ...any) {
	if len(m.list) == maxMistakes {
		m.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if at.path != "" {
		text = at.path + ": " + text
	}
	m.list = append(m.list, mistake{at.line, text})
}

// count grows with every mistake.
func (m *mistakes) count() int { return len(m.list) + m.more }

func (m *mistakes) join(name string) error {
	var errs []error
	slices.SortStableFunc(m.list, func(a, b mistake) int { return a.line - b.line })
	for _, one := range m.list {
		errs = append(errs, located(name, one.line, one.text))
	}
	if m.more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more mistakes", name, m.more))
	}
	return errors.Join(errs...)
}

func located(name string, line int, text string) error {
	return fmt.Errorf("%s:%d: %s", name, line, text)
}
