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
		if name == "token" || name == "subject_token" || !public && !r.Form.Has(name) {
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
func headerSecrets(value string) (all []string) {
	const shortest = 8 // a header that was added may also say "en"
	scheme, rest, found := strings.Cut(value, " ")
	if !found {
		rest = value
	}
	if len(rest) >= shortest {
		all = append(all, rest)
	}
	if raw, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(raw), ":")
		all = append(all, password)
		if plain, err := url.QueryUnescape(password); err == nil {
			all = append(all, plain)
		}
	}
	return all
}

// tell returns what somebody else said in printable ASCII of at most limit characters, fit for a log or a terminal, and without what hide
// takes out: before, and again in case it came out of what was replaced.
func tell(text string, limit int, hide func(string) string) string {
	text = hide(legible(hide(text)))
	return text[:min(len(text), limit)]
}

// legible makes printable ASCII of text.
func legible(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r' || c == '\t':
			return ' '
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, text)
}

// cut is legible text of at most 200 characters.
func cut(text string) string {
	text = legible(text)
	return text[:min(len(text), 200)]
}
