package sdkgrpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

// newSource returns a source of tokens for inventory from issuer.
func newSource(t *testing.T, issuer *sdktest.Issuer) *sdk.TokenSource {
	t.Helper()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()),
		sdk.WithHTTPClient(issuer.Client()), sdk.WithMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client.TokenSource(inventory, "inventory:read")
}

// newTLS returns the two sides of a connection by TLS.
func newTLS(t *testing.T) (server, client credentials.TransportCredentials) {
	t.Helper()
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	pool := x509.NewCertPool()
	pool.AddCert(lender.Certificate())
	return credentials.NewServerTLSFromCert(&lender.TLS.Certificates[0]),
		credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12})
}

func TestCredentials(t *testing.T) {
	verifier, issuer := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"*": sdk.RequireScope("inventory:read")})
	source := newSource(t, issuer)
	serverTLS, clientTLS := newTLS(t)

	for _, tt := range []struct {
		name   string
		server grpc.ServerOption
		client credentials.TransportCredentials
		creds  credentials.PerRPCCredentials
		code   codes.Code
	}{
		{name: "TLS", server: grpc.Creds(serverTLS), client: clientTLS, creds: sdkgrpc.Credentials(source)},
		{name: "plain text", server: grpc.EmptyServerOption{}, client: insecure.NewCredentials(), creds: sdkgrpc.Credentials(source), code: codes.Unauthenticated},
		{name: "plain text where it is wanted", server: grpc.EmptyServerOption{}, client: insecure.NewCredentials(), creds: sdkgrpc.InsecureCredentials(source)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := serve(t, newServer(append(guard.ServerOptions(), tt.server)...), grpc.WithTransportCredentials(tt.client))
			got, err := ask(t.Context(), conn, grpc.PerRPCCredentials(tt.creds))
			if status.Code(err) != tt.code || err == nil && got != issuer.ClientID() {
				t.Errorf("unary: %q, %v; want %v", got, err, tt.code)
			}
			got, err = follow(t.Context(), conn, grpc.PerRPCCredentials(tt.creds))
			if status.Code(err) != tt.code || err == nil && got != issuer.ClientID() {
				t.Errorf("stream: %q, %v; want %v", got, err, tt.code)
			}
		})
	}
	if got := issuer.Requests(sdktest.TokenEndpoint); got != 1 {
		t.Errorf("%d tokens were asked for, want 1", got)
	}
	if _, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(sdkgrpc.Credentials(source))); err == nil {
		t.Error("a connection in plain text is made with credentials that forbid it")
	}
}

func TestDialOptions(t *testing.T) {
	verifier, issuer := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"*": sdk.RequireScope("inventory:read").Strict()})
	source := newSource(t, issuer)
	serverTLS, clientTLS := newTLS(t)
	conn := serve(t, newServer(append(guard.ServerOptions(), grpc.Creds(serverTLS))...),
		append(sdkgrpc.DialOptions(source), grpc.WithTransportCredentials(clientTLS))...)
	if got, err := follow(t.Context(), conn); got != issuer.ClientID() || err != nil {
		t.Errorf("stream: %q, %v", got, err)
	}
	first := mustToken(t, source).AccessToken()
	issuer.Revoke(first)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for mustToken(t, source).AccessToken() == first { // until the revocation arrives; no call fails
		if got, err := ask(ctx, conn); got != issuer.ClientID() || err != nil {
			t.Fatalf("unary: %q, %v", got, err)
		}
	}
}

// weak is a connection that says that it is not secret.
type weak struct{ credentials.CommonAuthInfo }

func (weak) AuthType() string { return "weak" }

func TestCredentialsLookAtTheConnectionFirst(t *testing.T) {
	issuer := sdktest.New()
	source := newSource(t, issuer)
	for _, tt := range []struct {
		name  string
		level credentials.SecurityLevel
		ok    bool
	}{
		{"no security", credentials.NoSecurity, false},
		{"integrity only", credentials.IntegrityOnly, false},
		{"privacy and integrity", credentials.PrivacyAndIntegrity, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := issuer.Requests(sdktest.TokenEndpoint)
			ctx := credentials.NewContextWithRequestInfo(t.Context(), credentials.RequestInfo{
				AuthInfo: weak{credentials.CommonAuthInfo{SecurityLevel: tt.level}},
			})
			_, err := sdkgrpc.Credentials(source).GetRequestMetadata(ctx)
			if (err == nil) != tt.ok || err != nil && status.Code(err) != codes.Unauthenticated {
				t.Errorf("%v, want none: %v", err, tt.ok)
			}
			if !tt.ok && issuer.Requests(sdktest.TokenEndpoint) != asked {
				t.Error("a token was asked for that could not be sent")
			}
		})
	}
}

func TestCredentialsWithoutToken(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(*sdktest.Issuer)
		ctx     func(context.Context) context.Context
		code    codes.Code
	}{
		{
			name: "the authorization server refuses", code: codes.Unauthenticated,
			prepare: func(i *sdktest.Issuer) { i.RotateSecret(i.ClientID(), "another") },
		},
		{
			name: "the authorization server is down", code: codes.Unavailable,
			prepare: func(i *sdktest.Issuer) { i.Down(true) },
		},
		{
			name: "the caller gave up", code: codes.Canceled,
			prepare: func(i *sdktest.Issuer) { i.Down(true) },
			ctx: func(ctx context.Context) context.Context {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := sdktest.New()
			tt.prepare(issuer)
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx(ctx)
			}
			_, err := sdkgrpc.InsecureCredentials(newSource(t, issuer)).GetRequestMetadata(ctx)
			if status.Code(err) != tt.code {
				t.Errorf("%v, want %v", err, tt.code)
			}
		})
	}
}

// A call has neither the method nor the URL that a proof is for.
func TestBoundTokensAreRefused(t *testing.T) {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()), sdk.WithDPoP(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	sent, err := sdkgrpc.InsecureCredentials(client.TokenSource(inventory)).GetRequestMetadata(t.Context())
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "DPoP") || sent != nil {
		t.Errorf("got %v", err)
	}
}
