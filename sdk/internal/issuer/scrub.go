package issuer

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// scrubber returns a function that takes out of a text whatever of a request is nobody's business: every header and parameter that
// was added to plain by Prepare, and tokens. It is a function, since fmt prints the fields of a struct but not what a function holds.
func scrubber(r *Request, h http.Header, form url.Values) func(string) string {
	var hidden []string
	for name, values := range h {
		if !slices.Equal(values, r.Header[name]) {
			for _, value := range values {
				hidden = append(hidden, headerSecrets(value)...)
			}
		}
	}
	for name, values := range form {
		public := name == "client_id" || name == "client_assertion_type"
		if name == "token" || !public && !r.Form.Has(name) {
			hidden = append(hidden, values...)
		}
	}
	for _, value := range slices.Clone(hidden) {
		hidden = append(hidden, url.QueryEscape(value))
	}
	hidden = slices.DeleteFunc(hidden, func(value string) bool { return value == "" })
	// The longest first: a shorter one may be a part of it.
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
	return func(text string) string {
		for _, value := range hidden {
			text = strings.ReplaceAll(text, value, "[redacted]")
		}
		return text
	}
}

// headerSecrets are the parts of a header's value that must not be repeated: what follows the scheme, and the password of Basic.
func headerSecrets(value string) []string {
	scheme, rest, found := strings.Cut(value, " ")
	if !found {
		return []string{value}
	}
	all := []string{rest}
	if raw, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(raw), ":")
		all = append(all, password)
		if plain, err := url.QueryUnescape(password); err == nil {
			all = append(all, plain)
		}
	}
	return all
}

// legible returns text as printable ASCII of at most limit characters, fit for a log or a terminal.
func legible(text string, limit int) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case b.Len() == limit:
			return b.String()
		case c == '\n' || c == '\r' || c == '\t':
			b.WriteByte(' ')
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
