package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// strongWorld is a server, a gateway and a service that all speak TLS and ask clients for certificates. Gateway and service take bound tokens
// only, and prove who they are by keys.
type strongWorld struct {
	*seeded

	folder    string // has ca.crt
	issuer    string
	authority *authority
	asked     *askedBy // what the service asks the server
	gateway   string   // origins
	service   string
}

// doors are the paths that gateway and service have, with the audience of the tokens that open them.
func doors() map[string]string {
	return map[string]string{
		"/strict/jwt": jwtAPI, "/available/jwt": jwtAPI, "/strict/opaque": opaqueAPI, "/available/opaque": opaqueAPI,
	}
}

// doorsOf are the URLs that take tokens for an audience, by gateway and service, strictly and not.
func (w *strongWorld) doorsOf(audience string) (all []string) {
	for path, opensFor := range doors() {
		if opensFor == audience {
			all = append(all, w.gateway+path+"?of=all", w.service+path+"?of=all")
		}
	}
	return all
}

func newStrongWorld(t *testing.T) *strongWorld {
	t.Helper()
	w := &strongWorld{seeded: newSeeded(t, "sqlite"), folder: t.TempDir()}
	w.authority = newAuthority(t, filepath.Join(w.folder, "ca.crt"))
	w.authority.issue(t, w.path("tls.crt"), w.path("tls.key"), "127.0.0.1")
	address := up.Address(testbed.FreePort(t))
	w.issuer = "https://" + address
	startServer(t, w.Settings("listen="+address, "issuer="+w.issuer, "tls-cert="+w.path("tls.crt"), "tls-key="+w.path("tls.key"),
		"tls-request-client-cert=true", "tls-client-ca="+w.path("ca.crt"))...)
	w.startService(t)
	w.startGateway(t)
	return w
}

func (w *strongWorld) path(name string) string { return filepath.Join(w.folder, name) }

// trusting is a transport that shows a certificate if there is one.
func (w *strongWorld) trusting(shown func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.authority.pool(), MinVersion: tls.VersionTLS12, GetClientCertificate: shown}}
}

// keyedServer makes a client that serves both APIs and has a key, and writes that key.
func (w *strongWorld) keyedServer(t *testing.T, name string) credential {
	t.Helper()
	c := w.strongClient(t, auth.Client{Name: name, AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: publicKeys(t, writeNewKey(t, w.path(name+".pem")))}})
	for _, api := range []string{jwtAPI, opaqueAPI} {
		if _, err := w.Registry.SetServer(t.Context(), w.Actor, w.API(t, api).ID, clientID(t, c), true); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (w *strongWorld) startService(t *testing.T) {
	t.Helper()
	c := w.keyedServer(t, "service")
	w.asked = &askedBy{base: w.trusting(nil), assertions: map[string]int{}, tokens: map[string]int{}}
	verifier, err := sdk.NewVerifier(w.issuer, jwtAPI, sdk.WithCredentials(c.ID, sdk.PrivateKeyFile(w.path("service.pem"))), sdk.WithBoundTokensOnly(),
		sdk.WithHTTPClient(&http.Client{Transport: w.asked}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, verifier) })
	byAudience := map[string]*sdk.Verifier{jwtAPI: verifier, opaqueAPI: verifier.ForAudience(opaqueAPI)}
	mux := http.NewServeMux()
	for path, audience := range doors() {
		policy := sdk.Policy{AllOf: []string{"read"}}
		if strings.HasPrefix(path, "/available") {
			policy.Mode = sdk.Available
		}
		mux.Handle(path, byAudience[audience].HandlerFunc(policy, func(rw http.ResponseWriter, r *http.Request) {
			caller, _ := sdk.FromContext(r.Context())
			_, _ = io.WriteString(rw, caller.ClientID())
		}))
	}
	pair, err := tls.LoadX509KeyPair(w.path("tls.crt"), w.path("tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewUnstartedServer(mux)
	service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	service.StartTLS()
	t.Cleanup(service.Close)
	w.service = service.URL
}

func (w *strongWorld) startGateway(t *testing.T) {
	t.Helper()
	c := w.keyedServer(t, "gateway")
	upstream := startUpstreamProcess(t)
	address, admin := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	g := &gatewayProcess{AdminURL: "http://" + admin, Config: w.path("gateway.yaml")}
	var routes strings.Builder
	for path, audience := range doors() {
		mode, _, _ := strings.Cut(path[1:], "/")
		fmt.Fprintf(&routes, "  - {name: %q, match: {prefix: %q}, authentication: introspect, audience: %q, all_of: [read], mode: %s, pool: echo, token: drop}\n", path[1:], path, audience, mode)
	}
	g.Write(t, fmt.Sprintf("listeners: [{name: entry, address: %q, tls: {certificate: tls.crt, key: tls.key}, client_certificates: request}]\nadmin: {address: %q}\n", address, admin)+
		fmt.Sprintf("issuers: {main: {url: %q, ca: ca.crt, client_id: %s, client_key_file: gateway.pem, sender_constrained: required}}\n", w.issuer, c.ID)+
		fmt.Sprintf("pools: {echo: {targets: [{url: %q}], health: {mode: tcp}}}\nroutes:\n%s", upstream.Addr, &routes))
	g.Start(t)
	w.gateway = "https://" + address
}

// strongClient makes a client without secret that may read and write both APIs.
func (w *strongWorld) strongClient(t *testing.T, c auth.Client) credential {
	t.Helper()
	made, err := w.Registry.CreateClient(t.Context(), w.Actor, c)
	if err != nil {
		t.Fatal(err)
	}
	client := credential{ID: made.ID.String()}
	for _, api := range []string{jwtAPI, opaqueAPI} {
		w.Grant(t, client, api, "read", "write")
	}
	return client
}

// reprove registers what else a client proves itself by.
func (w *strongWorld) reprove(t *testing.T, c credential, change func(*auth.Proofs)) {
	t.Helper()
	_, err := w.Registry.UpdateClient(t.Context(), w.Actor, clientID(t, c), registry.ClientEdit{Match: registry.Any, Change: func(c *auth.Client) error {
		change(&c.Proofs)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// client is an SDK client of the world's server.
func (w *strongWorld) client(t *testing.T, c credential, by sdk.ClientAuth, options ...sdk.ClientOption) *sdk.Client {
	t.Helper()
	client, err := sdk.New(w.issuer, c.ID, by, append(options, sdk.WithHTTPClient(&http.Client{Transport: w.trusting(nil)}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, client) })
	return client
}

// granted returns a token of a client that was just made: servers may have read of the client and not yet of its grants.
func granted(t *testing.T, client *sdk.Client, audience string) (accessToken string) {
	t.Helper()
	testbed.Wait(t, promptly, func() error {
		token, err := client.TokenSource(audience, "read").Token(t.Context())
		if err != nil {
			return err //nolint:wrapcheck // told as it is
		}
		accessToken = token.AccessToken()
		return nil
	})
	return accessToken
}

// visit calls every door with a client's tokens, and expects to be let in as that client.
func (w *strongWorld) visit(t *testing.T, client *sdk.Client, base http.RoundTripper, id string) {
	t.Helper()
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		granted(t, client, audience)
		calls := &http.Client{Transport: client.Transport(base, audience, "read")}
		for _, door := range w.doorsOf(audience) {
			response, err := calls.Get(door)
			if err != nil {
				t.Errorf("%s: %v", door, err)
				continue
			}
			if body := bodyOf(t, response); response.StatusCode != http.StatusOK || !strings.Contains(body, id) {
				t.Errorf("%s: %d %v %s", door, response.StatusCode, response.Header["Www-Authenticate"], body)
			}
		}
	}
}

// askedBy counts requests by path, and how those were admitted that are not public.
type askedBy struct {
	base http.RoundTripper

	mu                 sync.Mutex
	assertions, tokens map[string]int
}

func (a *askedBy) RoundTrip(r *http.Request) (*http.Response, error) {
	byToken := r.Header.Get("Authorization") != ""
	a.mu.Lock()
	if byToken {
		a.tokens[r.URL.Path]++
	} else {
		a.assertions[r.URL.Path]++
	}
	a.mu.Unlock()
	return a.base.RoundTrip(r) //nolint:wrapcheck // it stands in between and changes nothing
}

// count returns how many requests to a path came by either way.
func (a *askedBy) count(path string) (tokens, others int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens[path], a.assertions[path]
}
