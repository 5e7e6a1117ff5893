package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// echoing is an upstream with WebSockets, which repeats what it is told, except for those of version 1, which it refuses.
func echoing(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Upgrade") == "" {
		return false
	}
	if r.Header.Get("Sec-Websocket-Version") == "1" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return true
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Seen: "+r.Header.Get("X-Client-Id")+"\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
	return true
}

// Attack 28: nothing that a connection can become gets around the check of tokens.
func TestConformanceOfUpgrades(t *testing.T) {
	w := startWireOf(t, newIssuer(t), guarded, echoing)
	good := bearer(w.issuer.Token(api, "inventory:read"))
	const webSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
	const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
	const last = "GET /admin HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
	upgrade := func(target string, lines ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: gateway.test\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + last
	}
	for _, row := range []struct {
		name, send string
		status     int // of the first answer; that of the last is 401
	}{
		{"WebSocket without a token", upgrade("/items", webSocket), 401},
		{"WebSocket for another scope", upgrade("/admin", webSocket, good), 403},
		{"WebSocket that the upstream refuses", upgrade("/open", strings.Replace(webSocket, "13", "1", 1)), 426},
		{"WebSocket without Connection", upgrade("/open", "Upgrade: websocket"), 200},
		{"h2c without a token", upgrade("/items", h2c), 401},
		{"h2c with a token", upgrade("/items", h2c, good), 200},
		{"h2c for anybody", upgrade("/open", h2c), 200},
		{"h2c among others", upgrade("/open", strings.Replace(h2c, "h2c", "websocket, h2c", 1)), 200},
		{"h2c on a line of its own", upgrade("/open", h2c+"\r\nUpgrade: websocket"), 200},
		{"TLS", upgrade("/open", "Connection: Upgrade\r\nUpgrade: TLS/1.2"), 200},
	} {
		t.Run("attack 28 "+row.name, func(t *testing.T) {
			got := w.say(t, row.send)
			if len(got) != 2 || got[0].status != row.status || got[1].status != 401 {
				t.Errorf("%+v, want %d and 401", got, row.status)
			}
			for _, r := range w.upstream.taken() {
				if r.Path == "/admin" || r.Header["Upgrade"] != nil || r.Header["Http2-Settings"] != nil || r.Header["Connection"] != nil {
					t.Errorf("the upstream got %+v", r)
				}
			}
		})
	}
	t.Run("attack 28 WebSocket with a token", func(t *testing.T) {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, "GET /items HTTP/1.1\r\nHost: gateway.test\r\n"+webSocket+"\r\nX-Client-Id: spoofed\r\n"+good+"\r\n\r\n")
		reader := bufio.NewReader(conn)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-Seen") != w.issuer.ClientID() {
			t.Fatalf("%+v, %v", resp, err)
		}
		for _, message := range []string{"\x81\x00\n\r", last} { // no HTTP any more, whatever it looks like
			_, _ = io.WriteString(conn, message)
			got := make([]byte, len(message))
			if _, err := io.ReadFull(reader, got); err != nil || string(got) != message {
				t.Errorf("got %q, %v", got, err)
			}
		}
	})
	t.Run("attack 28 HTTP/2 by prior knowledge", func(t *testing.T) {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		for target, want := range map[string]int{"/items": 401, "/%61dmin": 401, "/x%2fadmin": 400, "/open": 200} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.addr+target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want || resp.ProtoMajor != 2 {
				t.Errorf("%s: %s %d, want %d", target, resp.Proto, resp.StatusCode, want)
			}
		}
	})
}
