package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk/sdktest"
)

const api = "https://inventory.test"

// decode reads a document that may leave out listeners.
func decode(t testing.TB, text string) (*gateway.Document, *document.Source) {
	t.Helper()
	if !strings.Contains(text, "listeners:") {
		text = "listeners: [{name: entry, address: \"127.0.0.1:0\"}]\n" + text
	}
	d := new(gateway.Document)
	source, err := document.Decode("gateway.yaml", []byte(text), d)
	if err != nil {
		t.Fatal(err)
	}
	return d, source
}

// assemble makes a gateway of a document, with verifiers and pools as the program makes them. Where the document has no pools it has
// one, echo, at nobody's address.
func assemble(t testing.TB, text string, change func(*gateway.Config)) (*gateway.Gateway, error) {
	t.Helper()
	if !strings.Contains(text, "pools:") {
		text += "\npools: {echo: {targets: [{url: \"127.0.0.1:1\"}], health: {disabled: true}}}\n"
	}
	d, source := decode(t, text)
	issuers := &gateway.Issuers{}
	prepared, err := issuers.Prepare(d, source)
	if err != nil {
		return nil, err
	}
	prepared.Commit()
	pools := lb.NewPools(lb.PoolsConfig{})
	transports, err := pools.Prepare(d.Pools, source.Errorf)
	if err != nil {
		return nil, err
	}
	transports.Commit()
	t.Cleanup(func() { issuers.Close(); pools.Close() })
	limiter, err := ratelimit.New(ratelimit.Config{})
	if err != nil {
		return nil, err
	}
	config := gateway.Config{Document: d, Source: source, Transports: transports.Transports, Verifiers: prepared.Verifiers, Clients: prepared.Clients, Limiter: limiter}
	if change != nil {
		change(&config)
	}
	return gateway.New(config)
}

func newGateway(t testing.TB, text string) *gateway.Gateway {
	t.Helper()
	g, err := assemble(t, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// world is a gateway under a real server, between clients, an issuer and an upstream that tells what it got.
type world struct {
	URL     string
	issuer  *sdktest.Issuer
	log     *logBook
	metrics *prometheus.Registry
}

// told is what the upstream answers: what it got.
type told struct {
	Method, Path, Query, Host, Body string
	Header                          http.Header
}

// start serves the routes of inventory, with an issuer and a pool. trusted are proxies to believe.
func start(t testing.TB, trusted ...string) *world {
	t.Helper()
	w := &world{issuer: sdktest.Start(t), log: new(logBook), metrics: prometheus.NewRegistry()}
	upstream := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(upstream.Close)
	text := "issuers: {main: {url: " + w.issuer.URL() + ", client_id: " + w.issuer.ClientID() + ", client_secret: " + w.issuer.ClientSecret() + "}}\n" +
		"pools: {echo: {targets: [{url: \"" + upstream.URL + "\"}]}}\n" + inventory
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := assemble(t, text, func(c *gateway.Config) { c.Logger, c.Metrics = logger, gateway.NewMetrics(w.metrics) })
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := httpx.ParseProxies(trusted)
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: logger, Proxies: proxies, Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	server := httptest.NewServer(edge.Wrap(g))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Server", "upstream/1.2.3")
	w.Header().Set("X-Powered-By", "magic")
	w.Header().Set("X-Request-Id", "the-upstream's")
	w.Header().Set("X-Content-Type-Options", "the-upstream's")
	_ = json.NewEncoder(w).Encode(told{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, string(body), r.Header})
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the answer's problem document.
func (a answer) problem(t testing.TB) httpx.Problem {
	t.Helper()
	var p httpx.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status {
		t.Errorf("no problem document: %d %v %s", a.status, a.header, a.body)
	}
	return p
}

// told is what the upstream got.
func (a answer) told(t testing.TB) told {
	t.Helper()
	var got told
	if err := json.Unmarshal([]byte(a.body), &got); a.status != http.StatusOK || err != nil {
		t.Fatalf("not from the upstream: %d %s", a.status, a.body)
	}
	return got
}

// send makes a request. header may be nil.
func (w *world) send(t testing.TB, method, path, body string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// bearing is the header of a request with a token.
func bearing(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// logBook collects log lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await polls until done holds, for what happens after an answer without an event of its own.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	testbed.Wait(t, 10*time.Second, func() error {
		if !done() {
			return errors.New("no " + what)
		}
		return nil
	})
}

func newLog(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewJSONHandler(t.Output(), nil))
}
