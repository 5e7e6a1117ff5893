package server_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// raw sends text as it is and returns all that comes back.
func (w *world) raw(text string) string {
	w.Helper()
	conn, err := new(net.Dialer).DialContext(w.Context(), "tcp", strings.TrimPrefix(w.public.URL, "http://"))
	w.check(err)
	defer conn.Close()
	w.check(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	_, _ = io.WriteString(conn, text) // the server may have closed half-way
	got, _ := io.ReadAll(conn)        // a reset ends an answer as well
	return string(got)
}

// No request target makes the router stumble, or reach an endpoint by another name.
func TestOddRequestTargets(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{
		"GET * HTTP/1.1", "POST * HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT id.test:443 HTTP/1.1", "CONNECT /oauth2/token HTTP/1.1",
		"GET http:// HTTP/1.1", "GET http://x HTTP/1.1", "GET //x HTTP/1.1", "POST / HTTP/1.1", "POST /%2foauth2/token HTTP/1.1",
		"POST /oauth2/token%2f HTTP/1.1", "POST /oauth2/token%3fa=b HTTP/1.1", "POST /oauth2\\token HTTP/1.1", "POST /..%2foauth2/token HTTP/1.1",
		"BREW /oauth2/token HTTP/1.1", "post /oauth2/token HTTP/1.1", "POST /oauth2/token HTTP/1.0", "POST http://id.test//oauth2/token HTTP/1.1",
	} {
		t.Run(line, func(t *testing.T) {
			got := w.raw(line + "\r\nHost: id.test\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
				fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(grant), grant))
			status := strings.TrimPrefix(strings.SplitN(got, "\r\n", 2)[0], "HTTP/1.")
			if len(status) < 5 || status[2] == '5' || strings.Contains(got, "access_token") || status[2] == '2' && !strings.HasPrefix(line, "OPTIONS") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A body that is two requests to whoever believes the other header (CL.TE, TE.CL): the second is never served.
func TestSmuggling(t *testing.T) {
	w := newWorld(t)
	for name, head := range map[string]string{
		"H01 content length first": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"H01 chunked first":        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"H02 two lengths":          "Content-Length: 4\r\nContent-Length: 5\r\n",
		"two codings":              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"odd coding":               "Transfer-Encoding: \x0bchunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := w.raw("POST /oauth2/token HTTP/1.1\r\nHost: id.test\r\nContent-Type: application/x-www-form-urlencoded\r\n" + head +
				"\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: id.test\r\nConnection: close\r\n\r\n")
			if strings.Count(got, "HTTP/1.1 ") != 1 || strings.Contains(got, `"ok"`) || !strings.Contains(got, "HTTP/1.1 4") && !strings.Contains(got, "HTTP/1.1 501") {
				t.Errorf("got %q", got)
			}
		})
	}
}
