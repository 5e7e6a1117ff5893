package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// quiet checks the one answer for every token that is not active.
func quiet(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusOK || got.body != "{\"active\":false}\n" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %s %v", got.status, got.body, got.header)
	}
}

func active(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusOK || got.member(t, "active") != true {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	for _, api := range []string{jwtAPI, opaqueAPI} {
		token := w.issue(w.caller, api, "read")
		t.Run("I01 I12 active token of "+api, func(t *testing.T) {
			got := w.introspect(w.resource, token)
			active(t, got)
			if !regexp.MustCompile(`^private, max-age=[01]$`).MatchString(got.header.Get("Cache-Control")) {
				t.Errorf("Cache-Control: %q", got.header.Get("Cache-Control"))
			}
			var members map[string]any
			if err := json.Unmarshal([]byte(got.body), &members); err != nil {
				t.Fatal(err)
			}
			exp, _ := members["exp"].(float64)
			iat, _ := members["iat"].(float64)
			age, _ := members["countersign_max_age_ms"].(float64)
			id, _ := members["jti"].(string)
			if exp-iat != 60 || age < 0 || age > 1000 || len(id) != 22 || time.Since(time.Unix(int64(iat), 0)).Abs() > time.Hour {
				t.Errorf("got %s", got.body)
			}
			for _, varying := range []string{"exp", "iat", "countersign_max_age_ms", "countersign_rev", "jti"} {
				delete(members, varying)
			}
			want := map[string]any{
				"active": true, "scope": "read", "client_id": w.caller.id.String(), "sub": w.caller.id.String(),
				"token_type": "Bearer", "aud": api, "iss": issuer, "cs_sec": w.caller.key.String(),
			}
			if diff := cmp.Diff(want, members); diff != "" {
				t.Error(diff)
			}
		})
		t.Run("same jti each time, of "+api, func(t *testing.T) {
			first, second := w.introspect(w.resource, token), w.introspect(w.resource, token)
			if first.member(t, "jti") != second.member(t, "jti") {
				t.Errorf("got %s and %s", first.body, second.body)
			}
		})
		t.Run("its own client, of "+api, func(t *testing.T) { active(t, w.introspect(w.caller, token)) })
		t.Run("holder of introspect:all, of "+api, func(t *testing.T) { active(t, w.introspect(w.trusted, token)) })
		t.Run("I07 a client that is no server of "+api, func(t *testing.T) { quiet(t, w.introspect(w.stranger, token)) })
		t.Run("I10 hints of "+api, func(t *testing.T) {
			for _, hint := range []string{"refresh_token", "access_token", "nonsense"} {
				active(t, w.post("/oauth2/introspect", "token_type_hint="+hint+"&token="+token, basic(w.resource)))
			}
		})
		t.Run("I02 altered token of "+api, func(t *testing.T) {
			quiet(t, w.introspect(w.resource, token[:len(token)-1]))
			quiet(t, w.introspect(w.resource, token+"A"))
			quiet(t, w.introspect(w.resource, strings.ToUpper(token)))
		})
		t.Run("I04 revoked token of "+api, func(t *testing.T) {
			if got := w.revoke(w.caller, token); got.status != http.StatusOK {
				t.Fatal(got)
			}
			quiet(t, w.introspect(w.resource, token))
		})
		t.Run("I03 expired token of "+api, func(t *testing.T) {
			late := w.issue(w.caller, api, "")
			w.offset.Add(int64(59 * time.Second))
			active(t, w.introspect(w.resource, late))
			w.offset.Add(int64(2 * time.Second))
			quiet(t, w.introspect(w.resource, late))
		})
	}
	for name, token := range map[string]string{
		"I02 garbage":               "garbage",
		"I02 NUL-free but odd":      "🦆 \" \\ ' -- ${}",
		"I02 opaque of nobody":      opaque(),
		"I19 JWT of another issuer": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL290aGVyLnRlc3QifQ.AAAA",
		"I20 long":                  strings.Repeat("a", 16<<10),
		"I20 long and opaque":       "cs_at_" + strings.Repeat("0", 16<<10),
	} {
		t.Run(name, func(t *testing.T) { quiet(t, w.introspect(w.resource, token)) })
	}
}

// opaque is a token of the right form that nobody issued.
func opaque() string {
	now := time.Now()
	text, _ := auth.MintOpaque(auth.NewTokenID(now, now.Add(time.Hour)))
	return text
}

func TestIntrospectionRefused(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, form string
		with       []change
		want       refusal
	}{
		{"I05 no authentication", "token=a", nil, refusal{401, "invalid_client"}},
		{"I06 bad authentication", "token=a", []change{encoded(w.caller.id.String() + ":wrong")}, refusal{401, "invalid_client"}},
		{"I06 bad bearer", "token=a", []change{with("Authorization", "Bearer abc")}, refusal{401, "invalid_token"}},
		{"malformed bearer", "token=a", []change{with("Authorization", "Bearer a,b")}, refusal{400, "invalid_request"}},
		{"bearer for another API", "token=a", []change{with("Authorization", "Bearer "+w.issue(w.caller, jwtAPI, ""))}, refusal{401, "invalid_token"}},
		{"bearer without the scope", "token=a", []change{with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, "revoke:all"))}, refusal{403, "insufficient_scope"}},
		{"bearer and secret", "token=a" + inBody(w.trusted), []change{with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, ""))}, refusal{400, "invalid_request"}},
		{"bearer and another client id", "token=a&client_id=" + w.caller.id.String(), []change{with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, ""))}, refusal{400, "invalid_request"}},
		{"I08 no token", "", []change{basic(w.caller)}, refusal{400, "invalid_request"}},
		{"I08 empty token", "token=", []change{basic(w.caller)}, refusal{400, "invalid_request"}},
		{"I09 token twice", "token=a&token=a", []change{basic(w.caller)}, refusal{400, "invalid_request"}},
		{"token in the query", "token=a&x=1", []change{basic(w.caller), func(r *http.Request) { r.URL.RawQuery = "token=a" }}, refusal{400, "invalid_request"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.post("/oauth2/introspect", tt.form, tt.with...)
			refused(t, got, tt.want)
			golden(t, got)
		})
	}
}

// A client that serves an API asks about its tokens by a token of its own, for which it needs no grant and gets no scope.
func TestServersOfAPIsNeedNoGrant(t *testing.T) {
	w := newWorld(t)
	form := "grant_type=client_credentials&resource=" + auth.ServerAPI
	got := w.post("/oauth2/token", form, basic(w.resource))
	bearer, _ := got.member(t, "access_token").(string)
	if got.status != http.StatusOK || got.member(t, "scope") != "" {
		t.Fatalf("got %d, scope %v", got.status, got.member(t, "scope"))
	}
	if payload := strings.Split(bearer, "."); len(payload) == 3 {
		claims, err := base64.RawURLEncoding.DecodeString(payload[1])
		w.check(err)
		if strings.Contains(string(claims), "scope") {
			t.Errorf("claims are %s", claims)
		}
	}
	by := with("Authorization", "Bearer "+bearer)
	active(t, w.post("/oauth2/introspect", "token="+w.issue(w.caller, opaqueAPI, ""), by))
	quiet(t, w.post("/oauth2/introspect", "token="+w.issue(w.caller, eddsaAPI, ""), by))
	refused(t, w.post("/oauth2/revoke", "token="+w.issue(w.caller, opaqueAPI, ""), by), refusal{403, "insufficient_scope"})
	refused(t, w.post("/oauth2/token", form+"&scope="+auth.ScopeIntrospectAll, basic(w.resource)), refusal{400, "invalid_scope"})
	refused(t, w.post("/oauth2/token", form, basic(w.caller)), refusal{400, "invalid_target"})
}

func TestBearerCallers(t *testing.T) {
	w := newWorld(t)
	token := w.issue(w.caller, opaqueAPI, "")
	by := func(scope string) change {
		return with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, scope))
	}
	active(t, w.post("/oauth2/introspect", "token="+token, by("introspect:all")))
	got := w.post("/oauth2/revoke", "token="+token, by("revoke:all"))
	if got.status != http.StatusOK {
		t.Fatal(got)
	}
	quiet(t, w.post("/oauth2/introspect", "token="+token, by("introspect:all")))
	bearer := by("introspect:all")
	w.check(second(w.registry.SetClientStatus(t.Context(), tester(), w.trusted.id, auth.Disabled)))
	w.reached()
	refused(t, w.post("/oauth2/introspect", "token="+token, bearer), refusal{401, "invalid_token"})
}

// A storage that does not answer is never a verdict about a token.
func TestIntrospectionWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	known := w.issue(w.caller, opaqueAPI, "")
	unavailable := func(t *testing.T, got answer) {
		t.Helper()
		refused(t, got, refusal{503, "temporarily_unavailable"})
		if got.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %v", got.header)
		}
	}
	t.Run("unknown token, no ledger", func(t *testing.T) {
		w.ledger.fail(fault.New(fault.Unavailable, "gone"))
		defer w.ledger.fail(nil)
		got := w.introspect(w.resource, opaque())
		unavailable(t, got)
		golden(t, got)
		active(t, w.introspect(w.resource, known))
	})
	t.Run("change log too old", func(t *testing.T) {
		w.directory.old.Store(true)
		defer w.directory.old.Store(false)
		unavailable(t, w.introspect(w.resource, known))
		unavailable(t, w.introspect(w.resource, "garbage"))
	})
	t.Run("revocation that is not committed", func(t *testing.T) {
		w.ledger.fail(fault.New(fault.Unavailable, "gone"))
		got := w.revoke(w.caller, known)
		w.ledger.fail(nil)
		unavailable(t, got)
		active(t, w.introspect(w.resource, known))
	})
}

func TestRevocation(t *testing.T) {
	w := newWorld(t)
	empty := func(t *testing.T, got answer) {
		t.Helper()
		if got.status != http.StatusOK || got.body != "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %q %v", got.status, got.body, got.header)
		}
	}
	for _, api := range []string{jwtAPI, opaqueAPI} {
		t.Run("V01 V03 own token of "+api, func(t *testing.T) {
			token, other := w.issue(w.caller, api, ""), w.issue(w.caller, api, "")
			empty(t, w.revoke(w.caller, token))
			quiet(t, w.introspect(w.resource, token))
			empty(t, w.revoke(w.caller, token))
			active(t, w.introspect(w.resource, other))
		})
		t.Run("V04 token of another client, of "+api, func(t *testing.T) {
			token := w.issue(w.caller, api, "")
			empty(t, w.revoke(w.stranger, token))
			empty(t, w.revoke(w.resource, token))
			active(t, w.introspect(w.resource, token))
			empty(t, w.revoke(w.trusted, token))
			quiet(t, w.introspect(w.resource, token))
		})
		t.Run("V07 V08 hints of "+api, func(t *testing.T) {
			for _, hint := range []string{"refresh_token", "nonsense"} {
				token := w.issue(w.caller, api, "")
				empty(t, w.post("/oauth2/revoke", url.Values{"token": {token}, "token_type_hint": {hint}}.Encode(), basic(w.caller)))
				quiet(t, w.introspect(w.resource, token))
			}
		})
	}
	t.Run("V02 garbage", func(t *testing.T) {
		empty(t, w.revoke(w.caller, "garbage"))
		empty(t, w.revoke(w.caller, opaque()))
	})
	t.Run("V05 no authentication", func(t *testing.T) {
		refused(t, w.post("/oauth2/revoke", "token=a"), refusal{401, "invalid_client"})
	})
	t.Run("V06 no token", func(t *testing.T) {
		got := w.post("/oauth2/revoke", "", basic(w.caller))
		refused(t, got, refusal{400, "invalid_request"})
		golden(t, got)
	})
}
