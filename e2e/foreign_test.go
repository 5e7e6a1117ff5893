package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/countersign/countersign/internal/privatefile"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/keys"
)

// foreignWorld is a database for clients that know nothing of Countersign: an API for each algorithm, one with opaque tokens, and
// a caller for either way to send a secret, with scopes "read write" on all of them.
type foreignWorld struct {
	*seeded

	Poster credential                // registered for client_secret_post
	APIs   map[auth.Algorithm]string // identifiers of the APIs with JWTs
	master seal.Key
}

func newForeignWorld(t *testing.T) *foreignWorld {
	t.Helper()
	folder := t.TempDir()
	w := &foreignWorld{
		seeded: seedClients(t, "sqlite:"+filepath.Join(folder, "countersign.db"), filepath.Join(folder, "master.key")),
		APIs:   map[auth.Algorithm]string{auth.ES256: jwtAPI},
	}
	var err error
	if w.master, err = seal.ReadKeyFile(w.MasterKeyFile); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	// A server makes RSA keys soon after its start; the tests do not want to wait for that.
	if err := keys.Ensure(ctx, w.Registry.Store, w.master, time.Now(), auth.Algorithms()...); err != nil {
		t.Fatal(err)
	}
	w.Poster = w.Client(t, "poster", nil, nil)
	w.changeAuthMethod(t, w.Poster, auth.SecretPost)
	for _, algorithm := range auth.Algorithms() {
		if w.APIs[algorithm] == "" {
			made, err := w.Registry.CreateAPI(ctx, w.Actor, auth.API{
				Identifier: "https://" + strings.ToLower(string(algorithm)) + ".test.internal", Name: string(algorithm),
				Algorithm: algorithm, Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.APIs[algorithm] = made.Identifier
			w.grant(t, w.Caller, made.Identifier)
			if _, err := w.Registry.SetServer(ctx, w.Actor, made.ID, clientID(t, w.Server), true); err != nil {
				t.Fatal(err)
			}
		}
		w.grant(t, w.Poster, w.APIs[algorithm])
	}
	w.grant(t, w.Poster, opaqueAPI)
	return w
}

func (w *foreignWorld) changeAuthMethod(t *testing.T, c credential, method auth.Method) {
	t.Helper()
	err := w.Registry.Store.Update(t.Context(), func(tx auth.Tx) error {
		stored, err := tx.Clients().Client(t.Context(), clientID(t, c))
		if err != nil {
			return err
		}
		stored.AuthMethod = method
		return tx.Clients().PutClient(t.Context(), stored)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *foreignWorld) grant(t *testing.T, c credential, identifier string) {
	t.Helper()
	w.Grant(t, c, identifier, "read", "write")
}

func TestForeignClients(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	testForeignClients(t, w, startServer(t, w.Settings()...).Issuer)
}

// An issuer with a path has its metadata at other addresses (RFC 8414 §3.1, OpenID Connect Discovery §4).
func TestForeignClientsOfIssuerWithPath(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	testForeignClients(t, w, startForeignInstance(t, w.seeded, "/tenant", time.Now))
}

func testForeignClients(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	t.Run("x-oauth2", func(t *testing.T) { testOAuth2(t, w, issuer) })
	t.Run("go-oidc", func(t *testing.T) { testOIDC(t, w, issuer) })
	t.Run("node", func(t *testing.T) { testNode(t, w, issuer) })
	t.Run("Authlib", func(t *testing.T) { testPython(t, w, issuer) })
	t.Run("curl", func(t *testing.T) { testCurl(t, w, issuer) })
}

func testOAuth2(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	wrong := credential{ID: w.Caller.ID, Secret: w.Poster.Secret}
	for _, tt := range []struct {
		name     string
		client   credential
		style    oauth2.AuthStyle
		resource string
		scope    string
		status   int // of the error; 0: none
		code     string
	}{
		{name: "basic", client: w.Caller, style: oauth2.AuthStyleInHeader, resource: jwtAPI, scope: "read"},
		{name: "basic, opaque", client: w.Caller, style: oauth2.AuthStyleInHeader, resource: opaqueAPI, scope: "write"},
		{name: "post", client: w.Poster, style: oauth2.AuthStyleInParams, resource: opaqueAPI, scope: "read"},
		{name: "finds out basic", client: w.Caller, style: oauth2.AuthStyleAutoDetect, resource: jwtAPI, scope: "read"},
		{name: "finds out post", client: w.Poster, style: oauth2.AuthStyleAutoDetect, resource: jwtAPI, scope: "read"},
		{name: "wrong secret", client: wrong, style: oauth2.AuthStyleInHeader, resource: jwtAPI, scope: "read", status: 401, code: "invalid_client"},
		{name: "wrong secret, finds out", client: wrong, resource: jwtAPI, scope: "read", status: 401, code: "invalid_client"},
		{name: "method not registered", client: w.Poster, style: oauth2.AuthStyleInHeader, resource: jwtAPI, scope: "read", status: 401, code: "invalid_client"},
		{name: "scope not granted", client: w.Caller, style: oauth2.AuthStyleInHeader, resource: jwtAPI, scope: "admin", status: 400, code: "invalid_scope"},
		{name: "unknown resource", client: w.Caller, style: oauth2.AuthStyleInHeader, resource: "https://nowhere.test.internal", scope: "read", status: 400, code: "invalid_target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := clientcredentials.Config{
				ClientID: tt.client.ID, ClientSecret: tt.client.Secret, TokenURL: issuer + "/oauth2/token", AuthStyle: tt.style,
				Scopes: []string{tt.scope}, EndpointParams: url.Values{"resource": {tt.resource}},
			}
			got, err := config.Token(t.Context())
			if tt.status != 0 {
				var refused *oauth2.RetrieveError
				if !errors.As(err, &refused) || refused.Response.StatusCode != tt.status || refused.ErrorCode != tt.code ||
					refused.ErrorDescription == "" || refused.ErrorURI == "" {
					t.Fatalf("got %v, want %d %s", err, tt.status, tt.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(got.Expiry); !got.Valid() || got.Type() != "Bearer" || got.Extra("scope") != tt.scope || left > time.Hour || left < 59*time.Minute {
				t.Errorf("got %s, %v, expires in %v", got.Type(), got.Extra("scope"), left)
			}
			if found := introspect(t, issuer, w.Server, got.AccessToken); found.Text("client_id") != tt.client.ID || found.Text("aud") != tt.resource {
				t.Errorf("introspection says %s", found.Body)
			}
		})
	}
}

func testOIDC(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("another issuer", func(t *testing.T) {
		other := strings.Replace(issuer, "127.0.0.1", "localhost", 1)
		_, err := oidc.NewProvider(ctx, other)
		if mismatch := (*oidc.IssuerMismatchError)(nil); !errors.As(err, &mismatch) {
			t.Errorf("%s as %s: got %v", issuer, other, err)
		}
	})
	for algorithm, audience := range w.APIs {
		t.Run(string(algorithm), func(t *testing.T) {
			config := clientcredentials.Config{
				ClientID: w.Caller.ID, ClientSecret: w.Caller.Secret, TokenURL: provider.Endpoint().TokenURL,
				EndpointParams: url.Values{"resource": {audience}},
			}
			got, err := config.Token(ctx)
			if err != nil {
				t.Fatal(err)
			}
			verify := func(c oidc.Config) (*oidc.IDToken, error) {
				c.SupportedSigningAlgs = []string{string(algorithm)}
				return provider.VerifierContext(ctx, &c).Verify(ctx, got.AccessToken)
			}
			verified, err := verify(oidc.Config{ClientID: audience})
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				Client string `json:"client_id"`
				Scope  string `json:"scope"`
				ID     string `json:"jti"`
			}
			if err := verified.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if verified.Subject != w.Caller.ID || claims.Client != w.Caller.ID || claims.Scope != "read write" || claims.ID == "" {
				t.Errorf("got %s, %+v", verified.Subject, claims)
			}
			if _, err := verify(oidc.Config{SkipClientIDCheck: true}); err != nil {
				t.Error(err)
			}
			if _, err := verify(oidc.Config{ClientID: opaqueAPI}); err == nil {
				t.Error("a token for another audience is accepted")
			}
			if _, err := verify(oidc.Config{ClientID: audience, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}); err == nil {
				t.Error("an expired token is accepted")
			}
		})
	}
}

// A verifier that got its keys before a rotation goes on verifying what the old key signed, and what the new one signs.
func TestForeignVerifierFollowsRotation(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	issuer := startForeignInstance(t, w.seeded, "", now)
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: jwtAPI, SupportedSigningAlgs: []string{"ES256"}, Now: now})
	verify := func(presented string) {
		t.Helper()
		if _, err := verifier.Verify(ctx, presented); err != nil {
			t.Fatal(err)
		}
	}
	before := token(t, issuer, w.Caller, nil)
	verify(before)

	const signsIn = keys.MinPublishAhead + time.Minute // the token from before lives longer
	next, err := keys.Rotate(ctx, w.Registry.Store, w.master, keys.Rotation{
		Algorithm: auth.ES256, ActiveAt: time.Now().Add(signsIn), Actor: w.Actor, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, startWithin, func() error {
		got, err := get(ctx, issuer+"/oauth2/jwks")
		if err == nil && !bytes.Contains(got.Body, []byte(next.ID.String())) {
			err = errors.New("the next key is not published")
		}
		return err
	})
	if kid := keyOf(t, token(t, issuer, w.Caller, nil)); kid == next.ID.String() {
		t.Errorf("%s signs before its time", kid)
	}
	ahead.Store(int64(signsIn))
	after := token(t, issuer, w.Caller, nil)
	if kid := keyOf(t, after); kid != next.ID.String() {
		t.Errorf("%s signs, want %s", kid, next.ID)
	}
	verify(after)
	verify(before)
}

// keyOf returns the `kid` of a JWT.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	return jwtPart(t, token, 0)["kid"].(string)
}

// startForeignInstance runs a server in this process, by this clock, until the test ends. It returns the issuer, which has this
// path.
func startForeignInstance(t *testing.T, s *seeded, path string, now func() time.Time) string {
	t.Helper()
	settings := instance.DefaultSettings()
	settings.Listen, settings.AdminListen = up.Address(testbed.FreePort(t)), "127.0.0.1:0"
	settings.Issuer = "http://" + settings.Listen + path
	settings.Database, settings.MasterKeyFile = s.Database, s.MasterKeyFile
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- instance.Run(ctx, instance.Config{
			Settings: settings, Version: testVersion, Logger: slog.New(slog.DiscardHandler), Now: now,
			DatabaseClock: func(context.Context) (time.Time, error) { return now(), nil }, // it moves along
			Listening:     func(net.Addr, net.Addr) { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the instance ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the instance ended: %v", err)
	}
	return settings.Issuer
}

func testNode(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	folder := testbed.NPMInstall(t, "foreign")
	for _, library := range []string{"oauth4webapi", "openid-client", "jose"} {
		t.Run(library, func(t *testing.T) {
			script := exec.CommandContext(t.Context(), "node", library+".mjs")
			script.Dir = folder
			runScript(t, script, w.describe(issuer))
		})
	}
}

func testPython(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	runScript(t, authlib(t, "authlib_session.py"), w.describe(issuer))
}

// authlib is a script that uses Authlib.
func authlib(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	script := exec.CommandContext(t.Context(), pythonWithAuthlib(t), "-B", filepath.Join("foreign", name))
	script.Env = append(os.Environ(), "AUTHLIB_INSECURE_TRANSPORT=1", "NO_PROXY=127.0.0.1") // the issuer is on loopback
	return script
}

// pythonWithAuthlib returns the first Python that has Authlib: Debian's packages are for its own Python, which need not be the first.
func pythonWithAuthlib(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import authlib.integrations.requests_client").Run() == nil {
			return python
		}
	}
	t.Fatal("no Python has Authlib and requests; scripts/prerequisites installs them")
	return ""
}

// describe is the world as scripts read it.
func (w *foreignWorld) describe(issuer string) map[string]any {
	client := func(c credential) map[string]string { return map[string]string{"id": c.ID, "secret": c.Secret} }
	return map[string]any{
		"issuer": issuer, "apis": w.APIs, "opaque": opaqueAPI,
		"caller": client(w.Caller), "poster": client(w.Poster), "server": client(w.Server), "stranger": client(w.Stranger),
	}
}

// runScript runs a script that reads the world and prints its checks, each of which becomes a test.
func runScript(t *testing.T, script *exec.Cmd, world map[string]any) {
	t.Helper()
	text, err := json.Marshal(world)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	script.Stdin, script.Stderr = bytes.NewReader(text), &stderr
	printed, err := script.Output()
	lines := bufio.NewScanner(bytes.NewReader(printed))
	checks := 0
	for lines.Scan() {
		var line struct {
			Check string  `json:"check"`
			Error *string `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		checks++
		t.Run(line.Check, func(t *testing.T) {
			if line.Error != nil {
				t.Error(*line.Error)
			}
		})
	}
	if err := errors.Join(err, lines.Err()); err != nil || checks == 0 {
		t.Fatalf("%d checks, then %v\n%s", checks, err, &stderr)
	}
}

// The lines are those that `up` prints, with the same files for -K.
func testCurl(t *testing.T, w *foreignWorld, issuer string) {
	t.Helper()
	folder := t.TempDir()
	file := func(name string, c credential) string {
		path := filepath.Join(folder, name)
		if err := privatefile.Write(path, fmt.Appendf(nil, "user = \"%s:%s\"\n", c.ID, c.Secret)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caller, server := file("caller", w.Caller), file("server", w.Server)
	curl := func(args ...string) map[string]any {
		printed, err := exec.CommandContext(t.Context(), "curl", append([]string{"-s", "--noproxy", "*"}, args...)...).Output()
		var got map[string]any
		if err := errors.Join(err, json.Unmarshal(printed, &got)); err != nil {
			t.Fatalf("curl %v: %v: %s", args, err, printed)
		}
		return got
	}
	got := curl("-K", caller, "-d", "grant_type=client_credentials", "--data-urlencode", "resource="+opaqueAPI, issuer+"/oauth2/token")
	presented, _ := got["access_token"].(string)
	if found := curl("-K", server, "-d", "token="+presented, issuer+"/oauth2/introspect"); found["active"] != true || found["client_id"] != w.Caller.ID {
		t.Errorf("introspection says %v", found)
	}
	if refused := curl("-K", server, "-d", "grant_type=password", issuer+"/oauth2/token"); refused["error"] != "unsupported_grant_type" {
		t.Errorf("got %v", refused)
	}
}

// What is fetched is pinned by its hash; where from is the reader's own setting.
func TestForeignLockFileNamesNoHost(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"foreign", "openapi"} {
		text, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Resolved, Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatal(err)
		}
		for name, locked := range lock.Packages {
			if locked.Resolved != "" || name != "" && locked.Integrity == "" {
				t.Errorf("%s: %s: resolved %q, integrity %q", folder, name, locked.Resolved, locked.Integrity)
			}
		}
		if len(lock.Packages) < 2 {
			t.Errorf("the lock file of %s pins nothing: %s", folder, text)
		}
	}
}

// jwtPart returns the header (0) or the claims (1) of a JWT, unverified.
func jwtPart(t *testing.T, token string, part int) (members map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want a JWT", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		t.Fatal(err)
	}
	return members
}
