package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// ErrAnswer is what the error for an answer wraps that is none by RFC 9112.
var ErrAnswer = errors.New("malformed HTTP/1.1 answer")

var (
	errHeaderSize = fmt.Errorf("%w: its header is too large", ErrAnswer)
	errLineEnd    = fmt.Errorf("%w: a line does not end by CRLF", ErrAnswer)
	errStatusLine = fmt.Errorf("%w: status line", ErrAnswer)
	errFieldLine  = fmt.Errorf("%w: header line", ErrAnswer)
)

const lineEnd, blockEnd = "\r\n", "\r\n\r\n"

// readBlock reads lines up to the first that is empty, at most limit bytes, and returns them with their ends but without the empty one. Which lines
// there may be is for its caller: none, at least.
func (c *conn) readBlock(limit int) (string, error) {
	var long []byte // of what does not fit into the buffer
	for {
		have, _ := c.br.Peek(c.br.Buffered()) // which is there
		if len(long) == 0 && bytes.HasPrefix(have, []byte(lineEnd)) {
			_, _ = c.br.Discard(len(lineEnd)) // which is there
			return "", nil
		}
		if n := blockIn(long, have); n > 0 {
			if len(long)+n > limit {
				return "", errHeaderSize
			}
			block := string(append(long, have[:n]...)) //nolint:gocritic // long is not used any more
			_, _ = c.br.Discard(n)                     // which is there
			return block[:len(block)-len(lineEnd)], nil
		}
		if len(long)+len(have) > limit {
			return "", errHeaderSize
		}
		if hasBareLF(have, len(long) > 0 && long[len(long)-1] == '\r') {
			return "", errLineEnd // whose rest may never come
		}
		if len(have) == c.br.Size() {
			long = append(long, have...)
			_, _ = c.br.Discard(len(have)) // which is there
			have = nil
		}
		if _, err := c.br.Peek(len(have) + 1); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", fmt.Errorf("read header: %w", err)
		}
	}
}

// blockIn returns how much of have, which follows before, belongs to the block; 0: more than there is.
func blockIn(before, have []byte) int {
	overlap := before[max(0, len(before)-len(blockEnd)+1):]
	if len(overlap) > 0 {
		both := append(bytes.Clone(overlap), have[:min(len(have), len(blockEnd)-1)]...)
		if at := bytes.Index(both, []byte(blockEnd)); at >= 0 {
			return at + len(blockEnd) - len(overlap)
		}
	}
	if at := bytes.Index(have, []byte(blockEnd)); at >= 0 {
		return at + len(blockEnd)
	}
	return 0
}

func hasBareLF(p []byte, afterCR bool) bool {
	for at, c := range p {
		if c == '\n' && (at == 0 && !afterCR || at > 0 && p[at-1] != '\r') {
			return true
		}
	}
	return false
}

// cutLine returns the first line of a block without its end, and the lines after it. Neither CR nor LF may be alone in it (RFC 9112 §2.2).
func cutLine(block string) (line, rest string, err error) {
	end := strings.IndexByte(block, '\n')
	if end < 1 || strings.IndexByte(block[:end], '\r') != end-1 {
		return "", "", errLineEnd
	}
	return block[:end-1], block[end+1:], nil
}

// head is status line and header of an answer.
type head struct {
	status string // the code, and the reason if there is one
	code   int    // 100 to 999
	minor  int    // of HTTP/1, 0 or 1
	header http.Header
}

// readHead reads the head of an answer, of at most limit bytes, and reports how many it has. It is strict where readers of HTTP/1 differ: lines end by CRLF, are not
// folded, have a name of a token's characters right before their colon, and no control character (RFC 9112 §2.2, §5). The version is 1.0 or 1.1.
// http.ReadResponse takes any, blanks before a colon, and lines that are folded or end by LF alone.
func (c *conn) readHead(limit int) (h head, size int, err error) {
	block, err := c.readBlock(limit)
	if err != nil {
		return h, 0, err
	}
	line, fields, err := cutLine(block)
	if err != nil {
		return h, 0, err
	}
	if h, err = parseStatus(line); err != nil {
		return h, 0, err
	}
	h.header, err = parseFields(fields)
	return h, len(block) + len(lineEnd), err
}

// parseStatus reads a status line (RFC 9112 §4). The blank behind the code may be missing if there is no reason.
func parseStatus(line string) (h head, err error) {
	const version, shortest = "HTTP/1.", len("HTTP/1.1 200")
	if len(line) < shortest || line[:len(version)] != version || line[8] != ' ' {
		return h, errStatusLine
	}
	switch line[7] {
	case '0', '1':
		h.minor = int(line[7] - '0')
	default:
		return h, errStatusLine
	}
	h.status = line[9:]
	for _, c := range []byte(h.status[:3]) {
		if c < '0' || c > '9' {
			return h, errStatusLine
		}
		h.code = h.code*10 + int(c-'0')
	}
	if h.code < 100 || len(h.status) > 3 && h.status[3] != ' ' {
		return h, errStatusLine
	}
	return h, nil
}

// parseFields reads the lines of a header or trailer.
func parseFields(block string) (http.Header, error) {
	lines := strings.Count(block, "\n")
	header, values := make(http.Header, lines), make([]string, lines)
	for block != "" {
		line, rest, err := cutLine(block)
		if err != nil {
			return nil, err
		}
		block = rest
		colon := strings.IndexByte(line, ':')
		if colon < 0 || !isName(line[:colon]) { // which a blank is in if the line is folded
			return nil, errFieldLine
		}
		name := textproto.CanonicalMIMEHeaderKey(line[:colon])
		value := strings.Trim(line[colon+1:], " \t")
		if !isValue(value) {
			return nil, errFieldLine
		}
		if before, ok := header[name]; ok {
			header[name] = append(before, value)
			continue
		}
		values[0] = value
		header[name], values = values[:1:1], values[1:]
	}
	return header, nil
}
