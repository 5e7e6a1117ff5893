package server

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
)

const (
	maxBody       = 64 << 10
	maxParameters = 100
	formType      = "application/x-www-form-urlencoded"
)

// repeatable reports whether the parameter may come more than once, RFC 8707 §2 and RFC 8693 §2.1.
func repeatable(name string) bool { return name == "resource" || name == "audience" }

// form is the body of a request: parameters in the order in which they came. They are few, so that walking them is
// faster than a map.
type form []parameter

type parameter struct{ name, value string }

// value returns the parameter's value, empty if it was omitted: RFC 6749 §3.2 makes no difference.
func (f form) value(name string) string {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return ""
}

// values returns every value of a parameter that may be repeated.
func (f form) values(name string) (all []string) {
	for i := range f {
		if f[i].name == name {
			all = append(all, f[i].value)
		}
	}
	return all
}

// typicalForm is room for the parameters of a request of ours. Who reads a form has it on the stack.
type typicalForm [8]parameter

// readForm reads the body of a POST request, and nothing but the body: what stands in the URL ends up in logs, so a
// request with a query is refused, whatever the query says. Any other content type or encoding is fault.UnsupportedMedia,
// more than 64 KiB or 100 parameters fault.TooLarge, and what is no strict form fault.InvalidRequest. The form takes the room of empty.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request, empty form) (form, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, fault.New(fault.InvalidRequest, "parameters are taken from the body alone; send no query")
	}
	if err := checkMedia(r.Header); err != nil {
		return nil, err
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return nil, err
	}
	return parseForm(body, empty)
}

func checkMedia(h http.Header) error {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.UnsupportedMedia, "send the body without Content-Encoding")
	}
	types := h["Content-Type"]
	if len(types) == 1 && types[0] == formType {
		return nil
	}
	wrong := fault.New(fault.UnsupportedMedia, "the Content-Type must be "+formType)
	if len(types) != 1 {
		return wrong
	}
	media, parameters, err := mime.ParseMediaType(types[0])
	if err != nil || media != formType {
		return wrong
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMedia, "the charset must be UTF-8")
	}
	return nil
}

// readBody returns the body as text.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength > maxBody {
		return "", errTooLarge()
	}
	from := r.Body // net/http ends one whose length was told there
	if r.ContentLength < 0 {
		from = http.MaxBytesReader(w, from, maxBody)
	}
	buffer := s.buffers.take()
	defer s.buffers.put(buffer)
	body := *buffer
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		*buffer = body
		if _, large := errors.AsType[*http.MaxBytesError](err); large || len(body) > maxBody {
			return "", errTooLarge()
		}
		if errors.Is(err, io.EOF) {
			return string(body), nil
		}
		if err != nil {
			return "", fault.Wrap(fault.InvalidRequest, "the body ended early", err)
		}
	}
}

func errTooLarge() error { return fault.New(fault.TooLarge, "the body may have 64 KiB") }

// parseForm reads application/x-www-form-urlencoded text strictly: whole percent escapes, UTF-8, no control characters,
// no parameter twice. It appends to parsed, which is empty.
func parseForm(body string, parsed form) (form, error) {
	for more := body != ""; more; {
		var pair string
		if pair, body, more = strings.Cut(body, "&"); pair == "" {
			continue
		}
		if len(parsed) == maxParameters {
			return nil, fault.New(fault.TooLarge, "at most 100 parameters are allowed")
		}
		p, err := parseParameter(pair)
		if err != nil {
			return nil, err
		}
		if !repeatable(p.name) && parsed.contains(p.name) {
			return nil, twice(p.name)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

func twice(name string) error { return named(name, "the parameter was sent twice") }

// named is an error that names the parameter, if it is one that a reader of the answer can recognise.
func named(name, detail string) error {
	const longest = 40
	found := fault.New(fault.InvalidRequest, detail)
	if len(name) > longest {
		return found
	}
	return found.At(name)
}

func (f form) contains(name string) bool {
	for i := range f {
		if f[i].name == name {
			return true
		}
	}
	return false
}

func parseParameter(pair string) (p parameter, err error) {
	name, value, _ := strings.Cut(pair, "=")
	if p.name, err = unescape(name); err != nil {
		return parameter{}, err
	}
	if p.value, err = unescape(value); err != nil {
		return parameter{}, err
	}
	switch {
	case p.name == "":
		return parameter{}, fault.New(fault.InvalidRequest, "a parameter has no name")
	case p.name == "scope" && !clean(p.value): // RFC 6749 §3.3 has a code of its own for it
		return parameter{}, fault.New(fault.InvalidScope, "a scope is made of printable ASCII without space, quote or backslash").At("scope")
	case !clean(p.name):
		return parameter{}, fault.New(fault.InvalidRequest, "the name of a parameter is not UTF-8 or holds a control character")
	case !clean(p.value):
		return parameter{}, named(p.name, "the value is not UTF-8 or holds a control character, such as the end of a line")
	}
	return p, nil
}

func clean(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(text)
}

// unescape decodes one name or value: a plus is a space, an escape is a percent sign and two hexadecimal digits.
func unescape(text string) (string, error) {
	if strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 {
		return text, nil
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '+':
			decoded = append(decoded, ' ')
		case '%':
			if i+2 >= len(text) {
				return "", errEscape()
			}
			high, low := hexValue(text[i+1]), hexValue(text[i+2])
			if high > 15 || low > 15 {
				return "", errEscape()
			}
			decoded = append(decoded, high<<4|low)
			i += 2
		default:
			decoded = append(decoded, c)
		}
	}
	return string(decoded), nil
}

func errEscape() error {
	return fault.New(fault.InvalidRequest, "a percent sign must be followed by two hexadecimal digits")
}

// hexValue returns a number above 15 for what is no digit.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
