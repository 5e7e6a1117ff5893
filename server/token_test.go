package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

const grant = "grant_type=client_credentials"

// refusal is what an error answer must be.
type refusal struct {
	status int
	code   string
}

// refused checks an error answer of RFC 6749 §5.2: T37, T38 and the rest that holds for all of them.
func refused(t *testing.T, got answer, want ...refusal) {
	t.Helper()
	if !slices.ContainsFunc(want, func(r refusal) bool { return got.status == r.status && got.member(t, "error") == r.code }) {
		t.Errorf("got %d %s, want one of %v", got.status, got.body, want)
	}
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", got.header)
	}
	description, _ := got.member(t, "error_description").(string)
	if !regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]+$`).MatchString(description) {
		t.Errorf("error_description: %q", description)
	}
	if got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	if got.member(t, "access_token") != nil || got.member(t, "active") != nil {
		t.Errorf("an error with a verdict: %s", got.body)
	}
}

func accepted(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusOK || got.member(t, "access_token") == nil {
		t.Fatalf("got %d %s", got.status, got.body)
	}
}

func TestTokenAnswer(t *testing.T) {
	w := newWorld(t)
	token := func(form string) answer { return w.post("/oauth2/token", form, basic(w.caller)) }
	t.Run("T01 client credentials", func(t *testing.T) {
		got := token(grant)
		accepted(t, got)
		var members map[string]any
		if err := json.Unmarshal([]byte(got.body), &members); err != nil {
			t.Fatal(err)
		}
		if len(members) != 4 || members["token_type"] != "Bearer" || members["expires_in"] != 60.0 || members["scope"] != "read write" {
			t.Errorf("got %s", got.body)
		}
	})
	t.Run("T02 T03 headers", func(t *testing.T) {
		got := token(grant).header
		if got.Get("Cache-Control") != "no-store" || got.Get("Pragma") != "no-cache" || got.Get("Content-Type") != "application/json" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("H10 no version, no sniffing", func(t *testing.T) {
		got := token(grant).header
		if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Server") != "" || got.Get("X-Powered-By") != "" {
			t.Errorf("got %v", got)
		}
	})
	for _, tt := range []struct{ name, scope, want string }{
		{"T04 some", "&scope=read", "read"},
		{"T05 none asked", "", "read write"},
		{"T08 order and repetition", "&scope=write+read+read", "read write"},
		{"T08 spaces", "&scope=++write++", "write"},
		{"T22 empty", "&scope=", "read write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := token(grant + tt.scope)
			accepted(t, got)
			if scope := got.member(t, "scope"); scope != tt.want {
				t.Errorf("got %v, want %s", scope, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, form string }{
		{"T20 unknown parameter", grant + "&colour=blue"},
		{"empty parts", "&&" + grant + "&&"},
		{"parameter without value", grant + "&scope"},
		{"lower and upper case escapes", "grant_type=client%5fcredential%73&scope=r%65a%64"},
		{"R01 resource", grant + "&resource=" + url.QueryEscape(eddsaAPI)},
		{"same resource twice", grant + "&resource=" + url.QueryEscape(eddsaAPI) + "&resource=" + url.QueryEscape(eddsaAPI)},
	} {
		t.Run(tt.name, func(t *testing.T) { accepted(t, token(tt.form)) })
	}
}

func TestTokenRefusals(t *testing.T) {
	w := newWorld(t)
	invalid := refusal{400, "invalid_request"}
	media := refusal{415, "invalid_request"}
	large := refusal{413, "invalid_request"}
	for _, tt := range []struct {
		name string
		form string
		path string
		with []change
		want refusal
	}{
		{name: "T06 scope outside the grant", form: grant + "&scope=read+delete", want: refusal{400, "invalid_scope"}},
		{name: "T06 unknown scope", form: grant + "&scope=nothing", want: refusal{400, "invalid_scope"}},
		{name: "T07 scope with a quote", form: grant + "&scope=re%22ad", want: refusal{400, "invalid_scope"}},
		{name: "T07 scope with a backslash", form: grant + "&scope=re%5Cad", want: refusal{400, "invalid_scope"}},
		{name: "T07 scope with a control character", form: grant + "&scope=read%0Awrite", want: refusal{400, "invalid_scope"}},
		{name: "T13 no grant type", form: "scope=read", want: invalid},
		{name: "T13 nothing at all", form: "", want: invalid},
		{name: "T14 empty grant type", form: "grant_type=", want: invalid},
		{name: "T15 password", form: "grant_type=password&username=a&password=b", want: refusal{400, "unsupported_grant_type"}},
		{name: "T16 case", form: "grant_type=Client_Credentials", want: refusal{400, "unsupported_grant_type"}},
		{name: "T16 space", form: "grant_type=client_credentials+", want: refusal{400, "unsupported_grant_type"}},
		{name: "T18 grant type twice", form: grant + "&" + grant, want: invalid},
		{name: "T18 grant type twice, one in disguise", form: grant + "&grant%5Ftype=password", want: invalid},
		{name: "T19 scope twice", form: grant + "&scope=read&scope=write", want: invalid},
		{name: "T19 scope twice, one empty", form: grant + "&scope=read&scope=", want: invalid},
		{name: "T21 unknown twice", form: grant + "&a=1&a=2", want: invalid},
		{name: "T23 only in the query", path: "?" + grant, form: "", want: invalid},
		{name: "T24 in query and body", path: "?" + grant, form: grant, want: invalid},
		{name: "T25 secret in the query", path: "?client_id=a&client_secret=b", form: grant, want: invalid},
		{name: "bare question mark", path: "?", form: grant, want: invalid},
		{name: "T26 JSON", form: `{"grant_type":"client_credentials"}`, with: []change{with("Content-Type", "application/json")}, want: media},
		{name: "T27 multipart", form: "--b\r\n\r\n--b--", with: []change{with("Content-Type", "multipart/form-data; boundary=b")}, want: media},
		{name: "T30 no content type", form: grant, with: []change{without("Content-Type")}, want: media},
		{name: "two content types", form: grant, with: []change{with("Content-Type", "application/x-www-form-urlencoded", "text/plain")}, want: media},
		{name: "other charset", form: grant, with: []change{with("Content-Type", "application/x-www-form-urlencoded; charset=utf-16")}, want: media},
		{name: "T31 bad percent", form: grant + "&scope=%zz", want: invalid},
		{name: "T31 percent at the end", form: grant + "&scope=%2", want: invalid},
		{name: "T32 NUL in scope", form: grant + "&scope=a%00b", want: refusal{400, "invalid_scope"}},
		{name: "NUL elsewhere", form: grant + "&a=a%00b", want: invalid},
		{name: "NUL in a name", form: grant + "&a%00=b", want: invalid},
		{name: "no name", form: grant + "&=b", want: invalid},
		{name: "T33 not UTF-8", form: grant + "&a=%ff%fe", want: invalid},
		{name: "T33 raw bytes that are not UTF-8", form: grant + "&a=\xff\xfe", want: invalid},
		{name: "T34 two MiB", form: grant + "&a=" + strings.Repeat("a", 2<<20), want: large},
		{name: "T35 many parameters", form: grant + manyParameters(), want: large},
		{name: "T35 many short parameters", form: grant + strings.Repeat("&resource=", 150), want: large},
		{name: "T36 gzip", form: grant, with: []change{with("Content-Encoding", "gzip")}, want: media},
		{name: "R02 relative resource", form: grant + "&resource=jwt.test", want: refusal{400, "invalid_target"}},
		{name: "R03 resource with a fragment", form: grant + "&resource=https%3A%2F%2Fjwt.test%23a", want: refusal{400, "invalid_target"}},
		{name: "R04 unknown resource", form: grant + "&resource=https%3A%2F%2Fother.test", want: refusal{400, "invalid_target"}},
		{name: "R04 resource that is not granted", form: grant + "&resource=urn%3Acountersign%3Aserver", want: refusal{400, "invalid_target"}},
		{name: "R04 path below a resource", form: grant + "&resource=https%3A%2F%2Fjwt.test%2Fbelow", want: refusal{400, "invalid_target"}},
		{name: "R05 two resources", form: grant + "&resource=https%3A%2F%2Fjwt.test&resource=https%3A%2F%2Fopaque.test", want: refusal{400, "invalid_target"}},
		{name: "R06 scope of another resource", form: grant + "&resource=https%3A%2F%2Fjwt.test&scope=introspect%3Aall", want: refusal{400, "invalid_scope"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			got := w.post("/oauth2/token"+tt.path, tt.form, append([]change{basic(w.caller)}, tt.with...)...)
			refused(t, got, tt.want)
			if took := time.Since(began); took > 3*time.Second { // a hundredth of that, on a machine that does nothing else
				t.Errorf("took %s", took)
			}
			golden(t, got)
		})
	}
	t.Run("R04 no default resource", func(t *testing.T) {
		got := w.post("/oauth2/token", grant, basic(w.stranger))
		refused(t, got, refusal{400, "invalid_target"})
		golden(t, got)
	})
	t.Run("T34 two MiB, of unknown length", func(t *testing.T) {
		got := w.post("/oauth2/token", "", basic(w.caller), func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(io.LimitReader(endless{}, 2<<20))
		})
		refused(t, got, large)
	})
}

func manyParameters() string {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "&%x", i)
	}
	return text.String()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestTokenContentTypes(t *testing.T) {
	w := newWorld(t)
	for name, value := range map[string]string{
		"T28 charset":                "application/x-www-form-urlencoded; charset=UTF-8",
		"T28 charset without space":  "application/x-www-form-urlencoded;charset=utf-8",
		"T29 mixed case":             "Application/X-WWW-Form-URLencoded",
		"another parameter, ignored": "application/x-www-form-urlencoded; q=1",
	} {
		t.Run(name, func(t *testing.T) {
			accepted(t, w.post("/oauth2/token", grant, basic(w.caller), with("Content-Type", value)))
		})
	}
	t.Run("chunked", func(t *testing.T) {
		accepted(t, w.post("/oauth2/token", "", basic(w.caller), func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(grant))
		}))
	})
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ name, method, path, allow string }{
		{"T09 token by GET", "GET", "/oauth2/token?grant_type=client_credentials", "POST"},
		{"T10 token by HEAD", "HEAD", "/oauth2/token", "POST"},
		{"T11 token by OPTIONS", "OPTIONS", "/oauth2/token", "POST"},
		{"T12 token by PUT", "PUT", "/oauth2/token", "POST"},
		{"T12 token by DELETE", "DELETE", "/oauth2/token", "POST"},
		{"T12 token by PATCH", "PATCH", "/oauth2/token", "POST"},
		{"H08 token by TRACE", "TRACE", "/oauth2/token", "POST"},
		{"I11 introspection by GET", "GET", "/oauth2/introspect?token=a", "POST"},
		{"V09 revocation by GET", "GET", "/oauth2/revoke?token=a", "POST"},
		{"M11 metadata by POST", "POST", "/.well-known/oauth-authorization-server", "GET, HEAD"},
		{"M11 keys by POST", "POST", "/oauth2/jwks", "GET, HEAD"},
		{"feed by PUT", "PUT", "/oauth2/revocations", "POST, GET, HEAD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.send(tt.method, tt.path, "", basic(w.caller))
			if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != tt.allow || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("got %d %v", got.status, got.header)
			}
			if tt.method != "HEAD" {
				refused(t, got, refusal{405, "invalid_request"})
				golden(t, got)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"//oauth2/token", "/oauth2//token", "/oauth2/token/", "/oauth2/%74oken", "/./oauth2/token", "/oauth2/./token",
		"/x/../oauth2/token", "/oauth2%2Ftoken", "/OAuth2/token", "/oauth2/token;a=b", "/oauth2/token%00", "/", "/oauth2",
	} {
		t.Run("H07 "+path, func(t *testing.T) {
			got := w.post("", grant, basic(w.caller), func(r *http.Request) {
				address, err := url.Parse(w.public.URL)
				w.check(err)
				r.URL = &url.URL{Scheme: "http", Host: address.Host, Opaque: "//" + address.Host + path}
			})
			refused(t, got, refusal{404, "invalid_request"})
		})
	}
	t.Run("not found", func(t *testing.T) { golden(t, w.send(http.MethodGet, "/nothing", "")) })
}

// What a failure of the database makes of a token request: never a verdict, always an invitation to come again.
func TestTokenWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	for name, err := range map[string]error{
		"unavailable": fault.New(fault.Unavailable, "the database is gone"),
		"lost commit": auth.ErrOutcomeUnknown,
	} {
		t.Run(name, func(t *testing.T) {
			w.ledger.fail(err)
			defer w.ledger.fail(nil)
			for _, api := range []string{jwtAPI, opaqueAPI} {
				got := w.post("/oauth2/token", grant+"&resource="+url.QueryEscape(api), basic(w.caller))
				refused(t, got, refusal{503, "temporarily_unavailable"})
				if got.header.Get("Retry-After") == "" {
					t.Errorf("no Retry-After: %v", got.header)
				}
				golden(t, got)
			}
		})
	}
	t.Run("T40 something nobody foresaw", func(t *testing.T) {
		w.ledger.fail(errors.New("panic at /usr/src/secret.go:12"))
		defer w.ledger.fail(nil)
		got := w.post("/oauth2/token", grant, basic(w.caller))
		refused(t, got, refusal{500, "server_error"})
		if strings.Contains(got.body, "secret.go") {
			t.Errorf("got %s", got.body)
		}
		if strings.Count(w.log.String(), "secret.go") != 1 {
			t.Error("the cause is not logged once")
		}
		golden(t, got)
	})
	t.Run("an unknown client that cannot be looked up is not refused", func(t *testing.T) {
		w.directory.failing.Store(true)
		defer w.directory.failing.Store(false)
		unknown := credential{id: auth.NewClientID(time.Now()), secret: auth.NewSecretValue()}
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			got := w.post(path, grant+"&token=a", basic(unknown))
			refused(t, got, refusal{503, "temporarily_unavailable"})
			if got.header.Get("Retry-After") == "" {
				t.Errorf("no Retry-After: %v", got.header)
			}
		}
		accepted(t, w.post("/oauth2/token", grant, basic(w.caller)))
	})
}

// The change log moves between the decision and the commit: the request is decided anew.
func TestTokenDecidedAgain(t *testing.T) {
	change := func(w *world, what func() error) {
		before := func() { w.check(what()) }
		w.ledger.before.Store(&before)
	}
	t.Run("nothing that matters changed", func(t *testing.T) {
		w := newWorld(t)
		change(w, func() error {
			_, err := w.registry.CreateClient(t.Context(), tester(), auth.Client{Name: "other"})
			return err
		})
		for _, api := range []string{jwtAPI, opaqueAPI} {
			token := w.issue(w.caller, api, "read")
			if got := w.introspect(w.resource, token); got.member(t, "active") != true {
				t.Errorf("%s: got %s", api, got.body)
			}
		}
		if got := w.ledger.inserts.Load(); got != 3 {
			t.Errorf("%d inserts", got)
		}
	})
	for _, tt := range []struct {
		name string
		what func(w *world) error
		want refusal
	}{
		{"the grant was narrowed", func(w *world) error {
			w.grant(w.caller.id, jwtAPI, "write")
			return nil
		}, refusal{400, "invalid_scope"}},
		{"the grant was taken away", func(w *world) error {
			return second(w.registry.DeleteGrant(w.Context(), tester(), registry.GrantRef{Client: w.caller.id, API: w.apis[jwtAPI].ID}))
		}, refusal{400, "invalid_target"}},
		{"the client was disabled", func(w *world) error {
			return second(w.registry.SetClientStatus(w.Context(), tester(), w.caller.id, auth.Disabled))
		}, refusal{401, "invalid_client"}},
		{"the secret was disabled", func(w *world) error {
			return second(w.registry.DisableSecret(w.Context(), tester(), w.caller.key, true))
		}, refusal{401, "invalid_client"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			change(w, func() error { return tt.what(w) })
			got := w.post("/oauth2/token", grant+"&scope=read&resource="+url.QueryEscape(jwtAPI), basic(w.caller))
			refused(t, got, tt.want)
		})
	}
}
