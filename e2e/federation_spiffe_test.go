package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
)

// spiffeWorld is a server with TLS, which asks for certificates, and clients that are workloads of a trust domain.
type spiffeWorld struct {
	*seeded

	spire  *spire
	server *serverProcess
	agent  *workloadapi.Client
	http   *http.Client // believes the server
	tokens workload     // by spiffe_jwt
	certs  workload     // by spiffe_x509
}

func startSPIFFE(t *testing.T, kind string, atEndpoint bool) *spiffeWorld {
	t.Helper()
	w := &spiffeWorld{seeded: newSeeded(t, kind), spire: newSpire(t, "example.org")}
	trust := auth.Trust{Kind: auth.SPIFFEIssuer, Algorithms: []string{"ES256"}, JWKSURI: w.spire.endpoint.URL, Replay: auth.Reusable}
	if !atEndpoint {
		text, err := w.spire.bundle.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		trust.JWKS, trust.JWKSURI = text, ""
	}
	trusted := w.Trust(t, auth.TrustedIssuer{Name: "mesh", Issuer: "spiffe://example.org", Trust: trust})
	w.tokens = w.Workload(t, "by token", auth.SPIFFEJWT, ruleOf(trusted, equals("spiffe://example.org/ns/shop/sa/orders", "sub")))
	w.certs = w.Workload(t, "by certificate", auth.SPIFFEX509, ruleOf(trusted, begins("spiffe://example.org/ns/shop/", "sub")))
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "server.pem"), filepath.Join(folder, "server.key")
	writePair(t, certificate, key, "localhost")
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	w.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	address := up.Address(testbed.FreePort(t))
	_, port, _ := net.SplitHostPort(address)
	settings := append(believing(t), "failure-limit=0", "issuer=https://localhost:"+port, "listen="+address, "tls-cert="+certificate, "tls-key="+key, "tls-request-client-cert=true")
	w.server = startServer(t, w.Settings(settings...)...)
	w.agent = w.spire.Agent(t)
	return w
}

// byToken asks for a token as the workload does that the agent attests, by the SDK and a JWT-SVID of the Workload API.
func (w *spiffeWorld) byToken(t *testing.T, api string) error {
	t.Helper()
	return w.ask(t, w.tokens, api, sdk.SPIFFEFunc(func(ctx context.Context, audience string) (string, error) {
		svid, err := w.agent.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
		if err != nil {
			return "", err
		}
		return svid.Marshal(), nil
	}))
}

// byCertificate is byToken by an X.509-SVID.
func (w *spiffeWorld) byCertificate(t *testing.T, api string) error {
	t.Helper()
	svid, err := w.agent.FetchX509SVID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := &tls.Certificate{PrivateKey: svid.PrivateKey}
	for _, one := range svid.Certificates {
		shown.Certificate = append(shown.Certificate, one.Raw)
	}
	return w.ask(t, w.certs, api, sdk.ClientCertificateFunc(func(context.Context) (*tls.Certificate, error) { return shown, nil }))
}

func (w *spiffeWorld) ask(t *testing.T, c workload, api string, by sdk.ClientAuth) error {
	t.Helper()
	client, err := sdk.New(w.server.Issuer, c.ID, by, sdk.WithHTTPClient(w.http), sdk.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, client)
	_, err = client.TokenSource(api).Token(t.Context())
	return err
}

// unknownTo expects that the server does not know the client.
func unknownTo(t *testing.T, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*sdk.TokenError](err); !ok || refused.Code != "invalid_client" {
		t.Errorf("got %v, want invalid_client", err)
	}
}

// Workloads of a SPIFFE trust domain are clients by their JWT-SVIDs and X.509-SVIDs, which go-spiffe gets from a Workload API.
func TestSPIFFEWorkloads(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := startSPIFFE(t, kind, true)
			t.Run("M03 metadata", w.metadata)
			t.Run("the workload", w.isClient)
			t.Run("other workloads", w.others)
			t.Run("another trust domain", w.anotherDomain)
			t.Run("rotated bundle", w.rotates)
		})
	}
}

func (w *spiffeWorld) isClient(t *testing.T) {
	for range 2 { // an SVID is for more than one use
		for _, api := range []string{jwtAPI, opaqueAPI} {
			if err := errors.Join(w.byToken(t, api), w.byCertificate(t, api)); err != nil {
				t.Error(err)
			}
		}
	}
}

// metadata names the methods by which the draft knows them, and no name that is nobody's but ours.
func (w *spiffeWorld) metadata(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.Issuer+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := doBy(w.http, request)
	if err != nil {
		t.Fatal(err)
	}
	methods, _ := got.JSON["token_endpoint_auth_methods_supported"].([]any)
	want := []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "spiffe_jwt", "spiffe_x509"}
	if !slices.Equal(methods, want) {
		t.Errorf("methods %v, want %v", methods, want)
	}
}

func (w *spiffeWorld) others(t *testing.T) {
	defer w.spire.Become("/ns/shop/sa/orders")
	w.spire.Become("/ns/shop/sa/orders-2")
	unknownTo(t, w.byToken(t, jwtAPI))
	if err := w.byCertificate(t, jwtAPI); err != nil { // whose rule is for all of the shop
		t.Error(err)
	}
	for _, path := range []string{"/ns/shop", "/ns/shop-2/sa/orders", "/ns/bank/sa/orders"} {
		w.spire.Become(path)
		unknownTo(t, w.byToken(t, jwtAPI))
		unknownTo(t, w.byCertificate(t, jwtAPI))
	}
}

// anotherDomain signs for itself, and for workloads of this one.
func (w *spiffeWorld) anotherDomain(t *testing.T) {
	ours, agent := w.spire, w.agent
	defer func() { w.spire, w.agent = ours, agent }()
	for _, domain := range []string{"example.com", "example.org"} {
		w.spire = newSpire(t, domain)
		w.agent = w.spire.Agent(t)
		unknownTo(t, w.byToken(t, jwtAPI))
		unknownTo(t, w.byCertificate(t, jwtAPI))
	}
}

// rotates: keys and authorities that the bundle has anew are known as soon as the server may ask for it.
func (w *spiffeWorld) rotates(t *testing.T) {
	w.spire.RotateTokens(t, "2")
	w.spire.RotateAuthority(t)
	soon(t, func() error { return w.byToken(t, jwtAPI) })
	soon(t, func() error { return w.byCertificate(t, jwtAPI) })
}

// A bundle that was registered as it is needs no endpoint.
func TestSPIFFEBundleAsItIs(t *testing.T) {
	t.Parallel()
	w := startSPIFFE(t, "sqlite", false)
	w.spire.endpoint.Close()
	if err := errors.Join(w.byToken(t, jwtAPI), w.byCertificate(t, jwtAPI)); err != nil {
		t.Error(err)
	}
	w.spire.RotateTokens(t, "2")
	w.spire.RotateAuthority(t)
	unknownTo(t, w.byToken(t, jwtAPI))
	unknownTo(t, w.byCertificate(t, jwtAPI))
}
