package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/internal/revocation"
	"github.com/countersign/countersign/sdk/sdktest"
)

const inventory = "https://inventory.test"

func introspector(t *testing.T, issuer *sdktest.Issuer, auth sdk.ClientAuth) *sdk.Introspector {
	t.Helper()
	i, err := sdk.NewIntrospector(issuer.URL(), issuer.ClientID(), auth, sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func TestIntrospection(t *testing.T) {
	issuer := sdktest.New(sdktest.WithOpaqueTokens())
	defer issuer.Close()
	issuer.Alter(sdktest.IntrospectionEndpoint, func(answer map[string]any) { answer["cs_sec"] = issuer.Credential(issuer.ClientID()) })
	token := issuer.Token(inventory, "read", "write")
	got, err := introspector(t, issuer, sdk.Secret(issuer.ClientSecret())).LookUp(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	who := got.Identity()
	if who.Issuer() != issuer.URL() || who.ClientID() != issuer.ClientID() || who.Subject() != issuer.ClientID() || !who.HasScope("write") ||
		!reflect.DeepEqual(who.Audience(), []string{inventory}) || time.Until(who.Expires()) < 59*time.Minute || who.IssuedAt().IsZero() {
		t.Errorf("got %v", who)
	}
	subject := got.Subject()
	subject.Revision = 0
	want := revocation.Subject{
		TokenID: who.TokenID(), ClientID: issuer.ClientID(), Credential: issuer.Credential(issuer.ClientID()), Audience: []string{inventory},
	}
	if !reflect.DeepEqual(subject, want) || want.TokenID == "" || want.Credential == "" {
		t.Errorf("got %+v, want %+v", subject, want)
	}
	if !got.Live() || got.Fresh() <= 0 || got.Fresh() > time.Second {
		t.Errorf("live %v, fresh for %v", got.Live(), got.Fresh())
	}
	sent := issuer.Log(sdktest.IntrospectionEndpoint)[0]
	if sent.ClientID != issuer.ClientID() || sent.Form.Get("token") != token {
		t.Errorf("asked as %q about %q", sent.ClientID, sent.Form.Get("token"))
	}
}

// TestIntrospectionMembers reads what servers may answer, RFC 7662 §2.2.
func TestIntrospectionMembers(t *testing.T) {
	read := func(t *testing.T, text string) *sdk.Looked {
		t.Helper()
		got, err := sdk.ReadIntrospection([]byte(text), "https://auth.test")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Run("everything", func(t *testing.T) {
		got := read(t, `{"active":true,"iss":"https://auth.test","sub":"alice","client_id":"orders","azp":"other","aud":["a","b"],"scope":"x  y",
			"exp":2000000000,"iat":1900000000.5,"nbf":1900000001,"jti":"j","token_type":"bearer","token_use":"access_token","username":null,
			"cs_sec":"sec_1","cs_rev":1,"countersign_rev":7,"countersign_max_age_ms":1500,"cnf":null,
			"act":{"sub":"gateway","iss":"i","act":{"client_id":"first"}},"tier":{"Name":["gold"]},"AUD":"c"}`)
		who := got.Identity()
		if who.Subject() != "alice" || who.ClientID() != "orders" || who.TokenID() != "j" || !reflect.DeepEqual(who.Scopes(), []string{"x", "y"}) ||
			!reflect.DeepEqual(who.Audience(), []string{"a", "b"}) || who.Expires().Unix() != 2000000000 || who.IssuedAt().UnixMilli() != 1900000000500 {
			t.Errorf("got %v", who)
		}
		if actors := who.Actors(); !reflect.DeepEqual(actors, []sdk.Actor{{Subject: "gateway", Issuer: "i"}, {ClientID: "first"}}) {
			t.Errorf("actors %v", actors)
		}
		want := revocation.Subject{TokenID: "j", ClientID: "orders", Credential: "sec_1", Audience: []string{"a", "b"}, Revision: 7}
		if !reflect.DeepEqual(got.Subject(), want) {
			t.Errorf("subject %+v", got.Subject())
		}
		if got.NotBefore().Unix() != 1900000001 || got.Fresh() != 1500*time.Millisecond || !got.Live() {
			t.Errorf("not before %v, fresh %v, live %v", got.NotBefore(), got.Fresh(), got.Live())
		}
		var tier struct{ Name []string }
		if ok, err := who.Claim("tier", &tier); !ok || err != nil || tier.Name[0] != "gold" {
			t.Errorf("tier %v, %v, %v", tier, ok, err)
		}
		for name, want := range map[string]bool{"token_type": true, "countersign_rev": true, "exp": true, "cnf": false, "username": false} {
			var raw json.RawMessage
			if ok, _ := who.Claim(name, &raw); ok != want {
				t.Errorf("claim %s: %v, want %v", name, ok, want)
			}
		}
	})
	t.Run("hardly anything", func(t *testing.T) {
		got := read(t, `{"active":true,"sub":"alice"}`)
		if who := got.Identity(); who.Subject() != "alice" || who.ClientID() != "" || who.Issuer() != "https://auth.test" || who.Expires().Year() != 9999 || len(who.Audience()) != 0 {
			t.Errorf("got %v", who)
		}
		if got.Fresh() != 0 || got.Subject().Revision != 0 {
			t.Errorf("fresh for %v, revision %d", got.Fresh(), got.Subject().Revision)
		}
	})
	t.Run("client alone", func(t *testing.T) {
		if who := read(t, `{"active":true,"client_id":"orders"}`).Identity(); who.ClientID() != "orders" || who.Subject() != "" {
			t.Errorf("got %v", who)
		}
	})
	t.Run("no time at all is a time", func(t *testing.T) {
		if got := read(t, `{"active":true,"sub":"a","countersign_max_age_ms":0}`); got.Fresh() != time.Nanosecond {
			t.Errorf("fresh for %v", got.Fresh())
		}
		if got := read(t, `{"active":true,"sub":"a","countersign_max_age_ms":9223372036854775807}`); got.Fresh() != 24*time.Hour {
			t.Errorf("fresh for %v", got.Fresh())
		}
	})
	for _, tt := range []struct {
		name, text string
		is         error // nil: no verdict
	}{
		{"inactive", `{"active":false}`, sdk.Inactive},
		{"inactive with much else", `{"active":false,"exp":"soon","aud":7,"iss":"https://other.test"}`, sdk.Inactive},
		{"S attack: a name in other case", `{"Active":true,"sub":"a"}`, nil},
		{"active as text", `{"active":"true","sub":"a"}`, nil},
		{"active as number", `{"active":1,"sub":"a"}`, nil},
		{"active is null", `{"active":null,"sub":"a"}`, nil},
		{"no active", `{"sub":"a"}`, nil},
		{"active twice", `{"active":false,"active":true,"sub":"a"}`, nil},
		{"scope twice", `{"active":true,"sub":"a","scope":"r","scope":"w"}`, nil},
		{"an array", `[{"active":true}]`, nil},
		{"HTML", `<html>`, nil},
		{"nothing", ``, nil},
		{"text after it", `{"active":false}{"active":true}`, nil},
		{"exp as text", `{"active":true,"sub":"a","exp":"2000000000"}`, nil},
		{"exp below 1970", `{"active":true,"sub":"a","exp":-1}`, nil},
		{"scope as a list", `{"active":true,"sub":"a","scope":["r"]}`, nil},
		{"audience as a number", `{"active":true,"sub":"a","aud":7}`, nil},
		{"negative revision", `{"active":true,"sub":"a","countersign_rev":-1}`, nil},
		{"negative age", `{"active":true,"sub":"a","countersign_max_age_ms":-1}`, nil},
		{"age with a fraction", `{"active":true,"sub":"a","countersign_max_age_ms":0.5}`, nil},
		{"actor that is none", `{"active":true,"sub":"a","act":"gateway"}`, nil},
		{"actors without end", `{"active":true,"sub":"a","act":` + strings.Repeat(`{"act":`, 20) + `{}` + strings.Repeat(`}`, 21), nil},
		{"another issuer", `{"active":true,"sub":"a","iss":"https://auth.test/"}`, sdk.ErrInvalidToken},
		{"DPoP", `{"active":true,"sub":"a","token_type":"DPoP"}`, sdk.ErrInvalidToken},
		{"a refresh token", `{"active":true,"sub":"a","token_type":"refresh_token"}`, sdk.ErrInvalidToken},
		{"a refresh token by its use", `{"active":true,"sub":"a","token_type":"Bearer","token_use":"refresh_token"}`, sdk.ErrInvalidToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdk.ReadIntrospection([]byte(tt.text), "https://auth.test")
			if got != nil || err == nil || errors.Is(err, sdk.ErrInvalidToken) != (tt.is != nil) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, %v, want %v", got, err, tt.is)
			}
		})
	}
}

func TestIntrospectionFreshness(t *testing.T) {
	for _, tt := range []struct {
		name     string
		member   any // countersign_max_age_ms; nil: none
		header   string
		from, to time.Duration
	}{
		{"by the member", 60_000, "private, max-age=5", 50 * time.Second, time.Minute},
		{"by the header", nil, "private, max-age=60", 50 * time.Second, time.Minute},
		{"not at all by the member", 0, "max-age=60", time.Nanosecond, time.Nanosecond},
		{"not at all by the header", nil, "no-store", time.Nanosecond, time.Nanosecond},
		{"nothing is said", nil, "", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := sdktest.New(sdktest.WithOpaqueTokens())
			defer issuer.Close()
			issuer.Replace(sdktest.IntrospectionEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				answer := map[string]any{"active": true, "sub": "a"}
				if tt.member != nil {
					answer["countersign_max_age_ms"] = tt.member
				}
				if tt.header != "" {
					w.Header().Set("Cache-Control", tt.header)
				}
				_ = json.NewEncoder(w).Encode(answer)
			}))
			got, err := introspector(t, issuer, sdk.Secret("s")).LookUp(t.Context(), "token")
			if err != nil {
				t.Fatal(err)
			}
			if got.Fresh() < tt.from || got.Fresh() > tt.to {
				t.Errorf("fresh for %v", got.Fresh())
			}
		})
	}
}

func TestIntrospectionInactive(t *testing.T) {
	issuer := sdktest.New(sdktest.WithOpaqueTokens())
	defer issuer.Close()
	token := issuer.Token(inventory, "read")
	issuer.Revoke(token)
	_, err := introspector(t, issuer, sdk.Secret(issuer.ClientSecret())).LookUp(t.Context(), token)
	if !errors.Is(err, sdk.Inactive) || !errors.Is(err, sdk.ErrInvalidToken) || errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// S15: whatever keeps the server from answering is no verdict on the token.
func TestIntrospectionUnavailable(t *testing.T) {
	status := func(status int, body string) func(*sdktest.Issuer) {
		return func(i *sdktest.Issuer) {
			i.Replace(sdktest.IntrospectionEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
		}
	}
	for _, tt := range []struct {
		name  string
		make  func(*sdktest.Issuer)
		auth  sdk.ClientAuth
		cause string
		is    error
		retry time.Duration
	}{
		{name: "down", make: func(i *sdktest.Issuer) { i.Down(true) }, cause: "refused"},
		{name: "503", make: status(503, ""), cause: "503", retry: 7 * time.Second},
		{name: "500 that says inactive", make: status(500, `{"active":false}`), cause: "500", retry: 7 * time.Second},
		{name: "204", make: status(204, ""), cause: "204"},
		{name: "302", make: status(302, ""), cause: "redirect"},
		{name: "400", make: status(400, `{"error":"invalid_request"}`), cause: "400 (invalid_request"},
		{name: "404 that says active", make: status(404, `{"active":true,"sub":"a"}`), cause: "404"},
		{name: "garbage", make: status(200, "<html>"), cause: "strict JSON"},
		{name: "too long", make: status(200, `{"active":true,"sub":"`+strings.Repeat("a", 65<<10)+`"}`), cause: "65536"},
		{name: "wrong secret", make: func(*sdktest.Issuer) {}, auth: sdk.Secret("wrong"), cause: "check the verifier's client id and secret", is: sdk.Refused},
		{name: "403", make: status(403, `{"error":"insufficient_scope"}`), cause: "by `countersign api serve API ", is: sdk.Refused},
		{name: "other metadata", make: func(i *sdktest.Issuer) { i.WrongIssuer("https://other.test") }, cause: "other.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := sdktest.New(sdktest.WithOpaqueTokens())
			defer issuer.Close()
			tt.make(issuer)
			if tt.auth == nil {
				tt.auth = sdk.Secret(issuer.ClientSecret())
			}
			token := issuer.Token(inventory, "read")
			_, err := introspector(t, issuer, tt.auth).LookUp(t.Context(), token)
			var failure *sdk.VerifyError
			if !errors.As(err, &failure) || !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrInvalidToken) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), tt.cause) || tt.is != nil && !errors.Is(err, tt.is) || failure.RetryAfter != tt.retry {
				t.Errorf("got %v, to be tried in %v", err, failure.RetryAfter)
			}
			if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "wrong") && tt.name == "wrong secret" {
				t.Errorf("the error tells what is secret: %v", err)
			}
		})
	}
}

func TestIntrospectionWithoutCredentials(t *testing.T) {
	issuer := sdktest.New()
	defer issuer.Close()
	_, err := introspector(t, issuer, nil).LookUp(t.Context(), "token")
	if !errors.Is(err, sdk.ErrUnavailable) || issuer.Requests(sdktest.IntrospectionEndpoint) != 0 {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := introspector(t, issuer, sdk.Secret("s")).LookUp(ctx, "token"); !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func FuzzIntrospection(f *testing.F) {
	f.Add(`{"active":true,"sub":"a","aud":["x"],"exp":2e9,"act":{"sub":"b"},"countersign_max_age_ms":5}`)
	f.Add(`{"active":false}`)
	f.Add(`{"active":true,"client_id":"c","scope":"r w","token_type":"Bearer","countersign_rev":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sdk.ReadIntrospection([]byte(text), "https://auth.test")
		if err != nil {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal([]byte(text), &plain); err != nil {
			t.Fatalf("%q is read, though it is no JSON: %v", text, err)
		}
		who := got.Identity()
		if plain["active"] != true || who.Expires().IsZero() || got.Fresh() < 0 {
			t.Fatalf("%q is read as %v", text, who)
		}
	})
}
