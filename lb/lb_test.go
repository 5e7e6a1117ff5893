package lb_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
)

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// loopback is trusted by fronts whose clients are to be proxies.
func loopback(t testing.TB) httpx.Proxies {
	t.Helper()
	proxies, err := httpx.ParseProxies([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	return proxies
}

// startMirror is a front that trusts proxies and whose upstream passes on each request as it arrived.
func startMirror(t *testing.T, proxies httpx.Proxies) (*front, chan *http.Request) {
	t.Helper()
	seen := make(chan *http.Request, 1)
	u := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(context.WithoutCancel(r.Context()))
		w.Header().Set("X-Request-Id", "of-the-upstream")
	})
	return startFrontBehind(t, proxies, lb.TransportConfig{}, u.addr), seen
}

func TestForwardingHeadersAreMadeAfresh(t *testing.T) {
	f, seen := startMirror(t, nil)
	spoofed := http.Header{}
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Client-Cert",
		"x_forwarded_for", "X-Forwarded_Proto", "X-Real-Ip", "X_Real_IP", "Forwarded", "Client-Cert", "CLIENT_CERT",
		"Client-Cert-Chain", "True-Client-Ip", "X_Request_Id", "X-Client-Ip", "X-Client-Cert", "X-Ssl-Client-S-Dn", "SSL_CLIENT_VERIFY",
	} {
		spoofed[name] = []string{"spoofed"}
	}
	f.do(t, http.MethodGet, "/", nil, spoofed)
	got := <-seen
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, ","), "spoofed") {
			t.Errorf("%s: %q passed through", name, values)
		}
	}
	host := strings.TrimPrefix(f.url, "http://")
	want := map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": host, "X-Forwarded-Proto": "http"}
	for name, value := range want {
		if diff := cmp.Diff([]string{value}, got.Header[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRequestArrivesAsSent(t *testing.T) {
	f, seen := startMirror(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/a%2Fb//c?x=1;y=%zz&z", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "issuer.example"
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := <-seen
	if got.Host != "issuer.example" || got.RequestURI != "/a%2Fb//c?x=1;y=%zz&z" {
		t.Errorf("upstream saw %s at %s", got.RequestURI, got.Host)
	}
	if _, added := got.Header["Accept-Encoding"]; added {
		t.Error("an Accept-Encoding was added")
	}
}

func TestHopByHopHeadersEndHere(t *testing.T) {
	f, seen := startMirror(t, nil)
	f.do(t, http.MethodGet, "/", nil, http.Header{
		"Connection": {"X-Secret, X-Request-Id, X-Forwarded-For"}, "X-Secret": {"1"}, "Keep-Alive": {"5"},
		"Proxy-Authorization": {"Basic x"}, "Proxy-Connection": {"keep-alive"}, "Te": {"gzip"},
	})
	got := <-seen
	for _, name := range []string{"Connection", "X-Secret", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te"} {
		if v, ok := got.Header[name]; ok {
			t.Errorf("%s: %q reached the upstream", name, v)
		}
	}
	for _, name := range []string{"X-Request-Id", "X-Forwarded-For"} {
		if got.Header.Get(name) == "" {
			t.Errorf("naming %s in Connection removed it", name)
		}
	}
}

// What a trusted proxy says of its client is passed on, and what it cannot have said is not.
func TestTrustedProxiesAreBelieved(t *testing.T) {
	f, seen := startMirror(t, loopback(t))
	f.do(t, http.MethodGet, "/", nil, http.Header{
		"X-Forwarded-For": {"192.0.2.1", "192.0.2.2"}, "X-Forwarded-Host": {"api.example"}, "X-Forwarded-Proto": {"https"}, "Client-Cert": {":YQ==:"},
		"X_Forwarded_For": {"spoofed"}, "Client_Cert": {"spoofed"},
	})
	got := (<-seen).Header
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.1, 192.0.2.2, 127.0.0.1", "X-Forwarded-Host": "api.example", "X-Forwarded-Proto": "https", "Client-Cert": ":YQ==:",
	} {
		if diff := cmp.Diff([]string{want}, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, values := range got {
		if slices.Contains(values, "spoofed") {
			t.Errorf("%s: %q passed through", name, values)
		}
	}
	host := strings.TrimPrefix(f.url, "http://")
	f.do(t, http.MethodGet, "/", nil, http.Header{"Connection": {"X-Forwarded-For"}, "X-Forwarded-For": {"192.0.2.1"}})
	got = (<-seen).Header
	for name, want := range map[string]string{"X-Forwarded-For": "192.0.2.1, 127.0.0.1", "X-Forwarded-Host": host, "X-Forwarded-Proto": "http"} {
		if diff := cmp.Diff([]string{want}, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		proxies httpx.Proxies
		sent    []string
		kept    bool
	}{
		{"good", loopback(t), []string{"Abc.1_2-3"}, true},
		{"longest", loopback(t), []string{strings.Repeat("a", 64)}, true},
		{"too long", loopback(t), []string{strings.Repeat("a", 65)}, false},
		{"other characters", loopback(t), []string{`a"b`}, false},
		{"empty", loopback(t), []string{""}, false},
		{"two", loopback(t), []string{"a", "b"}, false},
		{"none", loopback(t), nil, false},
		{"good, but nobody's who is trusted", nil, []string{"Abc.1_2-3"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, seen := startMirror(t, tt.proxies)
			resp, _ := f.do(t, http.MethodGet, "/", nil, http.Header{"X-Request-Id": tt.sent})
			got := (<-seen).Header["X-Request-Id"]
			if len(got) != 1 || !goodID.MatchString(got[0]) || (tt.kept && got[0] != tt.sent[0]) || (!tt.kept && len(tt.sent) > 0 && got[0] == tt.sent[0]) {
				t.Errorf("upstream saw %q", got)
			}
			if diff := cmp.Diff(got, resp.Header["X-Request-Id"]); diff != "" {
				t.Errorf("the answer bears another id: %s", diff)
			}
		})
	}
}

func TestEdgeAroundTheBalancer(t *testing.T) {
	var arrived string
	u := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived = r.Header.Get("X-Request-Id")
		w.Header().Set("X-Request-Id", arrived)
		w.Header().Set("X-Content-Type-Options", "nosniff")
	})
	handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, u.addr)})})
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: slog.New(slog.DiscardHandler), Now: time.Now}
	var given string
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	edge.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given = httpx.From(r.Context()).ID
		handler.ServeHTTP(w, r)
	})).ServeHTTP(w, r)
	for name, want := range map[string]string{"X-Request-Id": given, "X-Content-Type-Options": "nosniff"} {
		if diff := cmp.Diff([]string{want}, w.Header()[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if arrived != given {
		t.Errorf("upstream saw id %q, the access log has %q", arrived, given)
	}
}

func FuzzRequestID(f *testing.F) {
	pool, err := lb.NewPool(lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}}})
	if err != nil {
		f.Fatal(err)
	}
	tr, err := lb.NewTransport(lb.TransportConfig{Pool: pool})
	if err != nil {
		f.Fatal(err)
	}
	proxies, err := httpx.ParseProxies([]string{"192.0.2.1"}) // the peer of httptest's requests
	if err != nil {
		f.Fatal(err)
	}
	handler, err := lb.New(lb.Config{Transport: tr, Proxies: proxies})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "a", "a b", "ä", "\x00", strings.Repeat("z", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodConnect, "a:1", nil) // is answered without an upstream
		r.Header.Set("X-Request-Id", id)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		got := w.Header().Get("X-Request-Id")
		if !goodID.MatchString(got) || goodID.MatchString(id) != (got == id) {
			t.Errorf("%q became %q", id, got)
		}
	})
}

func TestServerSentEventsPassAtOnce(t *testing.T) {
	next := make(chan struct{})
	u := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			<-next // not before the client has the event
		}
	})
	f := startFront(t, lb.TransportConfig{}, u.addr)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		got, err := lines.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || got != want {
			t.Fatalf("event %q, %v", got, err)
		}
		lines.ReadString('\n')
		next <- struct{}{}
	}
}

func TestUpgradePasses(t *testing.T) {
	u := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		all, _ := io.ReadAll(rw) // ends with the client's half of the connection
		fmt.Fprintf(conn, "got %s", all)
	})
	f := startFront(t, lb.TransportConfig{}, u.addr)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, %v", resp, err)
	}
	io.WriteString(conn, "frames")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(answer); err != nil || string(got) != "got frames" {
		t.Errorf("got %q, %v", got, err)
	}
	await(t, "end of the request's count", func() bool { return f.pool.Upstreams()[0].InFlight == 0 })
}

func TestErrorAnswers(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hanging := startUpstream(t, func(http.ResponseWriter, *http.Request) { <-release })
	breaking, _ := startBreaker(t)
	for _, tt := range []struct {
		name   string
		addrs  []string
		status int
		body   string
		retry  string
	}{
		{"all down", []string{deadAddr(t), deadAddr(t)}, 503, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no upstream can be reached at the moment","request_id":"id-1"}`, "1"},
		{"breaks off", []string{breaking}, 502, `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"the upstream broke off before it answered","request_id":"id-1"}`, ""},
		{"breaks off, the other is down", []string{breaking, deadAddr(t)}, 502, `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"the upstream broke off before it answered","request_id":"id-1"}`, ""},
		{"too slow", []string{hanging.addr}, 504, `{"type":"about:blank","title":"Gateway Timeout","status":504,"detail":"the upstream did not answer in time","request_id":"id-1"}`, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFrontBehind(t, loopback(t), lb.TransportConfig{Overrides: lb.Overrides{ResponseTimeout: 20 * time.Millisecond}}, tt.addrs...)
			resp, body := f.do(t, http.MethodGet, "/", nil, http.Header{"X-Request-Id": {"id-1"}})
			if diff := cmp.Diff(tt.body+"\n", body); diff != "" || resp.StatusCode != tt.status {
				t.Errorf("status %d, body %s", resp.StatusCode, diff)
			}
			want := http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "X-Request-Id": {"id-1"}}
			if tt.retry != "" {
				want["Retry-After"] = []string{tt.retry}
			}
			resp.Header.Del("Date")
			resp.Header.Del("Content-Length")
			if diff := cmp.Diff(want, resp.Header); diff != "" {
				t.Error(diff)
			}
			var line struct {
				Level, Err string
				ID         string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(f.log.String()), &line); err != nil || line.Level != "WARN" || line.ID != "id-1" || line.Err == "" {
				t.Errorf("log %s (%v), want one warning", f.log, err)
			}
		})
	}
}

func TestConnectIsRefused(t *testing.T) {
	u := startUpstream(t, nil)
	f := startFront(t, lb.TransportConfig{}, u.addr)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed || u.arrivals.Load() != 0 {
		t.Errorf("answer %v, %v; %d arrivals", resp, err, u.arrivals.Load())
	}
}

func TestClientThatLeavesIsNoError(t *testing.T) {
	arrived := make(chan struct{})
	u := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	f := startFront(t, lb.TransportConfig{}, u.addr)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, _, err := f.try(ctx, http.MethodGet, "/", nil, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("request: %v", err)
	}
	<-f.done
	if got := f.log.String(); got != "" {
		t.Errorf("logged %s", got)
	}
}

func TestBodyAtFaultIsNotTheUpstreams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		unsafe bool
		wrap   func(http.ResponseWriter, *http.Request)
		status int
	}{
		{"too large, streamed", false, limitBody, http.StatusRequestEntityTooLarge},
		{"too large, buffered", true, limitBody, http.StatusRequestEntityTooLarge},
		{"broken, streamed", false, breakBody, http.StatusBadRequest},
		{"broken, buffered", true, breakBody, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := startUpstream(t, nil), startUpstream(t, nil)
			pool := newPool(t, lb.PoolConfig{}, a.addr, b.addr)
			handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: pool, Overrides: lb.Overrides{RetryUnsafe: tt.unsafe}})})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("too much"))
			w := httptest.NewRecorder()
			tt.wrap(w, r)
			handler.ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, %s", w.Code, w.Body)
			}
			for _, s := range pool.Upstreams() {
				if !s.Healthy || s.InFlight != 0 {
					t.Errorf("state %+v", s)
				}
			}
		})
	}
}

func limitBody(w http.ResponseWriter, r *http.Request) { r.Body = http.MaxBytesReader(w, r.Body, 3) }

func breakBody(_ http.ResponseWriter, r *http.Request) {
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("too"), brokenReader{}))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
