package strictjson

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// word reads true, false or null.
func (r *reader) word(word string) error {
	if !strings.HasPrefix(r.text[r.at:], word) {
		return r.fail("no value")
	}
	r.at += len(word)
	return nil
}

// number reads a number by the grammar of RFC 8259 §6.
func (r *reader) number() error {
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else if !r.digits() {
		return r.fail("no digit")
	}
	if r.peek() == '.' {
		r.at++
		if !r.digits() {
			return r.fail("no digit")
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if !r.digits() {
			return r.fail("no digit")
		}
	}
	return nil
}

func (r *reader) digits() bool {
	begin := r.at
	for r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > begin
}

// str reads a string with its quotes, and tells whether it has escapes.
func (r *reader) str() (escaped bool, err error) {
	r.at++
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return escaped, nil
		case c < ' ':
			return false, r.fail("control character in a string")
		case c == '\\':
			size := escape(r.text[r.at:])
			if size == 0 {
				return false, r.fail("bad escape")
			}
			r.at += size
			escaped = true
		default:
			r.at++
		}
	}
	return false, r.fail("string without end")
}

// escape returns the length of the escape with which text begins, that of both for a surrogate pair; 0: it is none.
func escape(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		unit := codeUnit(text)
		switch {
		case unit < 0:
			return 0
		case !utf16.IsSurrogate(unit):
			return 6
		case utf16.DecodeRune(unit, codeUnit(text[6:])) != utf8.RuneError:
			return 12
		}
	}
	return 0
}

// codeUnit returns the UTF-16 code unit that the escape at the beginning of text stands for; negative: there is none.
func codeUnit(text string) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range []byte(text[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		unit = unit<<4 | rune(c)
	}
	return unit
}

// unescape resolves the escapes of the inside of a string, which was read before.
func unescape(inside string) string {
	var out strings.Builder
	for {
		plain, _, found := strings.Cut(inside, `\`)
		out.WriteString(plain)
		if !found {
			return out.String()
		}
		inside = inside[len(plain):]
		size := escape(inside)
		switch size {
		case 2:
			out.WriteByte(short(inside[1]))
		case 6:
			out.WriteRune(codeUnit(inside))
		default:
			out.WriteRune(utf16.DecodeRune(codeUnit(inside), codeUnit(inside[6:])))
		}
		inside = inside[size:]
	}
}

// short returns what the escape of two characters that ends in c stands for.
func short(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
