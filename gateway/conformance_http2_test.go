package gateway_test

import (
	"encoding/binary"
	"io"
	"testing"
)

// The frames of HTTP/2 (RFC 9113 §6) that are spoken here.
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7
)

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	return append(head, payload...)
}

// fields encodes names and values as literals (RFC 7541 §6.2.2).
func fields(pairs ...string) (block []byte) {
	for at, text := range pairs {
		if at%2 == 0 {
			block = append(block, 0)
		}
		block = append(append(block, byte(len(text))), text...)
	}
	return block
}

// H09: what HTTP/2 forbids in a request never becomes one of HTTP/1.1.
func TestConformanceOfHTTP2(t *testing.T) {
	w := startWire(t)
	good := []string{":method", "GET", ":scheme", "http", ":authority", "gateway.test", ":path", "/open"}
	for _, row := range []struct {
		name   string
		fields []string
		refuse bool
	}{
		{"H09 sound", good, false},
		{"H09 two paths", append(good[:8:8], ":path", "/admin"), true},
		{"H09 two methods", append(good[:8:8], ":method", "POST"), true},
		{"H09 two authorities", append(good[:8:8], ":authority", "secret.test"), true},
		{"H09 a pseudo-header behind a header", append(good[:6:6], "x-a", "b", ":path", "/open"), true},
		{"H09 an unknown pseudo-header", append(good[:8:8], ":x", "y"), true},
		{"H09 no path", good[:6], true},
		{"H09 an empty path", append(good[:6:6], ":path", ""), true},
		{"H09 a capital letter", append(good[:8:8], "X-A", "b"), true},
		{"H09 a line end in a value", append(good[:8:8], "x-a", "b\r\nX-Client-Id: root"), true},
		{"H09 a line end in a path", append(good[:6:6], ":path", "/open HTTP/1.1\r\nX-Client-Id: root\r\n\r\n"), true},
		{"H09 a line end in a name", append(good[:8:8], "x-a: b\r\nx-client-id", "root"), true},
		{"H09 a line end in a method", append([]string{":method", "GET /admin HTTP/1.1\r\nX: "}, good[2:]...), true},
		{"H09 a header of connections", append(good[:8:8], "connection", "x-a"), true},
		{"H09 a transfer encoding", append(good[:8:8], "transfer-encoding", "chunked"), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn := w.dial(t)
			const endOfAll = 0x1 | 0x4 // END_STREAM, END_HEADERS
			_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			_, _ = conn.Write(append(frame(frameSettings, 0, 0, nil), frame(frameHeaders, endOfAll, 1, fields(row.fields...))...))
			const status200, status400 = 0x88, 0x8c // indexed, RFC 7541 appendix A
			refused := false
			for done := false; !done; {
				head := make([]byte, 9)
				if _, err := io.ReadFull(conn, head); err != nil {
					t.Fatal(err)
				}
				payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
				if _, err := io.ReadFull(conn, payload); err != nil {
					t.Fatal(err)
				}
				switch head[3] {
				case frameReset, frameGoAway:
					refused, done = true, true
				case frameHeaders:
					refused, done = payload[0] == status400, true
					if !refused && payload[0] != status200 {
						t.Errorf("answered by %x", payload)
					}
				}
			}
			if seen := w.upstream.taken(); refused != row.refuse || (len(seen) > 0) == row.refuse {
				t.Errorf("refused %t, want %t; the upstream got %+v", refused, row.refuse, seen)
			}
		})
	}
}
