package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessToken   = "urn:ietf:params:oauth:token-type:access_token"
	jwtToken      = "urn:ietf:params:oauth:token-type:jwt"
)

// middle is a world with services that exchange: one serves the JWT API and calls the opaque one, which another serves, and so on in a ring.
type middle struct {
	*world
	first, second credential
}

func newMiddle(t testing.TB) *middle {
	t.Helper()
	w := newWorld(t)
	m := &middle{w, w.client(t.Context(), auth.Client{Name: "first"}), w.client(t.Context(), auth.Client{Name: "second"})}
	m.exchange(m.first.id, jwtAPI, opaqueAPI, "read", "write")
	m.exchange(m.second.id, opaqueAPI, jwtAPI, "read", "write")
	return m
}

// asks is the form of an exchange of a token for one for a resource. More parameters come in pairs; empty values are left out.
func asks(subject, resource string, more ...string) string {
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessToken}, "resource": {resource}}
	for i := 0; i < len(more); i += 2 {
		if form.Set(more[i], more[i+1]); more[i+1] == "" {
			form.Del(more[i])
		}
	}
	return form.Encode()
}

func (m *middle) swap(by credential, form string) answer {
	m.Helper()
	return m.post("/oauth2/token", form, basic(by))
}

// swapped exchanges a token.
func (m *middle) swapped(by credential, subject, resource string) string {
	m.Helper()
	got := m.swap(by, asks(subject, resource))
	text, _ := got.member(m.TB, "access_token").(string)
	if text == "" {
		m.Fatalf("no token: %d %s", got.status, got.body)
	}
	return text
}

func TestExchange(t *testing.T) {
	m := newMiddle(t)
	subject := m.issue(m.caller, jwtAPI, "")
	derived := m.swapped(m.first, subject, opaqueAPI)
	t.Run("X01 answer", func(t *testing.T) {
		got := m.swap(m.first, asks(subject, opaqueAPI))
		accepted(t, got)
		var members map[string]any
		if err := json.Unmarshal([]byte(got.body), &members); err != nil {
			t.Fatal(err)
		}
		if left, _ := members["expires_in"].(float64); left < 1 || left > 60 {
			t.Errorf("got %s", got.body)
		}
		delete(members, "access_token")
		delete(members, "expires_in")
		if diff := cmp.Diff(map[string]any{"token_type": "Bearer", "scope": "read write", "issued_token_type": accessToken}, members); diff != "" {
			t.Error(diff)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" {
			t.Errorf("headers: %v", got.header)
		}
	})
	for _, tt := range []struct {
		name string
		form string
		by   credential
		want string // issued_token_type
	}{
		{"X01 by audience", asks(subject, "", "resource", "", "audience", opaqueAPI), m.first, accessToken},
		{"X01 by audience and resource", asks(subject, opaqueAPI, "audience", opaqueAPI) + "&audience=" + url.QueryEscape(opaqueAPI), m.first, accessToken},
		{"X01 less", asks(subject, opaqueAPI, "scope", "write"), m.first, accessToken},
		{"X01 JWT as subject", asks(subject, opaqueAPI, "subject_token_type", jwtToken), m.first, accessToken},
		{"X10 access token", asks(subject, opaqueAPI, "requested_token_type", accessToken), m.first, accessToken},
		{"X10 JWT", asks(derived, jwtAPI, "requested_token_type", jwtToken), m.second, jwtToken},
		{"X04 own actor token", asks(subject, opaqueAPI, "actor_token", m.own(), "actor_token_type", accessToken), m.first, accessToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := m.swap(tt.by, tt.form)
			accepted(t, got)
			if got.member(t, "issued_token_type") != tt.want {
				t.Errorf("got %s", got.body)
			}
		})
	}
	if got := m.counted("ok"); got != 9 {
		t.Errorf("%v exchanges counted", got)
	}
}

// counted returns how many exchanges ended so.
func (m *middle) counted(outcome string) (n float64) {
	m.Helper()
	families, err := m.metrics.Gather()
	m.check(err)
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if family.GetName() == "countersign_token_exchanges_total" && one.GetLabel()[0].GetValue() == outcome {
				n += one.GetCounter().GetValue()
			}
		}
	}
	return n
}

// own returns a token of the first service in its own name.
func (m *middle) own() string {
	m.Helper()
	m.grant(m.first.id, eddsaAPI, "read")
	m.reached()
	return m.issue(m.first, eddsaAPI, "read")
}

func TestExchangeRefused(t *testing.T) {
	m := newMiddle(t)
	subject := m.issue(m.caller, jwtAPI, "read")
	derived := m.swapped(m.first, subject, opaqueAPI)
	invalid, grant, target, scope := refusal{400, "invalid_request"}, refusal{400, "invalid_grant"}, refusal{400, "invalid_target"}, refusal{400, "invalid_scope"}
	for _, tt := range []struct {
		name string
		form string
		by   credential
		want refusal
	}{
		{"X02 no subject token", asks("", opaqueAPI, "subject_token", ""), m.first, invalid},
		{"X02 garbage", asks("garbage", opaqueAPI), m.first, grant},
		{"X02 opaque of nobody", asks(opaque(), opaqueAPI), m.first, grant},
		{"X02 subject token twice", asks(subject, opaqueAPI) + "&subject_token=x", m.first, invalid},
		{"X03 no subject token type", asks(subject, opaqueAPI, "subject_token_type", ""), m.first, invalid},
		{"X03 unknown subject token type", asks(subject, opaqueAPI, "subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), m.first, invalid},
		{"X03 opaque token as JWT", asks(derived, jwtAPI, "subject_token_type", jwtToken), m.second, invalid},
		{"X04 actor token type alone", asks(subject, opaqueAPI, "actor_token_type", accessToken), m.first, invalid},
		{"X04 actor token alone", asks(subject, opaqueAPI, "actor_token", m.own()), m.first, invalid},
		{"X04 unknown actor token type", asks(subject, opaqueAPI, "actor_token", m.own(), "actor_token_type", "x"), m.first, invalid},
		{"X04 actor token of another", asks(subject, opaqueAPI, "actor_token", subject, "actor_token_type", accessToken), m.first, grant},
		{"X06 unknown", asks(subject, "https://unknown.test"), m.first, target},
		{"X06 not granted", asks(subject, eddsaAPI), m.first, target},
		{"X06 none", asks(subject, ""), m.first, target},
		{"X06 audience and resource differ", asks(subject, opaqueAPI, "audience", eddsaAPI), m.first, target},
		{"X06 two audiences", asks(subject, "", "audience", opaqueAPI) + "&audience=" + url.QueryEscape(eddsaAPI), m.first, target},
		{"X07 wider than the subject", asks(subject, opaqueAPI, "scope", "read write"), m.first, scope},
		{"X07 wider than the grant", asks(subject, opaqueAPI, "scope", "delete"), m.first, scope},
		{"X10 unknown requested token type", asks(subject, opaqueAPI, "requested_token_type", "urn:ietf:params:oauth:token-type:id_token"), m.first, invalid},
		{"X10 JWT where tokens are opaque", asks(subject, opaqueAPI, "requested_token_type", jwtToken), m.first, invalid},
		{"X11 no grant to exchange", asks(subject, opaqueAPI), m.caller, refusal{400, "unauthorized_client"}},
		{"X11 wrong secret", asks(subject, opaqueAPI), credential{id: m.first.id, secret: m.second.secret}, refusal{401, "invalid_client"}},
		{"X12 by a client that was not called with it", asks(subject, opaqueAPI), m.second, grant},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := m.swap(tt.by, tt.form)
			refused(t, got, tt.want)
			for _, secret := range []string{subject, derived} {
				if strings.Contains(got.body, secret) || strings.Contains(m.log.String(), secret) {
					t.Error("a token is where it must not be")
				}
			}
		})
	}
	t.Run("X05 revoked", func(t *testing.T) {
		m.revoke(m.caller, subject)
		refused(t, m.swap(m.first, asks(subject, opaqueAPI)), grant)
	})
	t.Run("X05 expired", func(t *testing.T) {
		late := m.issue(m.caller, jwtAPI, "read")
		m.offset.Add(int64(59 * time.Second))
		accepted(t, m.swap(m.first, asks(late, opaqueAPI)))
		m.offset.Add(int64(2 * time.Second))
		refused(t, m.swap(m.first, asks(late, opaqueAPI)), grant)
	})
	if got := m.counted("invalid_scope"); got != 2 {
		t.Errorf("%v exchanges counted that asked for too much", got)
	}
}

// X08, I18: whoever asks is told of the whole chain, by a JWT as by introspection.
func TestExchangeChain(t *testing.T) {
	m := newMiddle(t)
	root := m.issue(m.caller, jwtAPI, "")
	second := m.swapped(m.first, root, opaqueAPI)
	third := m.swapped(m.second, second, jwtAPI)
	caller, first, last := m.caller.id.String(), m.first.id.String(), m.second.id.String()
	t.Run("X08 I18 one hop", func(t *testing.T) {
		got := m.introspect(m.second, second)
		active(t, got)
		want := map[string]any{"sub": first}
		if diff := cmp.Diff(want, got.member(t, "act")); diff != "" || got.member(t, "sub") != caller || got.member(t, "client_id") != first {
			t.Errorf("%s %s", diff, got.body)
		}
	})
	t.Run("X08 I18 two hops", func(t *testing.T) {
		got := m.introspect(m.first, third)
		active(t, got)
		want := map[string]any{"sub": last, "act": map[string]any{"sub": first}}
		if diff := cmp.Diff(want, got.member(t, "act")); diff != "" || got.member(t, "sub") != caller || got.member(t, "client_id") != last {
			t.Errorf("%s %s", diff, got.body)
		}
		ancestors, _ := got.member(t, "cs_anc").([]any)
		if len(ancestors) != 2 {
			t.Fatalf("got %s", got.body)
		}
		for i, from := range []string{second, root} {
			one, _ := ancestors[i].(map[string]any)
			parent := m.introspect(m.trusted, from)
			for ours, theirs := range map[string]string{"jti": "jti", "client_id": "client_id", "aud": "aud", "cs_sec": "cs_sec"} {
				if one[ours] != parent.member(t, theirs) {
					t.Errorf("ancestor %v, introspected %s", one, parent.body)
				}
			}
		}
	})
	t.Run("a token goes round in a ring no more than five times", func(t *testing.T) {
		token := third
		for hop := 2; hop < auth.MaxAncestors; hop++ {
			by, to := m.first, opaqueAPI
			if hop%2 == 1 {
				by, to = m.second, jwtAPI
			}
			token = m.swapped(by, token, to)
		}
		refused(t, m.swap(m.second, asks(token, jwtAPI)), refusal{400, "invalid_grant"})
		m.revoke(m.caller, root)
		quiet(t, m.introspect(m.second, token))
	})
}

// Whatever takes the first token back ends all that was made from it.
func TestExchangeEndsWithItsRoot(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*middle, string) error
	}{
		{"token", func(m *middle, root string) error { m.revoke(m.caller, root); return nil }},
		{"client", func(m *middle, _ string) error {
			return second(m.registry.SetClientStatus(m.Context(), tester(), m.caller.id, auth.Disabled))
		}},
		{"grant", func(m *middle, _ string) error {
			return second(m.registry.DeleteGrant(m.Context(), tester(), registry.GrantRef{Client: m.caller.id, API: m.apis[jwtAPI].ID}))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMiddle(t)
			root := m.issue(m.caller, jwtAPI, "")
			second := m.swapped(m.first, root, opaqueAPI)
			third := m.swapped(m.second, second, jwtAPI)
			bystander := m.swapped(m.first, m.issue(m.resourceCaller(), jwtAPI, ""), opaqueAPI)
			m.check(tt.end(m, root))
			m.reached()
			for _, token := range []string{root, second, third} {
				quiet(t, m.introspect(m.trusted, token))
			}
			active(t, m.introspect(m.trusted, bystander))
			refused(t, m.swap(m.second, asks(second, jwtAPI)), refusal{400, "invalid_grant"})
		})
	}
}

// resourceCaller is another caller of the JWT API.
func (m *middle) resourceCaller() credential {
	m.Helper()
	return m.client(m.Context(), auth.Client{Name: "bystander"}, jwtAPI)
}

// What changes while the row of a token is written is looked at before it is.
func TestExchangeDecidedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*middle) error
		want refusal
	}{
		{"subject's client disabled", func(m *middle) error {
			return second(m.registry.SetClientStatus(m.Context(), tester(), m.caller.id, auth.Disabled))
		}, refusal{400, "invalid_grant"}},
		{"no server of the source any more", func(m *middle) error {
			return second(m.registry.SetServer(m.Context(), tester(), m.apis[jwtAPI].ID, m.first.id, false))
		}, refusal{400, "invalid_grant"}},
		{"own client disabled", func(m *middle) error {
			return second(m.registry.SetClientStatus(m.Context(), tester(), m.first.id, auth.Disabled))
		}, refusal{401, "invalid_client"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMiddle(t)
			subject := m.issue(m.caller, jwtAPI, "")
			change := func() { m.check(tt.end(m)) }
			m.ledger.before.Store(&change)
			refused(t, m.swap(m.first, asks(subject, opaqueAPI)), tt.want)
		})
	}
}

func TestExchangeWithoutDatabase(t *testing.T) {
	m := newMiddle(t)
	subject := m.issue(m.caller, jwtAPI, "")
	m.ledger.fail(fault.New(fault.Unavailable, "gone"))
	refused(t, m.swap(m.first, asks(subject, opaqueAPI)), refusal{503, "temporarily_unavailable"})
	refused(t, m.swap(m.first, asks(opaque(), opaqueAPI)), refusal{503, "temporarily_unavailable"})
	m.ledger.fail(nil)
	if got := m.swap(m.first, asks(subject, opaqueAPI)); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
