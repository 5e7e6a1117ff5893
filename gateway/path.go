package gateway

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Paths says what is done with paths that servers read in different ways.
type Paths struct {
	Parameters     string `yaml:"parameters" default:"refuse" oneof:"refuse|pass" help:"paths with ;parameters, or %3B: refused with 400, or matched and passed on as they are"`
	EncodedSlashes string `yaml:"encoded_slashes" default:"refuse" oneof:"refuse|pass" help:"paths with %2F: refused with 400, or matched and passed on as they are"`
}

// What is wrong with a path, as the client is told.
var (
	errPathForm      = errors.New("the path does not begin with a slash")
	errPathEncoding  = errors.New("the path has a broken percent-encoding")
	errPathDouble    = errors.New("the path is percent-encoded twice")
	errPathSlash     = errors.New("the path has an encoded slash")
	errPathBackslash = errors.New("the path has a backslash")
	errPathControl   = errors.New("the path has a control character")
	errPathText      = errors.New("the path is not UTF-8")
	errPathParameter = errors.New("the path has parameters (;)")
	errPathAbove     = errors.New("the path leads above its root")
)

// canonical returns the one spelling of an escaped path by which it is matched and sent upstream (RFC 3986 §6.2.2): unreserved
// characters are decoded, hexadecimal digits upper case, dot segments and empty segments gone. It refuses what one server may read in
// another way than the next.
func (p Paths) canonical(escaped string) (string, error) {
	if isCanonical(escaped) {
		return escaped, nil
	}
	if escaped == "" || escaped[0] != '/' {
		return "", errPathForm
	}
	decoded, err := p.decode(escaped)
	if err != nil {
		return "", err
	}
	var kept []string
	segments := strings.Split(decoded[1:], "/")
	for n, segment := range segments {
		last := n == len(segments)-1
		name, _, parameters := strings.Cut(segment, ";")
		switch {
		case parameters && (name == "." || name == ".." || name == ""):
			return "", errPathParameter
		case segment == "" || segment == ".":
		case segment == "..":
			if len(kept) == 0 {
				return "", errPathAbove
			}
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, segment)
			continue
		}
		if last && len(kept) > 0 {
			kept = append(kept, "") // what ends with a slash or a dot segment names a folder
		}
	}
	return "/" + strings.Join(kept, "/"), nil
}

// isCanonical tells at little cost whether there is nothing to do, as with next to all paths.
func isCanonical(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		c := path[i]
		if isUnreserved(c) && c != '.' {
			continue
		}
		switch c {
		case '/':
			if i+1 < len(path) && path[i+1] == '/' {
				return false
			}
		case '.':
			if path[i-1] == '/' { // at worst a file such as .well-known, which takes the long way
				return false
			}
		case '!', '$', '&', '\'', '(', ')', '*', '+', ',', '=', ':', '@':
		default:
			return false
		}
	}
	return true
}

// decode decodes unreserved characters, and refuses what is ambiguous by itself.
func (p Paths) decode(escaped string) (string, error) {
	var out strings.Builder
	out.Grow(len(escaped))
	raw := make([]byte, 0, len(escaped)) // all decoded
	for i := 0; i < len(escaped); i++ {
		c, encoded := escaped[i], escaped[i] == '%'
		if encoded {
			if i+2 >= len(escaped) || !isHex(escaped[i+1]) || !isHex(escaped[i+2]) {
				return "", errPathEncoding
			}
			c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
			i += 2
		}
		if err := p.allowed(c, encoded); err != nil {
			return "", err
		}
		raw = append(raw, c)
		if encoded && !isUnreserved(c) {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(c)
	}
	switch {
	case !utf8.Valid(raw):
		return "", errPathText
	case canDecode(raw):
		return "", errPathDouble
	}
	return out.String(), nil
}

// canDecode tells whether there is something left to decode.
func canDecode(raw []byte) bool {
	for i := range max(0, len(raw)-2) {
		if raw[i] == '%' && isHex(raw[i+1]) && isHex(raw[i+2]) {
			return true
		}
	}
	return false
}

// allowed judges one character.
func (p Paths) allowed(c byte, encoded bool) error {
	switch {
	case c < ' ' || c == 0x7f:
		return errPathControl
	case c == '\\':
		return errPathBackslash
	case c == '/' && encoded && p.EncodedSlashes != "pass":
		return errPathSlash
	case c == ';' && p.Parameters != "pass": // encoded too: some servers decode first
		return errPathParameter
	}
	return nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// hasUpper tells whether a path is spelled with capitals.
func hasUpper(path string) bool {
	return strings.IndexFunc(path, func(c rune) bool { return 'A' <= c && c <= 'Z' }) >= 0
}
