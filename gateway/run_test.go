package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/sdk/sdktest"
)

// process is a gateway as the program runs it.
type process struct {
	url, admin string
	path       string // of its document
	log        *logBook
	reload     chan os.Signal
	stop       func() error
}

// run serves a document, to which a listener and an admin port are added.
func run(t *testing.T, text string) *process {
	t.Helper()
	p := &process{path: filepath.Join(t.TempDir(), "gateway.yaml"), log: new(logBook), reload: make(chan os.Signal)}
	p.write(t, text)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan []listeners.Status, 1), make(chan error, 1)
	go func() {
		ended <- gateway.Run(ctx, gateway.RunConfig{
			Path: p.path, Reload: p.reload, Stderr: p.log, Environ: os.Environ(), Version: "test", Now: time.Now,
			Listening: func(all []listeners.Status) { ready <- all },
		})
	}()
	p.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	select {
	case all := <-ready:
		for _, l := range all {
			if l.Name == "admin" {
				p.admin = "http://" + l.Address
			} else {
				p.url = "http://" + l.Address
			}
		}
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return p
}

func (p *process) write(t *testing.T, text string) {
	t.Helper()
	text = "listeners: [{name: entry, address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\n" + text
	if err := os.WriteFile(p.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// change writes another document and waits until the log speaks of it.
func (p *process) change(t *testing.T, text, says string) {
	t.Helper()
	before := strings.Count(p.log.String(), says)
	p.write(t, text)
	select {
	case p.reload <- syscall.SIGHUP:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody takes the signal")
	}
	await(t, "word of the configuration", func() bool { return strings.Count(p.log.String(), says) > before })
}

func fetch(address string, header http.Header) (int, string, error) {
	r, err := http.NewRequest(http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	maps.Copy(r.Header, header)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func named(name string, seen *atomic.Int64) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		_, _ = io.WriteString(w, name)
	}))
}

// A changed document takes effect without a request lost, a wrong one changes nothing, and what goes on keeps what it knows.
func TestReload(t *testing.T) {
	issuer := sdktest.Start(t)
	var first, second atomic.Int64
	one, two := named("one", &first), named("two", &second)
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	doc := func(upstream *httptest.Server, scope string) string {
		return fmt.Sprintf("issuers: {main: {url: %s, client_id: %s, client_secret: %s}}\npools: {p: {targets: [{url: %q}], health: {disabled: true}}}\n"+
			"routes: [{name: r, match: {prefix: /}, authentication: introspect, audience: %q, all_of: [%s], pool: p}]",
			issuer.URL(), issuer.ClientID(), issuer.ClientSecret(), upstream.URL, api, scope)
	}
	p := run(t, doc(one, "a"))
	header := bearing(issuer.MintOpaque(sdktest.Claims{Audience: []string{api}, Scopes: []string{"a", "b"}}))

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var failed atomic.Int64
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				if status, text, err := fetch(p.url, header); err != nil || status != http.StatusOK {
					failed.Add(1)
					t.Errorf("%d %s %v", status, text, err)
					return
				}
			}
		})
	}
	await(t, "load", func() bool { return first.Load() > 100 })
	p.change(t, doc(two, "a"), "configuration reloaded")
	await(t, "requests at the other upstream", func() bool { return second.Load() > 100 })
	p.change(t, strings.Replace(doc(one, "a"), "pool: p}", "pool: q}", 1), `\"q\" is not in pools: p`)
	refused := func() bool {
		_, text, err := fetch(p.admin+"/status?format=json", nil)
		return err == nil && strings.Contains(text, `"refused": "`)
	}
	await(t, "refusal on the status page", refused)
	p.change(t, doc(one, "b"), "configuration reloaded")
	if refused() {
		t.Error("the status page still shows a refusal")
	}
	n := first.Load()
	await(t, "requests at the first upstream", func() bool { return first.Load() > n+100 })
	cancel()
	load.Wait()
	if n := issuer.Requests(sdktest.IntrospectionEndpoint); n != 1 {
		t.Errorf("%d introspections, want 1: the verifier was to go on", n)
	}
	_, metrics, err := fetch(p.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`countersign_config_reloads_total{result="success"} 2`, `countersign_config_reloads_total{result="failure"} 1`, "countersign_config_last_reload_success 1",
		`countersign_gateway_tokens_total{by="introspection",issuer="main"} 1`, `countersign_gateway_lease_seconds{issuer="main"}`,
		`countersign_gateway_requests_total{code="2xx",route="r"}`, `countersign_gateway_decisions_total{outcome="accepted",route="r"}`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func TestProbes(t *testing.T) {
	issuer := sdktest.Start(t)
	issuer.Down(true)
	p := run(t, fmt.Sprintf("issuers: {main: {url: %s, client_id: %s, client_secret: %s, timeout: 200ms}}\npools: {p: {targets: [{url: \"127.0.0.1:1\"}], health: {disabled: true}}}\n"+
		"routes: [{name: r, match: {prefix: /}, authentication: jwt, audience: %q, pool: p}]", issuer.URL(), issuer.ClientID(), issuer.ClientSecret(), api))
	expect := func(path string, want int) {
		t.Helper()
		if status, text, err := fetch(p.admin+path, nil); err != nil || status != want {
			t.Errorf("%s: %d %s %v, want %d", path, status, text, err, want)
		}
	}
	expect("/healthz", 200)
	expect("/readyz", 503)
	status, text, err := fetch(p.url, bearing(issuer.Token(api)))
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(text, `"code":"unavailable"`) {
		t.Errorf("%d %s %v", status, text, err)
	}
	issuer.Down(false)
	await(t, "readiness", func() bool {
		status, _, err := fetch(p.admin+"/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	issuer.Down(true)
	expect("/readyz", 200) // routes know what to do when an issuer is down
	if status, text, err := fetch(p.url, bearing(issuer.Token(api))); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(text, "no upstream can be reached") {
		t.Errorf("%d %s %v", status, text, err)
	}
}

func TestRunRefusesToStart(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nonsense", "routes: 7", "gateway.yaml:3: routes"},
		{"no routes", "pools: {}", "routes"},
		{"port taken", "", "address already in use"},
		{"certificate missing", "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const rest = "pools: {p: {targets: [{url: \"127.0.0.1:1\"}]}}\nroutes: [{name: r, match: {prefix: /}, authentication: none, pool: p}]\n"
			path := filepath.Join(t.TempDir(), "gateway.yaml")
			text := "listeners: [{name: entry, address: \"127.0.0.1:0\"}]\n\n" + tt.text
			switch tt.name {
			case "port taken":
				other := httptest.NewServer(http.NotFoundHandler())
				defer other.Close()
				text = "listeners: [{name: entry, address: \"" + strings.TrimPrefix(other.URL, "http://") + "\"}]\n" + rest
			case "certificate missing":
				text = "listeners: [{name: entry, address: \"127.0.0.1:0\", tls: {certificate: " + path + ".crt, key: x}}]\n" + rest
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := gateway.Run(t.Context(), gateway.RunConfig{Path: path, Stderr: io.Discard, Now: time.Now})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			err = gateway.Check(path)
			if taken := tt.name == "port taken"; taken != (err == nil) {
				t.Errorf("check: %v", err)
			}
		})
	}
	if err := gateway.Check(filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
