package http1

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Suits reports whether a Transport can send req. It can not if req has a trailer, wants to be told to go on before its body (Expect), to have the
// connection closed or upgraded, or to have a tunnel; if its body has no length that is known and its method usually none; or if a name in it
// has characters that are first to be encoded.
func Suits(req *http.Request) bool {
	u, h := req.URL, req.Header
	if u == nil || h == nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || !isPlainHost(u.Host) || !isPlainHost(req.Host) && req.Host != "" {
		return false
	}
	if req.Close || req.Trailer != nil || req.TransferEncoding != nil || req.Cancel != nil || //nolint:staticcheck // somebody may use it
		h["Connection"] != nil || h["Upgrade"] != nil || h["Expect"] != nil {
		return false
	}
	bodied := req.Body != nil && req.Body != http.NoBody
	switch req.Method {
	case http.MethodConnect:
		return false
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete, http.MethodTrace, "PROPFIND", "SEARCH":
		return !bodied || req.ContentLength > 0
	default:
		return !bodied || req.ContentLength != 0
	}
}

// isPlainHost tells whether a host, with or without a port, can be sent as it is.
func isPlainHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		if !isToken(c) && c != ':' && c != '[' && c != ']' || c == '%' {
			return false
		}
	}
	return host != ""
}

// message is what of a request is sent at once.
type message struct{ bytes []byte }

const keptMessage = 16 << 10 // larger ones are left to the garbage collector

func newMessage() any { return &message{make([]byte, 0, 2<<10)} }

// free takes a message back.
func (t *Transport) free(m *message) {
	if cap(m.bytes) <= keptMessage {
		t.messages.Put(m)
	}
}

// ErrRequest is what the error for a request wraps that cannot be sent as HTTP/1.1. Nobody was asked for a connection.
var ErrRequest = errors.New("request that HTTP/1.1 cannot express")

var errField = fmt.Errorf("%w: invalid header", ErrRequest)

// appendHead appends request line and header to b. req suits.
func appendHead(b []byte, req *http.Request) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	if !isName(method) {
		return b, fmt.Errorf("%w: invalid method %q", ErrRequest, method)
	}
	b = append(append(b, method...), ' ')
	start := len(b)
	b = appendTarget(b, req.URL)
	for _, c := range b[start:] {
		if c <= ' ' || c == 0x7f {
			return b, fmt.Errorf("%w: invalid character in its URL", ErrRequest)
		}
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if req.Host != "" {
		b = append(b, req.Host...)
	} else {
		b = append(b, req.URL.Host...)
	}
	b = append(b, "\r\n"...)
	b = appendLength(b, req, method)
	for name, values := range req.Header {
		if isFraming(name) || name == "User-Agent" && (len(values) == 0 || values[0] == "") {
			continue
		}
		if !isName(name) {
			return b, fmt.Errorf("%w: name %q", errField, name)
		}
		for _, value := range values {
			if !isValue(value) {
				return b, fmt.Errorf("%w: value of %s", errField, name) // which may be a secret
			}
			b = append(append(b, name...), ": "...)
			b = append(append(b, strings.Trim(value, " \t")...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...), nil
}

// isFraming tells of the fields that say where the message goes and where it ends, which are written by this package alone. No spelling of theirs passes.
func isFraming(name string) bool {
	switch len(name) {
	case len("host"):
		return equalFold(name, "host")
	case len("trailer"):
		return equalFold(name, "trailer")
	case len("content-length"):
		return equalFold(name, "content-length")
	case len("transfer-encoding"):
		return equalFold(name, "transfer-encoding")
	}
	return false
}

// appendTarget appends u.RequestURI().
func appendTarget(b []byte, u *url.URL) []byte {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	b = append(b, path...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// appendLength says how long the body is. Without one, methods that usually have one say so (RFC 9110 §8.6).
func appendLength(b []byte, req *http.Request, method string) []byte {
	length := req.ContentLength
	if bodyOf(req) == nil {
		length = 0
	}
	switch {
	case length < 0:
		return append(b, "Transfer-Encoding: chunked\r\n"...)
	case length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		return append(strconv.AppendInt(b, length, 10), "\r\n"...)
	}
	return b
}
