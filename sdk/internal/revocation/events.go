package revocation

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// event is a block of a stream of server-sent events (HTML Living Standard §9.2.6) that has an id or data.
type event struct {
	id   string
	data []byte
}

// events reads a stream. Lines end with LF or CRLF: a lone CR, which the standard allows too, is in no event of the feed.
type events struct {
	from *bufio.Reader
	line []byte
}

var errEventType = errors.New("an event of an unknown type")

func newEvents(r io.Reader) *events { return &events{from: bufio.NewReaderSize(r, 16<<10)} }

// next returns the next block that says anything. What the end of the stream cuts off is no event.
func (e *events) next() (event, error) {
	var (
		block event
		some  bool
	)
	for {
		line, err := e.readLine(MaxAnswer - len(block.data))
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if some {
				return block, nil
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			block.id, some = string(value), true
		case "data":
			if block.data != nil {
				block.data = append(block.data, '\n')
			}
			block.data, some = append(block.data, value...), true
		case "event":
			// What it brings would be missing, and what follows it would not join.
			if string(value) != "message" {
				return event{}, errEventType
			}
		}
	}
}

// readLine returns the next line without its end, at most limit bytes. It is valid until the next call.
func (e *events) readLine(limit int) ([]byte, error) {
	e.line = e.line[:0]
	for {
		part, err := e.from.ReadSlice('\n')
		if len(e.line)+len(part) > limit {
			return nil, errTooLong
		}
		e.line = append(e.line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(e.line, []byte("\n")), []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
