package server_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// failures flushes, and returns the failures that the database holds.
func (w *world) failures() (all []*auth.Failure) {
	w.Helper()
	w.check(w.uses.Flush(w.Context()))
	w.check(w.store.View(w.Context(), func(tx auth.Tx) (err error) {
		all, err = tx.Audit().ListFailures(w.Context(), nil, 1000)
		return err
	}))
	return all
}

// use flushes, and returns when and whence a credential was used.
func (w *world) use(c credential) (found auth.SecretUse) {
	w.Helper()
	w.check(w.uses.Flush(w.Context()))
	w.check(w.store.View(w.Context(), func(tx auth.Tx) error {
		all, err := tx.Usage().SecretUses(w.Context(), c.id)
		for _, use := range all {
			if use.Secret == c.key {
				found = use
			}
		}
		return err
	}))
	return found
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// Why an authentication failed is written, with the client if there is one, and nothing of what was sent: it may be a secret.
func TestFailedAuthenticationsAreTakenDown(t *testing.T) {
	w := newWorld(t)
	id, secret := w.caller.id.String(), w.caller.secret.Reveal()
	expired := w.client(t.Context(), auth.Client{Name: "expired"}, jwtAPI)
	gone, err := w.registry.AddSecret(t.Context(), tester(), expired.id, registry.NewSecretRequest{Expires: time.Now().Add(50 * time.Millisecond)})
	w.check(err)
	w.check(second(w.registry.DisableSecret(t.Context(), tester(), w.poster.key, false)))
	w.reached()
	w.offset.Add(int64(time.Second))
	wrong := auth.NewSecretValue()
	for _, tt := range []struct {
		name   string
		path   string // the token endpoint unless set
		form   string
		with   []change
		client auth.ClientID
		reason string
	}{
		{name: "wrong secret", with: []change{basic(credential{id: w.caller.id, secret: wrong})}, client: w.caller.id, reason: auth.WrongSecret},
		{name: "introspection", path: "/oauth2/introspect", with: []change{basic(credential{id: w.caller.id, secret: wrong})}, client: w.caller.id, reason: auth.WrongSecret},
		{name: "revocation", path: "/oauth2/revoke", with: []change{basic(credential{id: w.caller.id, secret: wrong})}, client: w.caller.id, reason: auth.WrongSecret},
		{name: "feed", path: "/oauth2/revocations", with: []change{basic(credential{id: w.caller.id, secret: wrong})}, client: w.caller.id, reason: auth.WrongSecret},
		{name: "feed without credentials", path: "/oauth2/revocations", reason: auth.Malformed},
		{name: "mistyped secret", with: []change{encoded(id + ":" + secret[:len(secret)-1])}, client: w.caller.id, reason: auth.Malformed},
		{name: "unknown client", with: []change{basic(credential{id: auth.NewClientID(time.Now()), secret: wrong})}, reason: auth.UnknownClient},
		{name: "secret and id exchanged", with: []change{encoded(secret + ":" + id)}, reason: auth.UnknownClient},
		{name: "nothing", reason: auth.Malformed},
		{name: "two ways", form: inBody(w.caller), with: []change{basic(w.caller)}, reason: auth.Malformed},
		{name: "an access token where none is taken", with: []change{with("Authorization", "Bearer abc")}, reason: auth.Malformed},
		{name: "disabled client", with: []change{basic(w.disabled)}, client: w.disabled.id, reason: auth.DisabledClient},
		{name: "disabled secret", form: inBody(w.poster), client: w.poster.id, reason: auth.DisabledSecret},
		{name: "expired secret", with: []change{basic(credential{id: expired.id, secret: gone.Value})}, client: expired.id, reason: auth.ExpiredSecret},
		{name: "other method", form: inBody(w.caller), client: w.caller.id, reason: auth.WrongMethod},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(w.failures())
			method, path, body := http.MethodPost, tt.path, grant+"&token=a"+tt.form
			if path == "" {
				path = "/oauth2/token"
			}
			if path == "/oauth2/revocations" {
				method, body = http.MethodGet, ""
			}
			if got := w.send(method, path, body, tt.with...); got.status != 401 && got.status != 400 {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			all := w.failures()
			if len(all) != before+1 {
				t.Fatalf("%d failures, before %d", len(all), before)
			}
			got := *all[0]
			if age := w.now().Sub(got.At); age < 0 || age > time.Minute {
				t.Errorf("at %v", got.At)
			}
			got.At = time.Time{}
			want := auth.Failure{Client: tt.client, Reason: tt.reason, Source: "127.0.0.1", Request: requestID, Count: 1}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	t.Run("what succeeds or cannot be told is none", func(t *testing.T) {
		before := len(w.failures())
		w.issue(w.caller, jwtAPI, "")
		w.post("/oauth2/token", grant+"&scope=nothing-such", basic(w.caller))
		w.directory.failing.Store(true)
		defer w.directory.failing.Store(false)
		refused(t, w.post("/oauth2/token", grant, basic(credential{id: w.caller.id, secret: wrong})), refusal{503, "temporarily_unavailable"})
		if after := len(w.failures()); after != before {
			t.Errorf("%d failures, before %d", after, before)
		}
	})
}

// Each endpoint at which a client proves who it is by its secret takes that down; an access token in its place is no use of it.
func TestUsesOfSecretsAreTakenDown(t *testing.T) {
	w := newWorld(t)
	token := w.issue(w.caller, opaqueAPI, "")
	bearer := with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, auth.ScopeIntrospectAll))
	for _, tt := range []struct {
		name string
		who  credential
		call func(*testing.T)
	}{
		{"token", w.caller, func(*testing.T) { w.issue(w.caller, jwtAPI, "") }},
		{"a token that is not given", w.caller, func(t *testing.T) {
			refused(t, w.post("/oauth2/token", grant+"&scope=nothing-such", basic(w.caller)), refusal{400, "invalid_scope"})
		}},
		{"introspection", w.resource, func(*testing.T) { w.introspect(w.resource, token) }},
		{"revocation", w.trusted, func(*testing.T) { w.revoke(w.trusted, token) }},
		{"feed", w.resource, func(*testing.T) { w.send(http.MethodGet, "/oauth2/revocations", "", basic(w.resource)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := w.use(tt.who)
			w.offset.Add(int64(5 * time.Minute))
			tt.call(t)
			use := w.use(tt.who)
			if !use.Last.After(before.Last) || w.now().Sub(use.Last) > 2*time.Minute || use.Source != "127.0.0.1" {
				t.Errorf("before %+v, after %+v", before, use)
			}
			if !before.First.IsZero() && !use.First.Equal(before.First) {
				t.Errorf("was first used at %v, then at %v", before.First, use.First)
			}
		})
	}
	t.Run("access token", func(t *testing.T) {
		before := w.use(w.trusted)
		w.offset.Add(int64(5 * time.Minute))
		if got := w.post("/oauth2/introspect", "token=a", bearer); got.status != http.StatusOK {
			t.Fatal(got)
		}
		if use := w.use(w.trusted); use != before {
			t.Errorf("before %+v, after %+v", before, use)
		}
	})
}

// A stream that was begun hours ago and goes on uses its secret still: to delete that would end it.
func TestStreamUsesItsSecret(t *testing.T) {
	w := newWorld(t)
	w.stream(basic(w.resource))
	before := w.use(w.resource)
	w.offset.Add(int64(2 * time.Hour))
	w.revoke(w.caller, w.issue(w.caller, opaqueAPI, "")) // news
	testbed.Wait(t, 10*time.Second, func() error {
		if use := w.use(w.resource); !use.Last.After(before.Last.Add(time.Hour)) {
			return errors.New("the secret was not used since the stream began")
		}
		return nil
	})
}

// What is issued under a grant is counted, for the grant and for each scope.
func TestTokensAreCounted(t *testing.T) {
	w := newWorld(t)
	for _, scope := range []string{"read", "read", "write", ""} {
		w.issue(w.caller, jwtAPI, scope)
	}
	w.post("/oauth2/token", grant+"&scope=delete&resource="+url.QueryEscape(jwtAPI), basic(w.caller))
	w.check(w.uses.Flush(t.Context()))
	got := map[string]int64{}
	w.check(w.store.View(t.Context(), func(tx auth.Tx) error {
		return tx.Usage().GrantUses(t.Context(), w.caller.id, func(use auth.GrantUse) error {
			if use.API == w.apis[jwtAPI].ID {
				got[use.Scope] = use.Tokens
			}
			return nil
		})
	}))
	if len(got) != 3 || got[""] != 4 || got["read"] != 3 || got["write"] != 2 {
		t.Errorf("counted %v", got)
	}
}

// The addresses that are taken down are those of clients, not of the proxies in front.
func TestAddressBehindProxy(t *testing.T) {
	w := newWorld(t)
	forwarded := with("X-Forwarded-For", "2001:db8::7")
	accepted(t, w.post("/oauth2/token", grant, basic(w.caller), forwarded))
	if use := w.use(w.caller); netip.MustParseAddr(use.Source) != netip.MustParseAddr("2001:db8::7") {
		t.Errorf("used from %s", use.Source)
	}
	w.post("/oauth2/token", grant, encoded(w.caller.id.String()+":"+strings.Repeat("x", 20)), forwarded)
	if all := w.failures(); len(all) != 1 || all[0].Source != "2001:db8::7" {
		t.Errorf("failed from %+v", all)
	}
}
