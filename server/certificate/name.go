package certificate

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// attribute is one part of a distinguished name: its type in upper case and its value.
type attribute struct{ kind, value string }

// sameName reports whether the subject of a certificate, in DER, is the distinguished name that was registered as text (RFC 4514). They are compared part
// by part, whatever the encoding of strings and the spelling of types; values are compared exactly.
func sameName(subject []byte, text string) bool {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(subject, &sequence); err != nil || len(rest) > 0 || len(sequence) == 0 {
		return false
	}
	want, ok := parseName(text)
	if !ok {
		return false
	}
	got, ok := parseName(sequence.String())
	return ok && equalNames(got, want)
}

// parseName reads the text of a distinguished name: relative names, each of one or more attributes in a fixed order.
func parseName(text string) (name [][]attribute, ok bool) {
	for relative := range split(text, ',') {
		var parts []attribute
		for part := range split(relative, '+') {
			kind, value, found := strings.Cut(part, "=")
			decoded, ok := unescape(trimValue(value))
			if kind = strings.ToUpper(strings.TrimSpace(kind)); !found || !ok || kind == "" {
				return nil, false
			}
			parts = append(parts, attribute{canonical(kind), decoded})
		}
		slices.SortFunc(parts, func(a, b attribute) int { return strings.Compare(a.kind+"="+a.value, b.kind+"="+b.value) })
		name = append(name, parts)
	}
	return name, true
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
	if strings.HasSuffix(trimmed, `\`) && len(trimmed) < len(value) {
		return trimmed + " "
	}
	return trimmed
}

// unescape resolves the escapes of RFC 4514 §2.4. A value in hexadecimal DER (#…) stays as it is written.
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

// canonical is the one spelling of an attribute's type that the standard library writes.
func canonical(kind string) string {
	switch kind {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.5":
		return "SERIALNUMBER"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8", "S":
		return "ST"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.17":
		return "POSTALCODE"
	case "DC":
		return "0.9.2342.19200300.100.1.25"
	case "UID":
		return "0.9.2342.19200300.100.1.1"
	}
	return kind
}

func equalNames(a, b [][]attribute) bool { return slices.EqualFunc(a, b, slices.Equal) }
