package server_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// encoded is an Authorization header of the Basic scheme around text.
func encoded(text string) change {
	return with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
}

// inBody adds client_secret_post credentials to the form.
func inBody(c credential) string {
	return "&" + url.Values{"client_id": {c.id.String()}, "client_secret": {c.secret.Reveal()}}.Encode()
}

func TestClientAuthentication(t *testing.T) {
	w := newWorld(t)
	id, secret := w.caller.id.String(), w.caller.secret.Reveal()
	percent := func(text string) string { return strings.NewReplacer("_", "%5f", "c", "%63").Replace(text) }
	for _, tt := range []struct {
		name string
		form string
		with []change
	}{
		{name: "A01 basic", with: []change{basic(w.caller)}},
		{name: "A06 the same client id in the body", form: "&client_id=" + id, with: []change{basic(w.caller)}},
		{name: "A08 form-url-encoded", with: []change{encoded(percent(id) + ":" + percent(secret))}},
		{name: "A10 case of the scheme", with: []change{with("Authorization", "bAsIc "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))}},
		{name: "A13 post", form: inBody(w.poster)},
		{name: "empty secret in the body is none", form: "&client_secret=", with: []change{basic(w.caller)}},
	} {
		t.Run(tt.name, func(t *testing.T) { accepted(t, w.post("/oauth2/token", grant+tt.form, tt.with...)) })
	}
}

func TestClientAuthenticationRefused(t *testing.T) {
	w := newWorld(t)
	id, secret := w.caller.id.String(), w.caller.secret.Reveal()
	expired := w.client(t.Context(), auth.Client{Name: "expired"}, jwtAPI)
	gone, err := w.registry.AddSecret(t.Context(), tester(), expired.id, registry.NewSecretRequest{Expires: time.Now().Add(50 * time.Millisecond)})
	w.check(err)
	w.check(second(w.registry.DisableSecret(t.Context(), tester(), w.poster.key, false)))
	w.reached()
	w.offset.Add(int64(time.Second))
	client, invalid := refusal{401, "invalid_client"}, refusal{400, "invalid_request"}
	header := []change{basic(w.caller)}
	for _, tt := range []struct {
		name string
		form string
		with []change
		want refusal
	}{
		{name: "A02 wrong secret", with: []change{encoded(id + ":" + auth.NewSecretValue().Reveal())}, want: client},
		{name: "A02 mistyped secret", with: []change{encoded(id + ":" + secret[:len(secret)-1])}, want: client},
		{name: "A03 unknown client", with: []change{encoded(auth.NewClientID(time.Now()).String() + ":" + secret)}, want: client},
		{name: "A03 client id of another form", with: []change{encoded("' OR 1=1 --:" + secret)}, want: client},
		{name: "A04 nothing", want: client},
		{name: "A04 client id alone", form: "&client_id=" + id, want: client},
		{name: "A05 basic and post", form: inBody(w.caller), with: header, want: invalid},
		{name: "A07 other client id in the body", form: "&client_id=" + w.poster.id.String(), with: header, want: invalid},
		{name: "A09 raw percent", with: []change{encoded(id + ":" + secret + "%zz")}, want: invalid},
		{name: "A11 bad base64", with: []change{with("Authorization", "Basic !!!")}, want: invalid},
		{name: "A11 base64 with other spare bits", with: []change{with("Authorization", "Basic YR==")}, want: invalid},
		{name: "A12 no colon", with: []change{encoded(id)}, want: invalid},
		{name: "A14 post client by basic", with: []change{basic(w.poster)}, want: client},
		{name: "A14 basic client by post", form: inBody(w.caller), want: client},
		{name: "A15 secret twice", form: inBody(w.caller) + "&client_secret=a", want: invalid},
		{name: "A16 bearer", with: []change{with("Authorization", "Bearer "+w.issue(w.caller, jwtAPI, ""))}, want: client},
		{name: "other scheme", with: []change{with("Authorization", "Digest abc")}, want: client},
		{name: "empty header", with: []change{with("Authorization", "")}, want: client},
		{name: "two headers", with: []change{with("Authorization", "Basic YTpi", "Basic YTpi")}, want: invalid},
		{name: "A50 disabled client", with: []change{basic(w.disabled)}, want: client},
		{name: "A50 disabled secret", form: inBody(w.poster), want: client},
		{name: "A50 expired secret", with: []change{basic(credential{id: expired.id, secret: gone.Value})}, want: client},
		{name: "A33 assertion of another type", form: "&client_assertion=a.b.c&client_assertion_type=x", want: invalid},
		{name: "A33 assertion without a type", form: "&client_assertion=a.b.c", want: invalid},
		{name: "A33 type without an assertion", form: "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", want: invalid},
		{name: "assertion and basic", form: "&client_assertion=a.b.c", with: header, want: invalid},
		{name: "A41 two assertions", form: "&client_assertion=a.b.c&client_assertion=a.b.c", want: invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
				if path != "/oauth2/token" && tt.name == "A16 bearer" {
					continue // there it is a way in
				}
				got := w.post(path, grant+"&token=a"+tt.form, tt.with...)
				refused(t, got, tt.want)
				golden(t, got)
			}
		})
	}
}

// An unknown client and a wrong secret look the same in every byte, and cost the same: one catch-up each.
func TestUnknownClientIsNoOracle(t *testing.T) {
	w := newWorld(t)
	secret := auth.NewSecretValue()
	strip := func(got answer) answer {
		got.header = got.header.Clone()
		got.header.Del("Date")
		return got
	}
	before := w.directory.catchUps.Load()
	wrong := strip(w.post("/oauth2/token", grant, basic(credential{id: w.caller.id, secret: secret})))
	unknown := strip(w.post("/oauth2/token", grant, basic(credential{id: auth.NewClientID(time.Now()), secret: secret})))
	disabled := strip(w.post("/oauth2/token", grant, basic(w.disabled)))
	if after := w.directory.catchUps.Load(); after != before+3 {
		t.Errorf("A03 %d catch-ups for three refusals", after-before)
	}
	for name, got := range map[string]answer{"unknown": unknown, "disabled": disabled} {
		if got.status != wrong.status || got.body != wrong.body || len(got.header) != len(wrong.header) {
			t.Errorf("A03 %s: got %v, want %v", name, got, wrong)
		}
		for header := range wrong.header {
			if got.header.Get(header) != wrong.header.Get(header) {
				t.Errorf("A03 %s: %s is %q, want %q", name, header, got.header.Get(header), wrong.header.Get(header))
			}
		}
	}
}

// A client that was made on another instance a moment ago can come here at once.
func TestFreshClient(t *testing.T) {
	w := newWorld(t)
	fresh := w.client(t.Context(), auth.Client{Name: "fresh"}, jwtAPI)
	accepted(t, w.post("/oauth2/token", grant, basic(fresh)))
}

func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	token := w.issue(w.caller, opaqueAPI, "")
	w.introspect(w.resource, token)
	w.post("/oauth2/token", grant, encoded(w.caller.id.String()+":wrong"))
	w.post("/oauth2/token", grant+inBody(w.caller), basic(w.caller))
	w.send(http.MethodGet, "/oauth2/token?client_secret="+w.caller.secret.Reveal(), "")
	w.revoke(w.caller, token)
	log := w.log.String()
	if !strings.Contains(log, w.caller.id.String()) {
		t.Error("the log does not name the client")
	}
	for _, hidden := range []string{w.caller.secret.Reveal(), token, "client_secret", "Authorization", token[len(token)-30:]} {
		if strings.Contains(log, hidden) {
			t.Errorf("the log holds %q", hidden)
		}
	}
}
