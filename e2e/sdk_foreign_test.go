package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/manage"
	foreign "github.com/go-oauth2/oauth2/v4/server"
	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
)

// foreignLifetime is how long tokens of the foreign issuers live.
const foreignLifetime = 5 * time.Minute

// The clients of the foreign issuers.
func foreignCaller() credential { return credential{ID: "caller", Secret: "secret-of-the-caller"} }
func foreignServer() credential { return credential{ID: "server", Secret: "secret-of-the-server"} }

// The SDK works unchanged with authorization servers that know nothing of Countersign: without a revocation feed, a token store, or
// anything but the standards.
func TestSDKWithForeignIssuers(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{"go-oauth2": startGoOAuth2, "oidc-provider": startOIDCProvider} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := start(t)
			for _, api := range []string{jwtAPI, opaqueAPI} {
				for _, mode := range []sdk.Mode{sdk.Available, sdk.Strict} {
					if name == "oidc-provider" && api == jwtAPI && mode == sdk.Strict {
						continue // it refuses to introspect JWTs, so nobody can say whether one was revoked
					}
					t.Run(api+" "+mode.String(), func(t *testing.T) { testForeignIssuer(t, issuer, api, mode) })
				}
			}
		})
	}
}

func testForeignIssuer(t *testing.T, issuer, api string, mode sdk.Mode) {
	t.Helper()
	client := newSDKClient(t, issuer, foreignCaller())
	verifier := newSDKVerifier(t, issuer, api, foreignServer())
	policy := sdk.Policy{Mode: mode, AllOf: []string{"read"}}
	items := httptest.NewServer(verifier.Middleware(policy)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := sdk.FromContext(r.Context())
		_, _ = w.Write([]byte(who.ClientID()))
	})))
	t.Cleanup(items.Close)

	for range 3 { // at first sight, and from memory
		response, err := client.HTTPClient(api, "read").Get(items.URL)
		if err != nil {
			t.Fatal(err)
		}
		if got := bodyOf(t, response); response.StatusCode != http.StatusOK || got != foreignCaller().ID {
			t.Fatalf("%s %q", response.Status, got)
		}
	}
	token, err := client.TokenSource(api, "read").Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.Expires()); left < foreignLifetime-time.Minute || left > foreignLifetime {
		t.Errorf("the token lives for %v", left)
	}
	who, err := verifier.Verify(t.Context(), token.AccessToken(), policy)
	if err != nil || who.ClientID() != foreignCaller().ID || who.Issuer() != issuer || !slices.Equal(who.Scopes(), []string{"read"}) || !slices.Contains(who.Audience(), api) {
		t.Errorf("%v, %v", who, err)
	}
	for want, presented := range map[error]func() (string, sdk.Policy){
		sdk.ErrInsufficientScope: func() (string, sdk.Policy) {
			return token.AccessToken(), sdk.Policy{Mode: mode, AllOf: []string{"write"}}
		},
		sdk.ErrInvalidToken: func() (string, sdk.Policy) {
			text := []byte(token.AccessToken())
			text[len(text)/2] ^= 1
			return string(text), policy
		},
	} {
		text, asked := presented()
		if who, err := verifier.Verify(t.Context(), text, asked); !errors.Is(err, want) {
			t.Errorf("%v, %v; want %v", who, err, want)
		}
	}
	elsewhere := newSDKVerifier(t, issuer, "https://elsewhere.test.internal", foreignServer())
	if who, err := elsewhere.Verify(t.Context(), token.AccessToken(), policy); !errors.Is(err, sdk.ErrInvalidToken) {
		t.Errorf("for another audience: %v, %v", who, err)
	}
	if _, err := client.TokenSource("https://unknown.test.internal").Token(t.Context()); err == nil {
		t.Error("a token for a resource that nobody knows")
	}
}

// startGoOAuth2 runs a go-oauth2 server with what it lacks: metadata, introspection, a key set, and tokens of RFC 9068.
func startGoOAuth2(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &goOAuth2{key: key, issued: map[string]jwt.MapClaims{}}
	manager := manage.NewDefaultManager()
	manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: foreignLifetime})
	manager.MapClientStorage(foreignClients{foreignCaller().ID: foreignCaller().Secret, foreignServer().ID: foreignServer().Secret})
	manager.MapTokenStorage(foreignTokens{})
	manager.MapAccessGenerate(s)
	engine := foreign.NewDefaultServer(manager)
	engine.SetClientInfoHandler(foreign.ClientBasicHandler)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.metadata()) })
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.keys()) })
	mux.HandleFunc("POST /introspect", s.introspect)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if resource := r.PostFormValue("resource"); resource != jwtAPI && resource != opaqueAPI {
			w.WriteHeader(http.StatusBadRequest)
			s.answer(w, map[string]any{"error": "invalid_target"})
			return
		}
		_ = engine.HandleTokenRequest(w, r) // it has answered
	})
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	s.issuer = listener.URL
	return s.issuer
}

// goOAuth2 is what a go-oauth2 server is completed with.
type goOAuth2 struct {
	issuer string
	key    *ecdsa.PrivateKey

	mu     sync.Mutex
	issued map[string]jwt.MapClaims // by token
}

func (s *goOAuth2) answer(w http.ResponseWriter, members map[string]any) {
	_ = json.NewEncoder(w).Encode(members) // who has gone cannot be told
}

func (s *goOAuth2) metadata() map[string]any {
	return map[string]any{
		"issuer": s.issuer, "token_endpoint": s.issuer + "/token", "jwks_uri": s.issuer + "/keys",
		"introspection_endpoint": s.issuer + "/introspect", "response_types_supported": []string{"none"},
	}
}

func (s *goOAuth2) keys() map[string]any {
	public, err := s.key.PublicKey.Bytes()
	if err != nil {
		panic(err) // a key of our own
	}
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "kid": "first", "use": "sig", "alg": "ES256", "x": encode(public[1:33]), "y": encode(public[33:]),
	}}}
}

// Token implements oauth2.AccessGenerate: it makes a JWT or an opaque token, whichever the resource takes.
func (s *goOAuth2) Token(_ context.Context, data *oauth2.GenerateBasic, _ bool) (access, refresh string, err error) {
	resource := data.Request.PostFormValue("resource")
	claims := jwt.MapClaims{
		"iss": s.issuer, "sub": data.Client.GetID(), "client_id": data.Client.GetID(), "aud": resource, "jti": rand.Text(),
		"scope": data.TokenInfo.GetScope(), "iat": data.CreateAt.Unix(), "exp": data.CreateAt.Add(data.TokenInfo.GetAccessExpiresIn()).Unix(),
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["typ"], token.Header["kid"] = "at+jwt", "first"
	if access, err = token.SignedString(s.key); resource == opaqueAPI {
		access = rand.Text()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued[access] = claims
	return access, "", err
}

func (s *goOAuth2) introspect(w http.ResponseWriter, r *http.Request) {
	if id, secret, ok := r.BasicAuth(); !ok || id != foreignServer().ID || secret != foreignServer().Secret {
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	members := map[string]any{"active": false}
	if claims, found := s.issued[r.PostFormValue("token")]; found {
		members = maps.Clone(map[string]any(claims))
		members["active"], members["token_type"] = true, "Bearer"
	}
	s.answer(w, members)
}

// startOIDCProvider runs the oidc-provider of the folder of that name.
func startOIDCProvider(t *testing.T) string {
	t.Helper()
	server := exec.CommandContext(t.Context(), "node", "server.mjs")
	server.Dir = testbed.NPMInstall(t, "oidcprovider")
	world, err := json.Marshal(map[string]any{
		"clients":   []map[string]string{{"id": foreignCaller().ID, "secret": foreignCaller().Secret}, {"id": foreignServer().ID, "secret": foreignServer().Secret}},
		"resources": map[string]string{jwtAPI: "jwt", opaqueAPI: "opaque"}, "lifetime": foreignLifetime.Seconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // and then it ends
		if err := server.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("oidc-provider: %v", err)
		}
	})
	if _, err := in.Write(append(world, '\n')); err != nil {
		t.Fatal(err)
	}
	issuer, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("oidc-provider says %q: %v", issuer, err)
	}
	return strings.TrimSpace(issuer)
}
