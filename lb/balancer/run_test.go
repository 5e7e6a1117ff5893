package balancer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/lb/balancer"
)

// pool is a pool of these upstreams, which are not checked.
func pool(name string, addrs ...string) string {
	var targets []string
	for _, a := range addrs {
		targets = append(targets, fmt.Sprintf("{url: %q}", a))
	}
	return fmt.Sprintf("  %s: {targets: [%s], health: {disabled: true}}\n", name, strings.Join(targets, ", "))
}

const adminPort = "admin: {address: \"127.0.0.1:0\"}\n"

func TestEachListenerHasItsPool(t *testing.T) {
	one, two := upstream(t, "one"), upstream(t, "two")
	r := run(t, adminPort+`listeners:
  - {name: a, address: "127.0.0.1:0", pool: first, not_found: [/metrics, /private]}
  - {name: b, address: "127.0.0.1:0", pool: second, trusted_proxies: [127.0.0.1], access_log: true}
pools:
`+pool("first", one)+pool("second", two))
	for _, tt := range []struct {
		listener, path string
		status         int
		want           string
	}{
		{"a", "/x", 200, "one/x"},
		{"b", "/x", 200, "two/x"},
		{"b", "/metrics", 200, "two/metrics"},
		{"a", "/metrics", 404, "404 page not found\n"},
		{"a", "//metrics", 404, "404 page not found\n"},
		{"a", "/x/../metrics/", 404, "404 page not found\n"},
		{"a", "/%6detrics", 404, "404 page not found\n"},
		{"a", "/metrics2", 200, "one/metrics2"},
	} {
		if status, got, err := fetch(r.url(tt.listener)+tt.path, nil); err != nil || status != tt.status || got != tt.want {
			t.Errorf("%s%s: %d %q, %v; want %d %q", tt.listener, tt.path, status, got, err, tt.status, tt.want)
		}
	}
}

// The line of a request names who sent it, what it was called and where it went. Whose proxies are trusted is a matter of each listener.
func TestAccessLog(t *testing.T) {
	one := upstream(t, "one")
	r := run(t, `listeners:
  - {name: quiet, address: "127.0.0.1:0", pool: first}
  - {name: logged, address: "127.0.0.1:0", pool: first, trusted_proxies: [127.0.0.1], access_log: true}
pools:
`+pool("first", one))
	said := http.Header{"X-Request-Id": {"mine"}, "X-Forwarded-For": {"192.0.2.7"}}
	for _, listener := range []string{"quiet", "logged"} {
		if _, _, err := fetch(r.url(listener), said); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the request is logged", func() bool { return strings.Contains(r.log.String(), `"msg":"request"`) })
	var lines []map[string]any
	for line := range strings.Lines(r.log.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if one["msg"] == "request" {
			lines = append(lines, one)
		}
	}
	if len(lines) != 1 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	for key, want := range map[string]any{
		"request_id": "mine", "address": "192.0.2.7", "route": "logged", "pool": "first", "upstream": "http://" + one, "attempts": 1.0, "status": 200.0,
	} {
		if got := lines[0][key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

func TestReloadUnderLoad(t *testing.T) {
	one, two := upstream(t, "one"), upstream(t, "two")
	doc := func(i int) string {
		text := adminPort + "listeners:\n  - {name: a, address: \"127.0.0.1:0\", pool: first}\n"
		if i%3 == 1 {
			text += "  - {name: b, address: \"127.0.0.1:0\", pool: second}\n"
		}
		return text + "pools:\n" + pool("first", []string{one, two}[i%2]) + pool("second", two)
	}
	r := run(t, doc(0))
	url := r.url("a")
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answers atomic.Int64
	for client := range 4 {
		transport := &http.Transport{DisableKeepAlives: client == 0}
		defer transport.CloseIdleConnections()
		clients.Go(func() {
			for ctx.Err() == nil {
				request, _ := http.NewRequest(http.MethodPost, url, io.NopCloser(strings.NewReader("body"))) // is not sent again by itself
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("status %d, %v", response.StatusCode, err)
				}
				_ = response.Body.Close()
				answers.Add(1)
			}
		})
	}
	for i := range 10 {
		before := answers.Load()
		r.change(doc(i), taken)
		if _, got, err := fetch(url, nil); err != nil || got != []string{"one/", "two/"}[i%2] {
			t.Errorf("after change %d: %q, %v", i, got, err)
		}
		await(t, "the clients go on", func() bool { return answers.Load() > before+20 || t.Failed() })
	}
	cancel()
	clients.Wait()
}

// A file that is written is noticed without a signal.
func TestTheFileIsFollowed(t *testing.T) {
	doc := func(addr string) string {
		return "listeners: [{name: a, address: \"127.0.0.1:0\", pool: p}]\npools:\n" + pool("p", addr)
	}
	r := run(t, doc(upstream(t, "one")))
	r.write(doc(upstream(t, "two")))
	await(t, "it is served", func() bool {
		_, got, err := fetch(r.url("a"), nil)
		return err == nil && got == "two/"
	})
}

func TestABadConfigurationIsRefused(t *testing.T) {
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	one := upstream(t, "one")
	good := adminPort + "listeners:\n  - {name: a, address: \"127.0.0.1:0\", pool: p}\npools:\n" + pool("p", one)
	r := run(t, good)
	first := r.process()
	for i, tt := range []struct{ name, text, want string }{
		{"no YAML", "listeners: [", "lb.yaml"},
		{"unknown member", strings.Replace(good, "pool:", "poool:", 1), "poool"},
		{"unknown pool", strings.Replace(good, "pool: p", "pool: q", 1), `lb.yaml:3: listeners[0].pool: no pool is called \"q\": there are p`},
		{"a name twice", strings.Replace(good, "pools:", "  - {name: a, address: \"127.0.0.1:0\", pool: p}\npools:", 1), `another listener is called \"a\"`},
		{"a reserved name", strings.Replace(good, "name: a", "name: admin-port", 1), "admin-port"},
		{"an address in use", strings.Replace(good, "pools:", fmt.Sprintf("  - {name: b, address: %q, pool: p}\npools:", busy.Addr()), 1), "lb.yaml:4: listeners[1]: listener b (" + busy.Addr().String()},
		{"no certificate", strings.Replace(good, "pool: p", "pool: p, tls: {certificate: none.crt, key: none.key}", 1), "none.crt"},
		{"an upstream that is none", strings.Replace(good, one, "http://", 1), "pools.p.targets[0].url"},
		{"a proxy that is none", strings.Replace(good, "pool: p", "pool: p, trusted_proxies: [here]", 1), "listeners[0].trusted_proxies"},
		{"a path that is none", strings.Replace(good, "pool: p", "pool: p, not_found: [metrics]", 1), "listeners[0].not_found[0]"},
		{"http's by tcp", strings.Replace(good, "pool: p", "pool: p, mode: tcp, access_log: true", 1), "listeners[0].access_log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.change(tt.text, refused)
			if log := r.log.String(); !strings.Contains(log[strings.LastIndex(log, refused):], tt.want) {
				t.Errorf("the log does not say %s:\n%s", tt.want, log)
			}
			if _, got, err := fetch(r.url("a"), nil); err != nil || got != "one/" {
				t.Errorf("got %q, %v", got, err)
			}
			now := r.process()
			if now["refused"] == nil || now["sha256"] != first["sha256"] || now["loaded"] != first["loaded"] {
				t.Errorf("the status is %v, was %v", now, first)
			}
			r.metric(fmt.Sprintf("countersign_config_reloads_total{result=\"failure\"} %d", i+1), "countersign_config_last_reload_success 0")
		})
	}
	r.change(good, taken)
	r.metric("countersign_config_reloads_total{result=\"success\"} 1", "countersign_config_last_reload_success 1")
	if now := r.process(); now["refused"] != nil || now["sha256"] != first["sha256"] || now["state"] != "serving" {
		t.Errorf("the status is %v", now)
	}
}

// metric wants these lines in /metrics.
func (r *running) metric(lines ...string) {
	r.t.Helper()
	_, text := r.admin("/metrics")
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			r.t.Errorf("no %s in\n%s", line, text)
		}
	}
}

func TestAdmin(t *testing.T) {
	one := upstream(t, "one")
	r := run(t, adminPort+"listeners: [{name: a, address: \"127.0.0.1:0\", pool: p}]\npools:\n"+pool("p", one, deadAddress(t)))
	if _, _, err := fetch(r.url("a"), nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, text := r.admin(path); status != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
	status, page, err := fetch(r.url("admin-port")+"/status", http.Header{"Accept": {"text/html"}})
	if err != nil || status != http.StatusOK || !strings.Contains(page, "<!doctype html>") || !strings.Contains(page, one) {
		t.Errorf("%d, %v: %s", status, err, page)
	}
	var all struct {
		Upstreams, Listeners, Routing []map[string]any
	}
	_, text := r.admin("/status")
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all.Upstreams) != 2 || len(all.Listeners) != 2 || len(all.Routing) != 1 {
		t.Errorf("%v: %s", err, text)
	}
	r.metric("countersign_listener_accepted_total{listener=\"a\"} 1")
	_, text = r.admin("/metrics")
	if !strings.Contains(text, `countersign_lb_requests_total{`) || !strings.Contains(text, `pool="p"`) {
		t.Errorf("no figures of the pool in\n%s", text)
	}
}

func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

// While requests are finished, the port for operators says so.
func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	}))
	defer slow.Close()
	r := run(t, adminPort+"listeners: [{name: a, address: \"127.0.0.1:0\", pool: p}]\npools:\n"+pool("p", strings.TrimPrefix(slow.URL, "http://")))
	got := make(chan string, 1)
	url := r.url("a")
	go func() {
		_, text, err := fetch(url, nil)
		got <- fmt.Sprint(text, err)
	}()
	<-entered
	r.begin()
	await(t, "it is unready", func() bool {
		status, _ := r.admin("/readyz")
		return status == http.StatusServiceUnavailable
	})
	if status, _ := r.admin("/healthz"); status != http.StatusOK || r.process()["state"] != "draining" {
		t.Errorf("got %d, %v", status, r.process())
	}
	close(release)
	if text := <-got; text != "whole<nil>" {
		t.Errorf("got %s", text)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// A document can also be handed over, as `up` does.
func TestText(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log := new(logBook)
	ended := make(chan error, 1)
	text := `{"listeners":[{"name":"a","address":"127.0.0.1:0","pool":"p"}],"pools":{"p":{"targets":[{"url":"127.0.0.1:1"}]}},"log_level":"debug"}`
	go func() {
		ended <- balancer.Run(ctx, balancer.Config{Text: []byte(text), Stderr: log, LogLevel: "error", Now: time.Now})
	}()
	await(t, "it listens", func() bool { return strings.Contains(log.String(), "listening") })
	cancel()
	if err := <-ended; err != nil || strings.Contains(log.String(), "stopped") {
		t.Errorf("%v: the log is %s", err, log)
	}
	if err := balancer.Run(t.Context(), balancer.Config{Text: []byte("{}"), Stderr: log, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "configuration:1") {
		t.Errorf("got %v", err)
	}
}

// A listener of mode tcp passes bytes on, and can become one of mode http and back while it is open.
func TestTCP(t *testing.T) {
	raw, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	go func() {
		for {
			conn, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	doc := func(mode string) string {
		return adminPort + "listeners: [{name: a, address: \"127.0.0.1:0\", mode: " + mode + ", pool: " + mode + "}]\npools:\n" +
			pool("tcp", raw.Addr().String()) + pool("http", upstream(t, "one"))
	}
	r := run(t, doc("tcp"))
	url := r.url("a")
	echoed := func(mode string) {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "bytes of "+mode)
		_ = conn.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != "bytes of "+mode {
			t.Errorf("got %q, %v", got, err)
		}
	}
	echoed("tcp")
	r.change(doc("http"), taken)
	if _, got, err := fetch(url, nil); err != nil || got != "one/" {
		t.Errorf("got %q, %v", got, err)
	}
	r.change(doc("tcp"), taken)
	echoed("tcp")
}
