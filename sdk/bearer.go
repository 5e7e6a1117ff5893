package sdk

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// formLimit is how much of a form is searched for a second token.
const formLimit = 64 << 10

// BearerToken returns the token that a request bears, given the values of its Authorization header, one per header line
// (RFC 6750 §2.1). It is for transports and frameworks that [Verifier.VerifyRequest] does not know, such as gRPC metadata.
//
// The scheme is compared without regard to case. No value, or one of another scheme, is ErrNoToken; more than one value, or
// something after the scheme that is not exactly one token, is ErrInvalidRequest.
func BearerToken(authorization []string) (string, error) {
	token, dpop, err := AccessToken(authorization)
	if dpop {
		return "", &VerifyError{Kind: ErrNoToken}
	}
	return token, err
}

// AccessToken returns the token of a request as BearerToken does, also one of the scheme DPoP (RFC 9449 §7.1), and tells by which of the two
// it came: for [Presented].
func AccessToken(authorization []string) (token string, dpop bool, err error) {
	switch len(authorization) {
	case 0:
		return "", false, &VerifyError{Kind: ErrNoToken}
	case 1:
	default:
		return "", false, invalidRequest("more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	switch dpop = strings.EqualFold(scheme, "DPoP"); {
	case !dpop && !strings.EqualFold(scheme, "Bearer"):
		return "", false, &VerifyError{Kind: ErrNoToken}
	case !isToken68(strings.TrimLeft(token, " ")):
		return "", dpop, invalidRequest("what follows the scheme is not one token")
	}
	return strings.TrimLeft(token, " "), dpop, nil
}

// requestToken returns the token in r's header. One in the query is never used (RFC 9700 §4.3.2), and beside one in the header
// it is an error (RFC 6750 §2).
func requestToken(r *http.Request) (token string, dpop bool, err error) {
	if token, dpop, err = AccessToken(r.Header["Authorization"]); err != nil {
		return "", false, err
	}
	if bearsToken(r.URL.RawQuery) {
		return "", false, invalidRequest("a token in the header and another in the query")
	}
	return token, dpop, nil
}

func invalidRequest(detail string) error {
	return &VerifyError{Kind: ErrInvalidRequest, Detail: detail}
}

// isToken68 tells whether s is a b64token of RFC 6750 §2.1, which RFC 9110 §11.2 calls token68.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

// bearsToken tells whether text, form-urlencoded, has an access_token. A parameter without a value counts as left out
// (RFC 6749 §3.1).
func bearsToken(text string) bool {
	for text != "" {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(name, "%") {
			if plain, err := url.QueryUnescape(name); err == nil {
				name = plain
			}
		}
		if name == "access_token" && value != "" {
			return true
		}
	}
	return false
}

// inspectedBody is a body whose beginning was read and is read again from memory.
type inspectedBody struct {
	io.Reader
	io.Closer
}

// formBearsToken tells whether r's body is a form with an access_token among its first formLimit bytes, and otherwise leaves r
// with a body that reads as before.
func formBearsToken(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.Body == nil || r.Body == http.NoBody || !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return false
	}
	if _, again := r.Body.(*inspectedBody); again {
		return false
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, formLimit))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failedReader{err}
	}
	r.Body = &inspectedBody{Reader: io.MultiReader(bytes.NewReader(head), rest), Closer: r.Body}
	return bearsToken(string(head))
}

// failedReader is what is left of a body that could not be read: whoever reads it next is to learn why.
type failedReader struct{ err error }

func (f failedReader) Read([]byte) (int, error) { return 0, f.err }
