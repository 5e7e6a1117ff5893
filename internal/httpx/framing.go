package httpx

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrFraming is what a body reads, and what a connection ends by, when the lengths of its HTTP/1 messages can be understood in
// two ways (RFC 9112 §11.2). Its caller is answered by 400.
var ErrFraming = errors.New("malformed HTTP/1 framing")

var (
	errFolded    = fmt.Errorf("%w: folded header line", ErrFraming)
	errBlank     = fmt.Errorf("%w: white space before a colon", ErrFraming)
	errLineEnd   = fmt.Errorf("%w: CR or LF alone", ErrFraming)
	errNUL       = fmt.Errorf("%w: NUL", ErrFraming)
	errTransfer  = fmt.Errorf("%w: transfer encoding that is not chunked once", ErrFraming)
	errLength    = fmt.Errorf("%w: content length that is not one number", ErrFraming)
	errTwoBodies = fmt.Errorf("%w: transfer encoding and content length", ErrFraming)
	errChunk     = fmt.Errorf("%w: chunk", ErrFraming)
)

// place is where in a message a framing is. The zero value is before a request.
type place uint8

const (
	inRequestLine place = iota
	inHeader
	inBody
	inChunkSize
	inChunkExtension
	afterChunkSize // at its LF
	inChunk
	afterChunk   // at its CR
	afterChunkCR // at its LF
	inTrailer
	beyond // what is no HTTP/1 any more is not looked at
)

// framing follows the bounds of the HTTP/1 requests that arrive on one connection, in whatever pieces they arrive. It refuses
// what net/http reads generously, and must never take for a bound what net/http takes for another: where net/http
// answers 400 by itself, it need not look. Its zero value is at the beginning of a connection.
type framing struct {
	at      place
	old     bool // before HTTP/1.1: net/http ignores transfer encodings
	preface bool // so far the request is how HTTP/2 begins
	sized   bool // has a Content-Length
	chunked bool
	cr      bool  // the last piece ended within a CRLF
	cut     bool  // the line did not fit
	left    int64 // of the body or the chunk
	kept    int   // bytes in line; hexadecimal digits of a chunk's size
	// line is of a line that comes in pieces: the end of a request line, the beginning of a header line.
	line [48]byte
}

// scan returns how many bytes of p may be passed on, and why not all of them.
func (f *framing) scan(p []byte) (int, error) {
	for at := 0; at < len(p); {
		var n int
		var err error
		switch f.at {
		case inRequestLine, inHeader, inTrailer:
			n, err = f.scanLine(p[at:])
		case inBody, inChunk:
			n = f.skip(p[at:])
		case beyond:
			return len(p), nil
		case inChunkSize, inChunkExtension, afterChunkSize, afterChunk, afterChunkCR:
			n, err = f.scanChunkBound(p[at:])
		}
		at += n
		if err != nil {
			return at, err
		}
	}
	return len(p), nil
}

func (f *framing) skip(p []byte) int {
	n := int(min(f.left, int64(len(p))))
	f.left -= int64(n)
	switch {
	case f.left > 0:
	case f.at == inChunk:
		f.at = afterChunk
	default:
		*f = framing{}
	}
	return n
}

// scanLine takes one line, or what there is of it. Of a line that is refused it passes on what precedes its fault, never its end.
func (f *framing) scanLine(p []byte) (int, error) {
	end, size := len(p), len(p)
	switch cr := bytes.IndexByte(p, '\r'); {
	case f.cr && p[0] == '\n':
		end, size = 0, 1
	case f.cr:
		return 0, errLineEnd
	case cr < 0:
	case cr+1 == len(p):
		end = cr
	case p[cr+1] != '\n':
		return cr, errLineEnd
	default:
		end, size = cr, cr+2
	}
	line := p[:end]
	if lf := bytes.IndexByte(line, '\n'); lf >= 0 {
		return lf, errLineEnd
	}
	if nul := bytes.IndexByte(line, 0); nul >= 0 {
		return nul, errNUL
	}
	if f.at != inRequestLine && f.kept == 0 && end > 0 && (line[0] == ' ' || line[0] == '\t') {
		return 0, errFolded
	}
	if whole := f.cr || end < size-1; !whole {
		f.cr = end < size
		f.keep(line)
		return size, nil
	}
	if f.kept > 0 {
		f.keep(line)
		line = f.line[:f.kept]
	}
	if err := f.take(line); err != nil {
		return end, err
	}
	f.kept, f.cr, f.cut = 0, false, false
	return size, nil
}

func (f *framing) keep(piece []byte) {
	room := len(f.line) - f.kept
	switch {
	case len(piece) <= room:
	case f.at != inRequestLine:
		piece, f.cut = piece[:room], true
	default:
		piece = piece[max(0, len(piece)-len(f.line)):]
		stay := min(f.kept, len(f.line)-len(piece))
		copy(f.line[:], f.line[f.kept-stay:f.kept])
		f.kept = stay
	}
	f.kept += copy(f.line[f.kept:], piece)
}

// take takes a line without its end.
func (f *framing) take(line []byte) error {
	switch {
	case f.at == inRequestLine && len(line) == 0: // net/http allows some before a request
	case f.at == inRequestLine:
		f.at = inHeader
		version := line[max(0, len(line)-len("HTTP/1.1")):]
		f.old = string(version) == "HTTP/1.0" || bytes.HasPrefix(version, []byte("HTTP/0."))
		f.preface = string(line) == "PRI * HTTP/2.0"
	case len(line) > 0:
		f.preface = false
		return f.takeField(line)
	case f.preface:
		f.at = beyond
	case f.chunked && f.at == inHeader:
		f.at, f.left = inChunkSize, 0
	case f.at == inHeader && f.left > 0:
		f.at = inBody
	default:
		*f = framing{}
	}
	return nil
}

// takeField knows the two fields that say where a message ends. A trailer may hold neither.
func (f *framing) takeField(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil // net/http refuses it
	}
	if last := line[colon-1]; last == ' ' || last == '\t' {
		return errBlank
	}
	const length, transfer = "content-length", "transfer-encoding"
	long := f.cut || len(line) > len(f.line) // so that the pieces in which a line comes make no difference
	switch {
	case colon == len(length) && bytes.EqualFold(line[:colon], []byte(length)):
		if long {
			return errLength
		}
		return f.takeLength(bytes.Trim(line[colon+1:], " \t"))
	case colon == len(transfer) && bytes.EqualFold(line[:colon], []byte(transfer)):
		if long {
			return errTransfer
		}
		return f.takeTransfer(bytes.Trim(line[colon+1:], " \t"))
	default:
		return nil
	}
}

func (f *framing) takeLength(value []byte) error {
	const digits = 18 // fit into an int64
	switch {
	case f.chunked:
		return errTwoBodies
	case f.sized || len(value) == 0 || len(value) > digits:
		return errLength
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		f.left = f.left*10 + int64(c-'0')
	}
	f.sized = true
	return nil
}

func (f *framing) takeTransfer(value []byte) error {
	const chunked = "chunked"
	switch {
	case f.sized:
		return errTwoBodies
	case f.chunked || f.old || len(value) != len(chunked) || !bytes.EqualFold(value, []byte(chunked)):
		return errTransfer
	}
	f.chunked = true
	return nil
}

// scanChunkBound takes a byte between chunks, or of a chunk's extension what there is of it.
func (f *framing) scanChunkBound(p []byte) (int, error) {
	const digits = 15 // fit into an int64
	c := p[0]
	switch {
	case f.at == inChunkSize && f.kept < digits && unhex(c) >= 0:
		f.left, f.kept = f.left<<4|int64(unhex(c)), f.kept+1
	case f.at == inChunkSize && f.kept > 0 && c == '\r':
		f.at = afterChunkSize
	case f.at == inChunkSize && f.kept > 0 && c == ';':
		f.at = inChunkExtension
	case f.at == inChunkExtension:
		return f.scanExtension(p)
	case f.at == afterChunkSize && c == '\n' && f.left == 0:
		f.at, f.kept = inTrailer, 0
	case f.at == afterChunkSize && c == '\n':
		f.at, f.kept = inChunk, 0
	case f.at == afterChunk && c == '\r':
		f.at = afterChunkCR
	case f.at == afterChunkCR && c == '\n':
		f.at = inChunkSize
	default:
		return 0, errChunk
	}
	return 1, nil
}

func (f *framing) scanExtension(p []byte) (int, error) {
	bound := bytes.IndexAny(p, "\r\n\x00")
	switch {
	case bound < 0:
		return len(p), nil
	case p[bound] != '\r':
		return bound, errChunk
	}
	f.at = afterChunkSize
	return bound + 1, nil
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	default:
		return -1
	}
}
