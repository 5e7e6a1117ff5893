package strictjson

import "fmt"

// reader goes through text, which is UTF-8. Every method leaves at behind what it read.
type reader struct {
	text string
	at   int
}

func (r *reader) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, r.at)
}

// peek returns the next byte. At the end that is 0, which is wrong wherever it is met, as it is in the text itself.
func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// object reads the object that begins here. Without each it is only checked.
func (r *reader) object(depth int, each func(string, Value) error) error {
	if depth > MaxDepth {
		return r.fail("nested too deep")
	}
	r.at++
	r.space()
	if r.peek() == '}' {
		r.at++
		return nil
	}
	var seen names
	for {
		name, value, err := r.member(depth, &seen)
		if err != nil {
			return err
		}
		if each != nil {
			if err := each(name, value); err != nil {
				return err
			}
		}
		switch r.peek() {
		case ',':
			r.at++
			r.space()
		case '}':
			r.at++
			return nil
		default:
			return r.fail("no comma or end of object")
		}
	}
}

func (r *reader) member(depth int, seen *names) (string, Value, error) {
	if r.peek() != '"' {
		return "", Value{}, r.fail("no name")
	}
	begin := r.at
	escaped, err := r.str()
	if err != nil {
		return "", Value{}, err
	}
	name := r.text[begin+1 : r.at-1]
	if escaped {
		name = unescape(name)
	}
	if !seen.add(name) {
		return "", Value{}, r.fail("second member of the same name")
	}
	r.space()
	if r.peek() != ':' {
		return "", Value{}, r.fail("no colon")
	}
	r.at++
	r.space()
	value, err := r.value(depth + 1)
	r.space()
	return name, value, err
}

// array reads the array that begins here. Without each it is only checked.
func (r *reader) array(depth int, each func(Value) error) error {
	if depth > MaxDepth {
		return r.fail("nested too deep")
	}
	r.at++
	r.space()
	if r.peek() == ']' {
		r.at++
		return nil
	}
	for {
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if each != nil {
			if err := each(value); err != nil {
				return err
			}
		}
		r.space()
		switch r.peek() {
		case ',':
			r.at++
			r.space()
		case ']':
			r.at++
			return nil
		default:
			return r.fail("no comma or end of array")
		}
	}
}

// value reads the value that begins here, and everything in it.
func (r *reader) value(depth int) (Value, error) {
	begin, kind, escaped := r.at, Kind(0), false
	var err error
	switch c := r.peek(); {
	case c == '"':
		kind = String
		escaped, err = r.str()
	case c == '{':
		kind, err = Map, r.object(depth, nil)
	case c == '[':
		kind, err = Array, r.array(depth, nil)
	case c == '-' || '0' <= c && c <= '9':
		kind, err = Number, r.number()
	case c == 't':
		kind, err = Bool, r.word("true")
	case c == 'f':
		kind, err = Bool, r.word("false")
	case c == 'n':
		kind, err = Null, r.word("null")
	default:
		err = r.fail("no value")
	}
	return Value{text: r.text[begin:r.at], kind: kind, escaped: escaped}, err
}
