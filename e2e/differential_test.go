package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/generates"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	foreign "github.com/go-oauth2/oauth2/v4/server"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

// foreignClients are the clients of the foreign server, by id.
type foreignClients map[string]string

func (c foreignClients) GetByID(_ context.Context, id string) (oauth2.ClientInfo, error) {
	secret, found := c[id]
	if !found {
		return nil, errors.New("not found") // what its own in-memory store says
	}
	return &models.Client{ID: id, Secret: secret}, nil
}

// foreignTokens keeps nothing: the foreign server has no endpoint that would look.
type foreignTokens struct{ oauth2.TokenStore }

func (foreignTokens) Create(context.Context, oauth2.TokenInfo) error { return nil }

// startForeignIssuer runs a go-oauth2 server that takes the secret either way. With no generator its tokens are opaque.
func startForeignIssuer(t *testing.T, generator oauth2.AccessGenerate, clients ...credential) string {
	t.Helper()
	known := foreignClients{}
	for _, c := range clients {
		known[c.ID] = c.Secret
	}
	manager := manage.NewDefaultManager()
	manager.MapClientStorage(known)
	manager.MapTokenStorage(foreignTokens{})
	if generator != nil {
		manager.MapAccessGenerate(generator)
	}
	server := foreign.NewDefaultServer(manager)
	server.SetClientInfoHandler(func(r *http.Request) (id, secret string, err error) {
		if r.Header.Get("Authorization") != "" {
			return foreign.ClientBasicHandler(r)
		}
		return foreign.ClientFormHandler(r)
	})
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = server.HandleTokenRequest(w, r) // it has answered
	}))
	t.Cleanup(listener.Close)
	return listener.URL
}

// newES256 returns what makes the foreign server's tokens JWTs.
func newES256(t *testing.T) oauth2.AccessGenerate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return generates.NewJWTAccessGenerate("key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), jwt.SigningMethodES256)
}

// tokenRequest is a request that goes to both servers. Everything but the endpoint is in it.
type tokenRequest struct {
	Method  string // POST unless set
	Query   string
	Basic   credential // as is, unless Escaped
	Escaped bool       // every byte of the credentials is percent-encoded
	Type    string     // application/x-www-form-urlencoded unless set
	Body    string
}

func (r tokenRequest) send(t *testing.T, endpoint string) answer {
	t.Helper()
	if r.Query != "" {
		endpoint += "?" + r.Query
	}
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, endpoint, strings.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.Type != "" {
		request.Header.Set("Content-Type", r.Type)
	}
	if r.Basic != (credential{}) {
		id, secret := r.Basic.ID, r.Basic.Secret
		if r.Escaped {
			id, secret = escapeAll(id), escapeAll(secret)
		}
		request.SetBasicAuth(id, secret)
	}
	got, err := do(request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func escapeAll(text string) string {
	const digits = "0123456789ABCDEF"
	escaped := make([]byte, 0, 3*len(text))
	for _, c := range []byte(text) {
		escaped = append(escaped, '%', digits[c>>4], digits[c&15])
	}
	return string(escaped)
}

// issued is what RFC 6749 §5.1 fixes of an answer with a token.
type issued struct {
	Status    int
	MediaType string
	NoStore   bool
	TokenType string   // in lower case: it is case-insensitive (§7.1)
	Integer   bool     // expires_in is an integer over 0
	Token     bool     // access_token is a string that is not empty
	Scope     []string // granted; what was asked for if the answer says nothing (§5.1)
	Refresh   bool     // there is a refresh token, which there should not be (§4.4.3)
}

func issuedOf(got answer, asked string) issued {
	scope := asked
	if granted, named := got.JSON["scope"].(string); named {
		scope = granted
	}
	_, refresh := got.JSON["refresh_token"]
	scopes := strings.Fields(scope)
	slices.Sort(scopes)
	return issued{
		Status: got.Status, MediaType: mediaType(got), NoStore: noStore(got), TokenType: strings.ToLower(got.Text("token_type")),
		Integer: positiveInteger(got.Body), Token: got.Text("access_token") != "", Scope: slices.Compact(scopes), Refresh: refresh,
	}
}

func mediaType(got answer) string {
	parsed, _, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	return parsed
}

func noStore(got answer) bool { return strings.Contains(got.Header.Get("Cache-Control"), "no-store") }

func positiveInteger(body []byte) bool {
	var members struct {
		Seconds *int64 `json:"expires_in"`
	}
	return json.Unmarshal(body, &members) == nil && members.Seconds != nil && *members.Seconds > 0
}

func TestDifferentialTokens(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	ours := startServer(t, w.Settings()...).Issuer + "/oauth2/token"
	for format, servers := range map[string]struct{ resource, theirs string }{
		"opaque": {opaqueAPI, startForeignIssuer(t, nil, w.Caller, w.Poster)},
		"jwt":    {jwtAPI, startForeignIssuer(t, newES256(t), w.Caller, w.Poster)},
	} {
		form := "grant_type=client_credentials&resource=" + url.QueryEscape(servers.resource)
		for _, tt := range []struct {
			name    string
			scope   string // asked for
			request tokenRequest
		}{
			{"one scope", "read", tokenRequest{Basic: w.Caller, Body: form + "&scope=read"}},
			{"two scopes", "read write", tokenRequest{Basic: w.Caller, Body: form + "&scope=read+write"}},
			{"two scopes, %20", "read write", tokenRequest{Basic: w.Caller, Body: form + "&scope=write%20read"}},
			{"a scope twice", "read", tokenRequest{Basic: w.Caller, Body: form + "&scope=read+read"}},
			{"secret in the body", "read", tokenRequest{
				Body: form + "&scope=read&client_id=" + w.Poster.ID + "&client_secret=" + w.Poster.Secret,
			}},
			{"unknown parameter", "read", tokenRequest{Basic: w.Caller, Body: form + "&scope=read&later=1"}},
			{"charset", "read", tokenRequest{Basic: w.Caller, Body: form + "&scope=read", Type: "application/x-www-form-urlencoded; charset=UTF-8"}},
			{"type in capitals", "read", tokenRequest{Basic: w.Caller, Body: form + "&scope=read", Type: "Application/X-WWW-Form-Urlencoded"}},
		} {
			t.Run(format+" "+tt.name, func(t *testing.T) {
				want := issued{
					Status: http.StatusOK, MediaType: "application/json", NoStore: true, TokenType: "bearer", Integer: true, Token: true,
					Scope: strings.Fields(tt.scope),
				}
				tokens := map[string]bool{}
				for name, endpoint := range map[string]string{"ours": ours, "theirs": servers.theirs} {
					for range 2 {
						got := tt.request.send(t, endpoint)
						if diff := cmp.Diff(want, issuedOf(got, tt.scope)); diff != "" {
							t.Errorf("%s: %s\n%s", name, diff, got.Body)
						}
						tokens[got.Text("access_token")] = true
					}
				}
				if len(tokens) != 4 {
					t.Errorf("%d different tokens, want 4", len(tokens))
				}
			})
		}
	}
}

// refusal is what RFC 6749 §5.2 fixes of an answer without a token.
type refusal struct {
	Status    int
	Code      string
	Challenge bool // WWW-Authenticate names Basic
}

func refusalOf(got answer) refusal {
	return refusal{got.Status, got.Text("error"), strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ")}
}

// Where the foreign server does not do what the RFC says, the table says what it does and what is wrong with it, so that the test
// tells when that changes.
func TestDifferentialRefusals(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	ours := startServer(t, w.Settings()...).Issuer + "/oauth2/token"
	theirs := startForeignIssuer(t, nil, w.Caller, w.Poster)
	const form = "grant_type=client_credentials"
	wrong := credential{ID: w.Caller.ID, Secret: w.Poster.Secret}
	unknown := credential{ID: strings.Replace(w.Caller.ID, "cl_", "cl_0", 1), Secret: w.Caller.Secret}
	for _, tt := range []struct {
		name      string
		request   tokenRequest
		want      refusal
		deviation *refusal // of the foreign server; nil: none
		reason    string
	}{
		{
			name: "A02 wrong secret", request: tokenRequest{Basic: wrong, Body: form}, want: refusal{401, "invalid_client", true},
			deviation: &refusal{401, "invalid_client", false}, reason: "no WWW-Authenticate (§5.2)",
		},
		{
			name: "A03 unknown client", request: tokenRequest{Basic: unknown, Body: form}, want: refusal{401, "invalid_client", true},
			deviation: &refusal{500, "server_error", false}, reason: "its store's error is taken for a failure",
		},
		{
			name: "wrong secret in the body", want: refusal{401, "invalid_client", true},
			request:   tokenRequest{Body: form + "&client_id=" + w.Poster.ID + "&client_secret=" + w.Caller.Secret},
			deviation: &refusal{401, "invalid_client", false}, reason: "no WWW-Authenticate on a 401 (RFC 9110 §15.5.2)",
		},
		{
			name: "A04 no authentication", request: tokenRequest{Body: form}, want: refusal{401, "invalid_client", true},
			deviation: &refusal{401, "invalid_client", false}, reason: "no WWW-Authenticate on a 401 (RFC 9110 §15.5.2)",
		},
		{
			name: "A08 credentials form-url-encoded", request: tokenRequest{Basic: w.Caller, Escaped: true, Body: form}, want: refusal{200, "", false},
			deviation: &refusal{500, "server_error", false}, reason: "it does not decode them (§2.3.1)",
		},
		{
			name: "T06 scope that is not granted", request: tokenRequest{Basic: w.Caller, Body: form + "&scope=admin"}, want: refusal{400, "invalid_scope", false},
			deviation: &refusal{200, "", false}, reason: "it grants any scope (§5.2)",
		},
		{
			name: "T13 no grant type", request: tokenRequest{Basic: w.Caller, Body: "scope=read"}, want: refusal{400, "invalid_request", false},
			deviation: &refusal{401, "unsupported_grant_type", false}, reason: "a missing parameter is invalid_request (§5.2)",
		},
		{
			name: "T15 grant type password", request: tokenRequest{Basic: w.Caller, Body: "grant_type=password"}, want: refusal{400, "unsupported_grant_type", false},
			deviation: &refusal{400, "invalid_request", false}, reason: "it supports the grant (RFC 9700 §2.4)",
		},
		{
			name: "unknown grant type", request: tokenRequest{Basic: w.Caller, Body: "grant_type=other"}, want: refusal{400, "unsupported_grant_type", false},
			deviation: &refusal{401, "unsupported_grant_type", false}, reason: "401 is for failed authentication (§5.2)",
		},
		{
			name: "T18 parameter twice", request: tokenRequest{Basic: w.Caller, Body: form + "&" + form}, want: refusal{400, "invalid_request", false},
			deviation: &refusal{200, "", false}, reason: "it takes the first (§3.2)",
		},
		{
			name: "T23 parameters in the query", request: tokenRequest{Basic: w.Caller, Query: form}, want: refusal{400, "invalid_request", false},
			deviation: &refusal{200, "", false}, reason: "it reads the query (§3.2)",
		},
		{
			name: "T09 GET", request: tokenRequest{Method: http.MethodGet, Basic: w.Caller, Query: form}, want: refusal{405, "invalid_request", false},
			deviation: &refusal{400, "invalid_request", false}, reason: "a method that is not allowed is 405 (RFC 9110 §15.5.6)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.request.send(t, ours)
			if diff := cmp.Diff(tt.want, refusalOf(got)); diff != "" {
				t.Errorf("ours: %s\n%s", diff, got.Body)
			}
			checkErrorForm(t, "ours", got)
			want := tt.want
			if tt.deviation != nil {
				want = *tt.deviation
			}
			if got = tt.request.send(t, theirs); refusalOf(got) != want {
				t.Errorf("theirs: got %+v, want %+v (%s)\n%s", refusalOf(got), want, tt.reason, got.Body)
			}
			checkErrorForm(t, "theirs", got)
		})
	}
}

// checkErrorForm checks what both servers keep of every answer.
func checkErrorForm(t *testing.T, whose string, got answer) {
	t.Helper()
	if mediaType(got) != "application/json" || !noStore(got) {
		t.Errorf("%s: %v", whose, got.Header)
	}
}

// RFC 9068 §2 and the foreign server differ in nearly everything; only what it has must be in ours as well.
func TestDifferentialClaims(t *testing.T) {
	t.Parallel()
	w := newForeignWorld(t)
	form := tokenRequest{Basic: w.Caller, Body: "grant_type=client_credentials&scope=read"}
	for _, tt := range []struct {
		name, endpoint string
		typ            string
		audience       any
		claims         []string
	}{
		{
			"ours", startServer(t, w.Settings()...).Issuer + "/oauth2/token", "at+jwt", jwtAPI,
			[]string{"aud", "client_id", "cs_rev", "cs_sec", "exp", "iat", "iss", "jti", "scope", "sub"},
		},
		{"theirs: known to say less", startForeignIssuer(t, newES256(t), w.Caller), "JWT", []any{w.Caller.ID}, []string{"aud", "exp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := form.send(t, tt.endpoint).Text("access_token")
			header, claims := jwtPart(t, got, 0), jwtPart(t, got, 1)
			if diff := cmp.Diff(tt.claims, slices.Sorted(maps.Keys(claims))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.audience, claims["aud"]); diff != "" || header["typ"] != tt.typ || header["alg"] != "ES256" {
				t.Errorf("%s\n%v", diff, header)
			}
		})
	}
}
