package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strings"
)

var (
	errLength   = fmt.Errorf("%w: content length that is not one number", ErrAnswer)
	errTransfer = fmt.Errorf("%w: transfer encoding that is not chunked once", ErrAnswer)
	errBoth     = fmt.Errorf("%w: transfer encoding and content length", ErrAnswer)
	errSwitch   = fmt.Errorf("%w: 101, and nobody asked for it", ErrAnswer)
	errInterim  = fmt.Errorf("%w: 1xx with a body", ErrAnswer)
	errTrailer  = fmt.Errorf("%w: trailer", ErrAnswer)
)

// answer is an http.Response in one piece of memory with its body.
type answer struct {
	http.Response

	body body
	ends bool // the connection does, with it
}

// readAnswer reads the header of the answer; of those that are interim it tells whoever wants to know. All of them together are bounded as one is:
// http.Transport leaves it to who is told to count them, and httputil.ReverseProxy passes them on without end.
func (x *exchange) readAnswer() (*answer, error) {
	limit := x.transport.cfg.MaxHeaderBytes
	for {
		h, size, err := x.conn.readHead(limit)
		if err != nil {
			return nil, err
		}
		if h.code >= 200 {
			return x.answer(h)
		}
		switch {
		case h.code == http.StatusSwitchingProtocols:
			return nil, errSwitch
		case h.header["Transfer-Encoding"] != nil || h.header["Content-Length"] != nil: // RFC 9110 §8.6, RFC 9112 §6.1
			return nil, errInterim
		}
		if limit -= size; limit <= 0 {
			return nil, errHeaderSize
		}
		if trace := httptrace.ContextClientTrace(x.ctx); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(h.code, textproto.MIMEHeader(h.header)); err != nil {
				return nil, err
			}
		}
	}
}

// answer is the answer with this head.
func (x *exchange) answer(h head) (*answer, error) {
	a := &answer{Response: http.Response{
		Status: h.status, StatusCode: h.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: h.minor,
		Header: h.header, Request: x.req, TLS: x.conn.tls,
	}}
	if h.minor == 0 {
		a.Proto = "HTTP/1.0"
	}
	a.Close = closes(h)
	a.ends = a.Close
	length, chunked, err := framing(h)
	if err != nil {
		return nil, err
	}
	bodiless := x.req.Method == http.MethodHead || h.code == http.StatusNoContent || h.code == http.StatusNotModified
	switch {
	case bodiless:
		a.noBody(h.code, length, chunked, x.req.Method)
	case chunked:
		a.ContentLength = -1
		a.body = body{source: httputil.NewChunkedReader(x.conn.br), left: -1, chunked: true, answer: &a.Response}
	case length < 0: // it ends with the connection (RFC 9112 §6.3)
		a.ContentLength, a.Close, a.ends = -1, true, true
		a.body = body{source: x.conn.br, left: -1}
	case length == 0:
		a.Body = http.NoBody
	default:
		a.ContentLength = length
		a.body = body{source: x.conn.br, left: length}
	}
	if chunked {
		delete(h.header, "Transfer-Encoding")
		a.TransferEncoding = []string{"chunked"}
		a.Trailer, err = announced(h.header)
	}
	return a, err
}

// noBody is for what has no body whatever its header says. A connection whose server might send one nevertheless is not used again.
func (a *answer) noBody(code int, length int64, chunked bool, method string) {
	a.Body = http.NoBody
	a.ends = a.ends || code == http.StatusNoContent && (chunked || length > 0)
	if method == http.MethodHead {
		a.ContentLength = length
	}
}

// framing reads Content-Length and Transfer-Encoding, of which there may be one, once (RFC 9112 §6.1–6.3). http.ReadResponse ignores the former beside the
// latter, the latter in HTTP/1.0, and lengths that are said again. length is -1 if it is not said.
func framing(h head) (length int64, chunked bool, err error) {
	lengths, transfer := h.header["Content-Length"], h.header["Transfer-Encoding"]
	switch {
	case transfer != nil && lengths != nil:
		return 0, false, errBoth
	case transfer != nil:
		if len(transfer) != 1 || h.minor == 0 || !equalFold(transfer[0], "chunked") {
			return 0, false, errTransfer
		}
		return -1, true, nil
	case lengths == nil:
		return -1, false, nil
	}
	const digits = 18 // fit into an int64
	if len(lengths) != 1 || lengths[0] == "" || len(lengths[0]) > digits {
		return 0, false, errLength
	}
	for _, c := range []byte(lengths[0]) {
		if c < '0' || c > '9' {
			return 0, false, errLength
		}
		length = length*10 + int64(c-'0')
	}
	return length, false, nil
}

// closes reports whether the connection ends with the answer (RFC 9112 §9.3).
func closes(h head) bool {
	given := h.header["Connection"]
	return hasOption(given, "close") || h.minor == 0 && !hasOption(given, "keep-alive")
}

func hasOption(values []string, lower string) bool {
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if equalFold(strings.Trim(option, " \t"), lower) {
				return true
			}
		}
	}
	return false
}

// announced returns the names of the fields that are to follow the body, without values, and takes them out of the header.
func announced(header http.Header) (http.Header, error) {
	given, ok := header["Trailer"]
	if !ok {
		return nil, nil //nolint:nilnil // there is none
	}
	delete(header, "Trailer")
	trailer := http.Header{}
	for _, value := range given {
		for name := range strings.SplitSeq(value, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			switch {
			case name == "":
			case !mayTrail(name):
				return nil, errTrailer
			default:
				trailer[name] = nil
			}
		}
	}
	if len(trailer) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return trailer, nil
}

// mayTrail refuses names that say where a message ends, and those that are none.
func mayTrail(name string) bool {
	return name != "Content-Length" && name != "Transfer-Encoding" && name != "Trailer" && isName(name)
}

// readTrailer reads what follows the last chunk into the answer.
func (b *body) readTrailer() error {
	block, err := b.exchange.conn.readBlock(b.exchange.transport.cfg.MaxHeaderBytes)
	if err != nil {
		return err
	}
	if block == "" {
		return nil
	}
	fields, err := parseFields(block)
	if err != nil {
		return err
	}
	for name, values := range fields {
		if !mayTrail(name) {
			return errTrailer
		}
		if b.answer.Trailer == nil {
			b.answer.Trailer = make(http.Header, len(fields))
		}
		b.answer.Trailer[name] = values
	}
	return nil
}

// ended makes an early end of the connection an error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
