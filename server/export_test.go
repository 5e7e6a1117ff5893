package server

import "net/http"

// ParseForm returns the names and values of a form, in turn.
func ParseForm(body string) (flat []string, err error) {
	f, err := parseForm(body, nil)
	for _, p := range f {
		flat = append(flat, p.name, p.value)
	}
	return flat, err
}

// Identify returns the client id and secret of an Authorization header, or the bearer token.
func Identify(header string) (id, secret, bearer string, err error) {
	who, err := identify(http.Header{"Authorization": {header}}, nil, nil)
	return who.credentials.ClientID, who.credentials.Secret.Reveal(), who.bearer, err
}

// AppendText is how answers write text.
func AppendText(dst []byte, text string) []byte { return appendText(dst, text) }
