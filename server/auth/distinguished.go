package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// DistinguishedName is the subject of a certificate: its relative names, the last one first, as RFC 4514 §2.1 writes them. Each is a set of
// attributes, in one order.
type DistinguishedName [][]attribute

// attribute is one part of a distinguished name: its type as an OID and its value.
type attribute struct{ kind, value string }

// ReadDistinguishedName reads a name in DER. It returns false if there is none, or one with a value that is not a string.
func ReadDistinguishedName(der []byte) (name DistinguishedName, ok bool) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 || len(sequence) == 0 {
		return nil, false
	}
	for _, set := range slices.Backward(sequence) {
		var parts []attribute
		for _, part := range set {
			value, ok := part.Value.(string)
			if !ok {
				return nil, false
			}
			parts = append(parts, attribute{part.Type.String(), value})
		}
		name = append(name, sorted(parts))
	}
	return name, true
}

// ParseDistinguishedName reads a name as people write it (RFC 4514). It returns false for what is malformed, and for a type of which the OID is not known.
func ParseDistinguishedName(text string) (name DistinguishedName, ok bool) {
	for relative := range split(text, ',') {
		var parts []attribute
		for part := range split(relative, '+') {
			kind, value, found := strings.Cut(part, "=")
			decoded, ok := valueOf(trimValue(value))
			if kind = oidOf(strings.TrimSpace(kind)); !found || !ok || kind == "" {
				return nil, false
			}
			parts = append(parts, attribute{kind, decoded})
		}
		name = append(name, sorted(parts))
	}
	return name, true
}

// Equal reports whether both are the same name, whatever the encoding of strings and the spelling of types. Values are compared exactly.
func (n DistinguishedName) Equal(m DistinguishedName) bool {
	return slices.EqualFunc(n, m, slices.Equal)
}

// sorted brings the parts of a relative name, which is a set, into one order.
func sorted(parts []attribute) []attribute {
	slices.SortFunc(parts, func(a, b attribute) int { return strings.Compare(a.kind+"="+a.value, b.kind+"="+b.value) })
	return parts
}

// split yields the parts of text between separators that are not escaped.
func split(text string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i := 0; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case separator:
				if !yield(text[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(text[start:])
	}
}

// trimValue takes off the space around a value that is not escaped.
func trimValue(value string) string {
	value = strings.TrimLeft(value, " ")
	trimmed := strings.TrimRight(value, " ")
	escapes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if escapes%2 == 1 && len(trimmed) < len(value) {
		return trimmed + " "
	}
	return trimmed
}

// valueOf reads the value of an attribute: a string with the escapes of RFC 4514 §2.4, or one in DER, in hexadecimal after a #.
func valueOf(text string) (string, bool) {
	encoded, isDER := strings.CutPrefix(text, "#")
	if !isDER {
		return unescape(text)
	}
	der, err := hex.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	var value any
	if rest, err := asn1.Unmarshal(der, &value); err != nil || len(rest) > 0 {
		return "", false
	}
	decoded, ok := value.(string)
	return decoded, ok
}

func unescape(value string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			b.WriteByte(value[i])
			continue
		}
		if i+2 < len(value) {
			if raw, err := hex.DecodeString(value[i+1 : i+3]); err == nil {
				b.WriteByte(raw[0])
				i += 2
				continue
			}
		}
		if i++; i >= len(value) {
			return "", false
		}
		b.WriteByte(value[i])
	}
	return b.String(), true
}

// oidOf is the OID of an attribute's type, empty if it is neither one nor the name of one. Names are those of RFC 4514 §3, and those that OpenSSL
// prints; they are compared without regard to case.
func oidOf(kind string) string { //nolint:cyclop // a table
	switch strings.ToUpper(kind) {
	case "CN", "COMMONNAME":
		return "2.5.4.3"
	case "SN", "SURNAME":
		return "2.5.4.4"
	case "SERIALNUMBER":
		return "2.5.4.5"
	case "C":
		return "2.5.4.6"
	case "L":
		return "2.5.4.7"
	case "ST", "S":
		return "2.5.4.8"
	case "STREET":
		return "2.5.4.9"
	case "O":
		return "2.5.4.10"
	case "OU":
		return "2.5.4.11"
	case "T", "TITLE":
		return "2.5.4.12"
	case "POSTALCODE":
		return "2.5.4.17"
	case "GN", "GIVENNAME":
		return "2.5.4.42"
	case "DC":
		return "0.9.2342.19200300.100.1.25"
	case "UID":
		return "0.9.2342.19200300.100.1.1"
	case "E", "EMAILADDRESS":
		return "1.2.840.113549.1.9.1"
	}
	if !dotted(kind) {
		return ""
	}
	return kind
}

// dotted reports whether text is an OID in its one spelling (RFC 4512 §1.4).
func dotted(text string) bool {
	if !strings.Contains(text, ".") {
		return false
	}
	for arc := range strings.SplitSeq(text, ".") {
		number, err := strconv.ParseUint(arc, 10, 31)
		if err != nil || strconv.FormatUint(number, 10) != arc {
			return false
		}
	}
	return true
}
