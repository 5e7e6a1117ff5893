package lb_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

// plainHTTP2 are HTTP/2 without TLS, by prior knowledge.
func plainHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// startHTTP2 serves handler by HTTP/2 without TLS, and nothing else.
func startHTTP2(t testing.TB, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{server: &http.Server{Handler: handler, Protocols: plainHTTP2()}}
	u.server.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		u.conns.Add(1)
		return ctx
	}
	ln := listen(t, "127.0.0.1:0")
	u.addr = ln.Addr().String()
	var served sync.WaitGroup
	served.Go(func() { u.server.Serve(ln) })
	t.Cleanup(func() {
		u.kill()
		served.Wait()
	})
	return u
}

// startHTTP2Front is a balancer that is spoken to by HTTP/2 too.
func startHTTP2Front(t testing.TB, how lb.Overrides, addrs ...string) (url string, client *http.Client, pool *lb.Pool) {
	t.Helper()
	pool = newPool(t, lb.PoolConfig{}, addrs...)
	handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: pool, HTTP2: true, Overrides: how})})
	if err != nil {
		t.Fatal(err)
	}
	front := startHTTP2(t, handler.ServeHTTP)
	transport := &http.Transport{Protocols: plainHTTP2()}
	t.Cleanup(transport.CloseIdleConnections)
	return "http://" + front.addr, &http.Client{Transport: transport}, pool
}

// chat answers each line at once, and ends with trailers, as gRPC does.
func chat(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
		http.Error(w, "want gRPC", http.StatusUpgradeRequired)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		fmt.Fprintf(w, "heard %s\n", lines.Text())
		if http.NewResponseController(w).Flush() != nil {
			return
		}
	}
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", "bye")
}

// A call in both directions at once, whose request outlasts every timeout, with announced and unannounced trailers.
func TestGRPCPasses(t *testing.T) {
	up := startHTTP2(t, chat)
	url, client, pool := startHTTP2Front(t, lb.Overrides{ResponseTimeout: 50 * time.Millisecond}, up.addr)
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/inventory.Stock/Watch", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	go func() {
		time.Sleep(100 * time.Millisecond) // the response timeout does not count while the request goes on
		io.WriteString(w, "one\n")
	}()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for _, word := range []string{"one", "two", "three"} {
		if word != "one" {
			io.WriteString(w, word+"\n") // after the answer to the last one
		}
		if got, err := answers.ReadString('\n'); err != nil || got != "heard "+word+"\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if resp.StatusCode != http.StatusOK || resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Grpc-Message") != "bye" {
		t.Errorf("status %d, trailers %v", resp.StatusCode, resp.Trailer)
	}
	await(t, "end of the call", func() bool { return pool.Upstreams()[0].InFlight == 0 })
}

// An answer of headers alone, by which gRPC refuses.
func TestGRPCRefusalPasses(t *testing.T) {
	up := startHTTP2(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "16")
	})
	url, client, _ := startHTTP2Front(t, lb.Overrides{}, up.addr)
	resp, err := client.Post(url, "application/grpc", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Grpc-Status") != "16" {
		t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
	}
}

// HTTP/2 carries what HTTP/1.1 has no way to say. That is the client's doing, and no upstream is given up for it.
func TestHTTP2RequestsThatHTTP1CannotExpress(t *testing.T) {
	up := startUpstream(t, nil)
	pool := newPool(t, lb.PoolConfig{Breaker: &lb.Breaker{FailurePercent: 1, Requests: 1, Delay: time.Hour}}, up.addr)
	handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: pool})})
	if err != nil {
		t.Fatal(err)
	}
	front := startHTTP2(t, handler.ServeHTTP)
	transport := &http.Transport{Protocols: plainHTTP2()}
	t.Cleanup(transport.CloseIdleConnections)
	for _, tt := range []struct {
		query  string
		status int
	}{{"a b", http.StatusBadRequest}, {"a HTTP/1.1", http.StatusBadRequest}, {"a%20b", http.StatusOK}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+front.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.RawQuery = tt.query
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%q: %d, want %d", tt.query, resp.StatusCode, tt.status)
		}
	}
}

// On a shared connection, one call that takes too long or is given up is ended alone.
func TestHTTP2CallsEndAlone(t *testing.T) {
	arrived, left := make(chan struct{}, 2), make(chan struct{}, 2)
	release := make(chan struct{})
	up := startHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			return
		case "/patient":
			<-release
			return
		}
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	pool := newPool(t, lb.PoolConfig{}, up.addr)
	tr := newTransport(t, lb.TransportConfig{Pool: pool, HTTP2: true})
	send := func(ctx context.Context, rt http.RoundTripper, path string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://any"+path, nil)
		if err != nil {
			return err
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	// Whoever has a connection dialled gets it before others can find it.
	await(t, "a connection to share", func() bool {
		before := up.conns.Load()
		return send(t.Context(), tr, "/first") == nil && up.conns.Load() == before
	})
	shared := up.conns.Load()
	patient := make(chan error, 1)
	go func() { patient <- send(t.Context(), tr, "/patient") }()
	await(t, "a call", func() bool { return pool.Upstreams()[0].InFlight == 1 })

	if err := send(t.Context(), tr.With(lb.Overrides{ResponseTimeout: 20 * time.Millisecond}), "/hang"); !isTimeout(err) {
		t.Errorf("too long: %v", err)
	}
	<-left
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; <-arrived; cancel() }()
	if _, _, _, gone := lb.Classify(send(ctx, tr, "/hang")); !gone {
		t.Error("given up: not seen as such")
	}
	<-left
	close(release)
	if err := <-patient; err != nil {
		t.Errorf("the other call: %v", err)
	}
	if n := up.conns.Load(); n != shared {
		t.Errorf("%d connections, %d before", n, shared)
	}
}

func TestHTTP2Fails(t *testing.T) {
	old := httptest.NewUnstartedServer(http.HandlerFunc(echo)) // speaks HTTP/1.1 only
	old.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	old.StartTLS()
	t.Cleanup(old.Close)
	plain := startUpstream(t, nil)
	for name, addr := range map[string]string{"TLS without HTTP/2": old.URL, "nothing there": deadAddr(t), "HTTP/1.1 without TLS": plain.addr} {
		pool := newPool(t, lb.PoolConfig{}, addr)
		tr := newTransport(t, lb.TransportConfig{Pool: pool, HTTP2: true, TLS: trusting(old)})
		_, _, err := tryTransport(t, tr, http.MethodPost, nil)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if status, _, _, _ := lb.Classify(err); status < 502 || status > 503 {
			t.Errorf("%s: %v is %d", name, err, status)
		}
	}
}

// Requests go on while an upstream restarts: it tells by GOAWAY that it goes.
func TestHTTP2UpstreamThatEndsInOrder(t *testing.T) {
	a := startHTTP2(t, func(http.ResponseWriter, *http.Request) {})
	b := startHTTP2(t, func(http.ResponseWriter, *http.Request) {})
	tr := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, a.addr, b.addr), HTTP2: true})
	for n := range 200 {
		if n == 50 {
			go a.server.Shutdown(t.Context())
		}
		if _, _, err := tryTransport(t, tr, http.MethodGet, nil); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
}

func TestHealthByHTTP2(t *testing.T) {
	up := startHTTP2(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("checked by %s", r.Proto)
		}
	})
	pools := newPools(t, lb.PoolsConfig{})
	prepared := prepare(t, pools, fmt.Sprintf(`pools: {p: {targets: [{url: %q}, {url: %q}], protocol: h2, health: {interval: 10ms, fall: 1}}}`, up.addr, deadAddr(t)))
	prepared.Commit()
	await(t, "checks", func() bool { return states(pools) == "p+-" })
	if _, _, err := tryTransport(t, prepared.Transports["p"], http.MethodGet, nil); err != nil {
		t.Error(err)
	}
}

// A client that wants another protocol gets HTTP, and does no harm to upstreams that know no other.
func TestHTTP2HasNoUpgrades(t *testing.T) {
	up := startHTTP2(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header["Upgrade"] != nil || r.Header["Connection"] != nil {
			t.Errorf("got %v", r.Header)
		}
	})
	handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, up.addr), HTTP2: true})})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}

// Headers that an upstream has said it does not take are no failure of it.
func TestHTTP2UpstreamWithSmallHeaders(t *testing.T) {
	up := startHTTP2(t, func(http.ResponseWriter, *http.Request) {})
	up.server.MaxHeaderBytes = 4 << 10
	pool := newPool(t, lb.PoolConfig{Outlier: lb.Outlier{Failures: 2, MostPercent: 100}}, up.addr)
	tr := newTransport(t, lb.TransportConfig{Pool: pool, HTTP2: true})
	send := func(header string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pool/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-A", header)
		resp, err := tr.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := send("small"); err != nil { // from now on the limit is known
		t.Fatal(err)
	}
	for range 3 {
		err := send(strings.Repeat("a", 16<<10))
		if err == nil {
			t.Fatal("sent")
		}
		if status, _, _, _ := lb.Classify(err); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v is %d", err, status)
		}
	}
	if got := ejected(pool); got != "." {
		t.Error("the upstream was ejected")
	}
}
