package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// upstreamVariable has the test binary be an upstream at the address that it holds, so that there is a process to kill.
const upstreamVariable = "COUNTERSIGN_TEST_UPSTREAM"

// serveAsUpstream answers every request with the id of its process and the path.
func serveAsUpstream(address string) error {
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d %s %s", os.Getpid(), r.Header.Get("X-Client-Id"), r.URL.Path)
	})}
	return server.ListenAndServe()
}

// upstreamProcess is an upstream that can be killed.
type upstreamProcess struct {
	*program

	Addr string
}

func startUpstreamProcess(t *testing.T) *upstreamProcess {
	t.Helper()
	return startUpstreamAt(t, up.Address(testbed.FreePort(t)))
}

// startUpstreamAt is startUpstreamProcess for a known address.
func startUpstreamAt(t *testing.T, address string) *upstreamProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	u := &upstreamProcess{startCommand(t, t.TempDir(), []string{upstreamVariable + "=" + address}, exec.Command(self)), address}
	testbed.Wait(t, startWithin, func() error {
		_, err := get(t.Context(), "http://"+address)
		return err
	})
	return u
}

// gatewayProcess is a `countersign gateway`.
type gatewayProcess struct {
	*program

	URL, AdminURL string
	Config        string // its file
}

// startGateway runs a gateway with these parts of a document, to which listener and admin port are added, and returns when it is ready.
func startGateway(t *testing.T, document string) *gatewayProcess {
	t.Helper()
	address, admin := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	g := &gatewayProcess{URL: "http://" + address, AdminURL: "http://" + admin, Config: filepath.Join(t.TempDir(), "gateway.yaml")}
	g.Write(t, fmt.Sprintf("listeners: [{name: entry, address: %q}]\nadmin: {address: %q}\n%s", address, admin, document))
	g.Start(t)
	return g
}

// Write changes the configuration.
func (g *gatewayProcess) Write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start runs the gateway, again after Stop, and waits until it is ready.
func (g *gatewayProcess) Start(t *testing.T) {
	t.Helper()
	g.program = startProgram(t, filepath.Dir(g.Config), nil, "gateway", "--config", g.Config)
	testbed.Wait(t, startWithin, func() error {
		got, err := get(t.Context(), g.AdminURL+"/readyz")
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("not ready: %d %s", got.Status, got.Body)
		}
		return err
	})
}

// Stop ends the gateway as an operator does.
func (g *gatewayProcess) Stop(t *testing.T) {
	t.Helper()
	g.Signal(t, syscall.SIGTERM)
	if code := g.Exit(t, endWithin); code != 0 {
		t.Errorf("the gateway ended with exit code %d", code)
	}
}

// issuerPart is the part of a document that names an issuer, and as whom the gateway asks it.
func issuerPart(issuer string, c credential) string {
	return fmt.Sprintf("issuers: {main: {url: %q, client_id: %s, client_secret: %s}}\n", issuer, c.ID, c.Secret)
}

// call makes a request with a token.
func call(ctx context.Context, method, address, token string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return do(request)
}

// Every auth server is down: known tokens go on by the mode of their route, and everything else gets the verdict that DESIGN and
// docs/gateway.md promise.
func TestGatewayWithoutAuthServers(t *testing.T) {
	t.Parallel()
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings()...)
	upstream := startUpstreamProcess(t)
	const route = "  - {name: %s, match: {prefix: %q}, authentication: introspect, audience: %q, all_of: [read], mode: %s, pool: echo}\n"
	gateway := startGateway(t, issuerPart(server.Issuer, seeded.Operator)+
		"pools: {echo: {targets: [{url: \""+upstream.Addr+"\"}], health: {mode: tcp}}}\nroutes:\n"+
		fmt.Sprintf(route, "jwt", "/jwt", jwtAPI, "available")+fmt.Sprintf(route, "jwt-strict", "/strict/jwt", jwtAPI, "strict")+
		fmt.Sprintf(route, "opaque", "/opaque", opaqueAPI, "available")+fmt.Sprintf(route, "opaque-strict", "/strict/opaque", opaqueAPI, "strict"))
	jwt, opaque := token(t, server.URL, seeded.Caller, asking(jwtAPI, "read")), token(t, server.URL, seeded.Caller, asking(opaqueAPI, "read"))
	unseenJWT, unseenOpaque := token(t, server.URL, seeded.Caller, asking(jwtAPI, "read")), token(t, server.URL, seeded.Caller, asking(opaqueAPI, "read"))
	forged := unseenJWT[:strings.LastIndexByte(unseenJWT, '.')+1] + jwt[strings.LastIndexByte(jwt, '.')+1:]
	expect := func(when, path, token string, want int) {
		t.Helper()
		got, err := call(t.Context(), http.MethodGet, gateway.URL+path, token)
		if err != nil || got.Status != want || want == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" ||
			want == http.StatusUnauthorized && !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s, %s: %d %v %s %v, want %d", when, path, got.Status, got.Header, got.Body, err, want)
		}
	}
	for path, token := range map[string]string{"/jwt": jwt, "/strict/jwt": jwt, "/opaque": opaque, "/strict/opaque": opaque} {
		expect("before", path, token, http.StatusOK)
	}
	server.Kill(t)
	for _, path := range []string{"/strict/jwt", "/strict/opaque"} { // until the lease ends
		testbed.Wait(t, startWithin, func() error {
			got, err := call(t.Context(), http.MethodGet, gateway.URL+path, map[bool]string{true: jwt, false: opaque}[path == "/strict/jwt"])
			if err == nil && got.Status != http.StatusServiceUnavailable {
				err = fmt.Errorf("%s: %d", path, got.Status)
			}
			return err
		})
	}
	for _, tt := range []struct {
		path, token string
		want        int
	}{
		{"/jwt", jwt, 200},
		{"/opaque", opaque, 200},
		{"/jwt", unseenJWT, 200},
		{"/strict/jwt", unseenJWT, 503},
		{"/opaque", unseenOpaque, 503},
		{"/strict/opaque", unseenOpaque, 503},
		{"/jwt", forged, 401},
		{"/opaque", jwt, 401}, // another audience
		{"/strict/jwt", forged, 401},
	} {
		expect("while it is down", tt.path, tt.token, tt.want)
	}
	server.Start(t)
	testbed.Wait(t, startWithin, func() error {
		got, err := call(t.Context(), http.MethodGet, gateway.URL+"/strict/opaque", unseenOpaque)
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return err
	})
}

// One of two upstreams is killed under load.
func TestGatewayLosesAnUpstream(t *testing.T) {
	t.Parallel()
	doomed, other := startUpstreamProcess(t), startUpstreamProcess(t)
	gateway := startGateway(t, fmt.Sprintf("pools: {echo: {targets: [{url: %q}, {url: %q}], health: {mode: tcp}}}\n"+
		"routes: [{name: open, match: {prefix: /}, authentication: none, pool: echo}]\naccess_log: {disabled: true}\n", doomed.Addr, other.Addr))
	load := startTraffic(t, gateway.URL+"/")
	load.await(t, 500)
	doomed.Signal(t, syscall.SIGKILL)
	doomed.Exit(t, endWithin)
	killed := time.Now()
	load.await(t, load.count()+500)
	testbed.Wait(t, healWithin, func() error { return upstreamDown(t.Context(), gateway.AdminURL, doomed.Addr) })
	t.Logf("out of use after %v", time.Since(killed).Round(time.Millisecond))
	load.await(t, 10_000)
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
}

// upstreamDown returns nil if the metrics say that the upstream is not used.
func upstreamDown(ctx context.Context, admin, address string) error {
	got, err := get(ctx, admin+"/metrics")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(got.Body)) {
		if strings.HasPrefix(line, "countersign_lb_upstream_up{") && strings.Contains(line, address) && strings.HasSuffix(strings.TrimSpace(line), " 0") {
			return nil
		}
	}
	return fmt.Errorf("%s is still in use", address)
}

// Two gateways count together by Redis, and an opaque token is found in the token store before anybody is asked.
func TestGatewaysShareRedis(t *testing.T) {
	t.Parallel()
	redis := testbed.Redis(t).URL()
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings("token-store="+redis, "token-store-direct=true")...)
	upstream := startUpstreamProcess(t)
	document := strings.Replace(issuerPart(server.Issuer, seeded.Operator), "}}", fmt.Sprintf(", token_store: {redis: %q, apis: {%q: %s}}}}", redis, opaqueAPI, seeded.API(t, opaqueAPI).ID), 1) +
		fmt.Sprintf("pools: {echo: {targets: [{url: %q}], health: {mode: tcp}}}\nrate_limit: {redis: %q}\nroutes:\n"+
			"  - {name: limited, match: {prefix: /}, authentication: introspect, audience: %q, pool: echo, rate_limit: {requests: 1, per: 1h, burst: 5}}\n", upstream.Addr, redis, opaqueAPI)
	gateways := []*gatewayProcess{startGateway(t, document), startGateway(t, document)}
	bearer := token(t, server.URL, seeded.Caller, asking(opaqueAPI, "read"))
	statuses := map[int]int{}
	for n := range 20 {
		got, err := call(t.Context(), http.MethodGet, gateways[n%2].URL, bearer)
		if err != nil {
			t.Fatal(err)
		}
		statuses[got.Status]++
		if got.Status == http.StatusTooManyRequests && got.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if statuses[http.StatusOK] != 5 || statuses[http.StatusTooManyRequests] != 15 {
		t.Errorf("%v, want five let in", statuses)
	}
	for _, g := range gateways {
		got, err := get(t.Context(), g.AdminURL+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{`countersign_gateway_tokens_total{by="introspection",issuer="main"} 0`, `countersign_gateway_tokens_total{by="token_store",issuer="main"} 1`, "countersign_gateway_ratelimit_fallbacks_total 0"} {
			if !strings.Contains(string(got.Body), line) {
				t.Errorf("the metrics lack %s", line)
			}
		}
	}
}

// The gateway takes tokens of an authorization server that knows nothing of Countersign.
func TestGatewayWithForeignIssuer(t *testing.T) {
	t.Parallel()
	issuer, upstream := startGoOAuth2(t), startUpstreamProcess(t)
	const route = "  - {name: %s-%s, match: {prefix: /%[1]s/%[2]s}, authentication: introspect, audience: %q, all_of: [read], mode: %[2]s, pool: echo}\n"
	gateway := startGateway(t, issuerPart(issuer, foreignServer())+fmt.Sprintf("pools: {echo: {targets: [{url: %q}], health: {mode: tcp}}}\nroutes:\n", upstream.Addr)+
		fmt.Sprintf(route, "jwt", "available", jwtAPI)+fmt.Sprintf(route, "jwt", "strict", jwtAPI)+
		fmt.Sprintf(route, "opaque", "available", opaqueAPI)+fmt.Sprintf(route, "opaque", "strict", opaqueAPI))
	client := newSDKClient(t, issuer, foreignCaller())
	for kind, api := range map[string]string{"jwt": jwtAPI, "opaque": opaqueAPI} {
		good, err := client.TokenSource(api, "read").Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		other, err := client.TokenSource(api, "write").Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{"available", "strict"} {
			for _, tt := range []struct {
				token string
				want  int
			}{{good.AccessToken(), 200}, {good.AccessToken(), 200}, {other.AccessToken(), 403}, {"", 401}, {"x" + good.AccessToken(), 401}} {
				got, err := call(t.Context(), http.MethodGet, gateway.URL+"/"+kind+"/"+mode, tt.token)
				if err != nil || got.Status != tt.want || tt.want == http.StatusOK && !strings.Contains(string(got.Body), " "+foreignCaller().ID+" ") {
					t.Errorf("%s, %s: %d %s %v, want %d", kind, mode, got.Status, got.Body, err, tt.want)
				}
			}
		}
	}
}
