package document

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What may stand in a document: without the spellings that parsers of YAML disagree on (0644, 0x10, 1_000, yes).
var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	number      = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	durations   = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
)

// scalar is a plain value that goes into a field unless a rule forbids it.
type scalar struct {
	rules

	text   string
	isText bool // and not a number or the like
	wrong  func(format string, args ...any)
}

func (d *decoder) scalar(at place, node *yaml.Node, into reflect.Value, r rules) {
	s := scalar{rules: r, text: node.Value, isText: slices.Contains([]string{"!!str", "!!timestamp", "!!merge"}, node.ShortTag())}
	s.wrong = func(format string, args ...any) {
		d.mistakes.add(at, "%s %s", r.show(s.text), fmt.Sprintf(format, args...))
	}
	switch k := kindOf(into.Type()); k {
	case kindString:
		s.intoString(into)
	case kindText:
		s.intoText(into)
	case kindBool, kindInt, kindUint, kindFloat:
		s.intoNumber(k, into)
	case kindDuration:
		if v, ok := read(s, parseDuration, "is no duration: want one such as 1s or 500ms"); ok {
			into.SetInt(int64(v))
		}
	case kindSize:
		if v, ok := read(s, parseSize, "is no size: want a number of bytes, or a text such as 64KiB or 10MiB"); ok {
			into.SetInt(int64(v))
		}
	case kindStruct, kindMap, kindList: // are no plain values
	}
}

func (s scalar) intoString(into reflect.Value) {
	switch {
	case !s.isText:
		s.wrong("is not a text: put it in quotes")
	case len(s.oneOf) > 0 && !slices.Contains(s.oneOf, s.text):
		s.wrong("is not allowed: want one of %s", strings.Join(s.oneOf, ", "))
	default:
		into.SetString(s.text)
	}
}

func (s scalar) intoText(into reflect.Value) {
	target, ok := reflect.TypeAssert[encoding.TextUnmarshaler](into.Addr())
	if !s.isText || !ok {
		s.wrong("is not a text: put it in quotes")
		return
	}
	if err := target.UnmarshalText([]byte(s.text)); err != nil && s.secret {
		s.wrong("does not fit")
	} else if err != nil {
		s.wrong("does not fit: %s", short(err.Error()))
	}
}

func (s scalar) intoNumber(k kind, into reflect.Value) {
	if s.isText && (number.MatchString(s.text) || s.text == "true" || s.text == "false") {
		s.wrong("is a text: remove the quotes")
		return
	}
	switch k {
	case kindBool:
		if text := strings.ToLower(s.text); s.isText || text != "true" && text != "false" {
			s.wrong("is neither true nor false")
		} else {
			into.SetBool(text == "true")
		}
	case kindInt:
		parse := func(text string) (int64, bool) {
			v, err := strconv.ParseInt(text, 10, into.Type().Bits())
			return v, err == nil && wholeNumber.MatchString(text)
		}
		if v, ok := read(s, parse, "is no whole number"); ok {
			into.SetInt(v)
		}
	case kindUint:
		bits := into.Type().Bits()
		parse := func(text string) (uint64, bool) {
			v, err := strconv.ParseUint(text, 10, bits)
			return v, err == nil && wholeNumber.MatchString(text)
		}
		if v, ok := read(s, parse, fmt.Sprintf("is no whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits))); ok {
			into.SetUint(v)
		}
	case kindFloat:
		parse := func(text string) (float64, bool) {
			v, err := strconv.ParseFloat(text, into.Type().Bits())
			return v, err == nil && number.MatchString(text)
		}
		if v, ok := read(s, parse, "is no number"); ok {
			into.SetFloat(v)
		}
	case kindStruct, kindMap, kindList, kindText, kindString, kindDuration, kindSize: // go elsewhere
	}
}

// read parses the value and judges it by the bounds, which are spelled as values are.
func read[T cmp.Ordered](s scalar, parse func(string) (T, bool), otherwise string) (T, bool) {
	v, ok := parse(s.text)
	if !ok {
		s.wrong("%s", otherwise)
		return v, false
	}
	bound := func(text string) T {
		limit, ok := parse(text)
		if !ok {
			panic(fmt.Sprintf("document: bound %q is of another kind than its field", text))
		}
		return limit
	}
	switch {
	case s.min != "" && v < bound(s.min):
		s.wrong("is too small: the least is %s", s.min)
	case s.max != "" && v > bound(s.max):
		s.wrong("is too large: the most is %s", s.max)
	default:
		return v, true
	}
	return v, false
}

func parseDuration(text string) (time.Duration, bool) {
	v, err := time.ParseDuration(text)
	return v, err == nil && durations.MatchString(text)
}

// show shows a value in an error, unless it is a secret.
func (r rules) show(text string) string {
	if r.secret {
		return "the value"
	}
	return quoted(text)
}

// quoted shows a name or value in an error.
func quoted(text string) string { return strconv.Quote(short(text)) }

func short(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
