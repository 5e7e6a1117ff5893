package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/sdk/sdktest"
)

// The rows of these tests bear the ids of the project's checklist: S for tokens, H for HTTP, attacks by their numbers. Requests are sent as
// bytes, since clients of Go would mend them.

// guarded are the routes of a conformance test: what wants tokens lies below what anybody may have.
const guarded = `
routes:
  - {name: items, match: {prefix: /items}, authentication: introspect, audience: "https://inventory.test", all_of: [inventory:read], pool: echo}
  - {name: strict, match: {prefix: /strict}, authentication: introspect, audience: "https://inventory.test", mode: strict, pool: echo}
  - {name: admin, match: {prefix: /admin}, authentication: jwt, audience: "https://inventory.test", all_of: [admin], pool: echo}
  - {name: secret, match: {hosts: [secret.test], prefix: /}, authentication: jwt, audience: "https://inventory.test", pool: echo}
  - {name: small, match: {path: /small}, authentication: none, pool: echo, max_body: 1KiB, timeouts: {body: 1s}}
  - {name: public, match: {prefix: /}, authentication: none, pool: echo}
`

// wire is a gateway as the program runs it, spoken to byte by byte.
type wire struct {
	addr, admin string
	issuer      *sdktest.Issuer
	upstream    *witness
	log         *logBook
}

// witness is an upstream that keeps what it got.
type witness struct {
	mu   sync.Mutex
	seen []told
	// answer may answer a request in another way than the usual. Nil: it never does.
	answer func(http.ResponseWriter, *http.Request) bool
}

func (u *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.answer != nil && u.answer(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	header := r.Header.Clone()
	for name, values := range r.Trailer {
		header["Trailer "+name] = values
	}
	u.mu.Lock()
	u.seen = append(u.seen, told{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, string(body), header})
	u.mu.Unlock()
	w.Header().Set("Server", "upstream/1.2.3")
	w.Header().Set("X-Powered-By", "magic")
	_, _ = io.WriteString(w, "from the upstream")
}

// taken returns what came since it was last called.
func (u *witness) taken() []told {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

// startWire runs a gateway with the routes of guarded.
func startWire(t *testing.T) *wire {
	t.Helper()
	return startWireOf(t, sdktest.Start(t), guarded, nil)
}

// startWireOf runs a gateway with these routes. answer is what the upstream does, nil the usual.
func startWireOf(t *testing.T, issuer *sdktest.Issuer, routes string, answer func(http.ResponseWriter, *http.Request) bool) *wire {
	t.Helper()
	w := &wire{issuer: issuer, upstream: &witness{answer: answer}, log: new(logBook)}
	upstream := httptest.NewServer(w.upstream)
	t.Cleanup(upstream.Close)
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf(`listeners: [{name: entry, address: "127.0.0.1:0", timeouts: {header: 1s, body: 1s, write: 1s}}]
admin: {address: "127.0.0.1:0"}
issuers: {main: {url: %q, client_id: %s, client_secret: %s, bound: 1s, timeout: 2s}}
pools: {echo: {targets: [{url: %q}], health: {disabled: true}}}
`, w.issuer.URL(), w.issuer.ClientID(), w.issuer.ClientSecret(), upstream.URL)
	if err := os.WriteFile(path, []byte(text+routes), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan []listeners.Status, 1), make(chan error, 1)
	go func() {
		ended <- gateway.Run(ctx, gateway.RunConfig{
			Path: path, Stderr: w.log, Version: "test", Now: time.Now, Listening: func(all []listeners.Status) { ready <- all },
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case all := <-ready:
		w.addr, w.admin = addressOf(all, "entry"), addressOf(all, "admin")
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return w
}

func addressOf(all []listeners.Status, name string) string {
	at := slices.IndexFunc(all, func(s listeners.Status) bool { return s.Name == name })
	return all[at].Address
}

func (w *wire) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends text as it is and returns the answers that come until the gateway closes.
func (w *wire) say(t testing.TB, text string) []answer {
	t.Helper()
	conn := w.dial(t)
	_, _ = io.WriteString(conn, text) // the gateway may have closed half-way
	return answers(t, bufio.NewReader(conn))
}

// answers reads them to the end of the connection. They must not be those of HEAD.
func answers(t testing.TB, r *bufio.Reader) (all []answer) {
	t.Helper()
	for {
		if _, err := r.Peek(1); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as it is
				t.Error("the connection was not closed")
			}
			return all
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("not an answer: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("half an answer: %v", err)
		}
		all = append(all, answer{resp.StatusCode, resp.Header, string(body)})
	}
}

// ask makes one request and returns its only answer.
func (w *wire) ask(t testing.TB, method, target string, lines ...string) answer {
	t.Helper()
	all := w.say(t, request(method, target, lines...))
	if len(all) != 1 {
		t.Fatalf("%d answers: %v", len(all), all)
	}
	return all[0]
}

// request is one that ends its connection.
func request(method, target string, lines ...string) string {
	return method + " " + target + " HTTP/1.1\r\n" + strings.Join(append(lines, "Host: gateway.test", "Connection: close"), "\r\n") + "\r\n\r\n"
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func length(body string) string { return strconv.Itoa(len(body)) }

func newIssuer(t *testing.T) *sdktest.Issuer { t.Helper(); return sdktest.Start(t) }
