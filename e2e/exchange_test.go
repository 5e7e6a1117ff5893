package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	jwtType       = "urn:ietf:params:oauth:token-type:jwt"
)

// Exchange lets a client exchange tokens for an API, which it is made to serve, for tokens for another. Scopes keep their names.
func (s *seeded) Exchange(t *testing.T, c credential, source, target string, scopes ...string) {
	t.Helper()
	from, to, ctx := s.API(t, source), s.API(t, target), t.Context()
	if _, err := s.Registry.SetServer(ctx, s.Actor, from.ID, clientID(t, c), true); err != nil {
		t.Fatal(err)
	}
	g := &auth.ExchangeGrant{Client: clientID(t, c), Source: from.ID, Target: to.ID, Created: time.Now(), Updated: time.Now()}
	for _, scope := range scopes {
		g.Scopes = append(g.Scopes, auth.ExchangeScope{Scope: scope, Needs: scope})
	}
	s.change(t, c, func(tx auth.Tx) error { return tx.Exchanges().PutExchange(ctx, g) })
}

// MayAct lets nobody but actor exchange the tokens of a client's grant.
func (s *seeded) MayAct(t *testing.T, c credential, api string, actor credential) {
	t.Helper()
	s.change(t, c, func(tx auth.Tx) error {
		g, err := tx.Grants().Grant(t.Context(), clientID(t, c), s.API(t, api).ID)
		if err != nil {
			return err
		}
		g.MayAct = clientID(t, actor)
		return tx.Grants().PutGrant(t.Context(), g)
	})
}

// change changes what hangs on a client.
func (s *seeded) change(t *testing.T, c credential, change func(auth.Tx) error) {
	t.Helper()
	err := s.Registry.Store.Update(t.Context(), func(tx auth.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return tx.Changes().Append(t.Context(), auth.Change{Kind: auth.ClientChanged, Subject: clientID(t, c), At: time.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// chain are two instances on one database with services that call each other: first serves the JWT API and calls the opaque one, second the
// other way round.
type chain struct {
	*pair

	first, second credential
}

func startChain(t *testing.T, kind string) *chain {
	t.Helper()
	s := newSeeded(t, kind)
	c := &chain{first: s.Client(t, "first", []string{jwtAPI}, nil), second: s.Client(t, "second", nil, nil)}
	s.Exchange(t, c.first, jwtAPI, opaqueAPI, "read", "write")
	s.Exchange(t, c.second, opaqueAPI, jwtAPI, "read", "write")
	c.pair = &pair{s, startInstance(t, s), startInstance(t, s)}
	return c
}

// trade is a request for an exchange. More parameters come in pairs; an empty value takes one away.
func trade(subject, resource string, more ...string) url.Values {
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessType}, "resource": {resource}}
	for i := 0; i < len(more); i += 2 {
		if form.Set(more[i], more[i+1]); more[i+1] == "" {
			form.Del(more[i])
		}
	}
	return form
}

// Section X of the checklist: tokens are issued by one instance and exchanged by the other.
func TestExchange(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind)
			t.Run("answers", c.answers)
			t.Run("refuses", c.refuses)
			t.Run("X12", c.exchangesBoundTokens)
			t.Run("ends with its root", c.endsWithItsRoot)
			t.Run("ends with its root at verifiers", c.endsAtVerifiers)
			t.Run("ends with its root at the gateway", c.endsAtTheGateway)
		})
	}
}

func (c *chain) answers(t *testing.T) {
	root := token(t, c.one.URL, c.Caller, asking(jwtAPI, "read"))
	t.Run("X01", func(t *testing.T) {
		got, err := post(t.Context(), c.other.URL+"/oauth2/token", c.first, trade(root, opaqueAPI))
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != http.StatusOK || got.Text("issued_token_type") != accessType || got.Text("token_type") != "Bearer" || got.Text("scope") != "read" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	second := token(t, c.other.URL, c.first, trade(root, opaqueAPI))
	third := token(t, c.one.URL, c.second, trade(second, jwtAPI, "requested_token_type", jwtType))
	t.Run("X08 I18", func(t *testing.T) {
		for _, tt := range []struct {
			token, client, actors string
		}{
			{root, c.Caller.ID, ""},
			{second, c.first.ID, c.first.ID},
			{third, c.second.ID, c.second.ID + " " + c.first.ID},
		} {
			for _, s := range c.both() {
				got := introspect(t, s.URL, c.Operator, tt.token)
				if actors := actorsIn(got.JSON["act"]); got.Text("sub") != c.Caller.ID || got.Text("client_id") != tt.client || actors != tt.actors {
					t.Errorf("actors %s, %s", actors, got.Body)
				}
			}
		}
	})
}

// actorsIn lists the subjects of nested actors.
func actorsIn(act any) string {
	var all []string
	for actor, ok := act.(map[string]any); ok; actor, ok = actor["act"].(map[string]any) {
		all = append(all, fmt.Sprint(actor["sub"]))
	}
	return strings.Join(all, " ")
}

func (c *chain) refuses(t *testing.T) {
	root := token(t, c.one.URL, c.Caller, asking(jwtAPI, "read"))
	revoked := token(t, c.one.URL, c.Caller, asking(jwtAPI, "read"))
	revoke(t, c.one.URL, c.Caller, revoked)
	reserver := c.Client(t, "reserver", []string{jwtAPI}, nil)
	c.MayAct(t, reserver, jwtAPI, c.second)
	var reserved string
	testbed.Wait(t, promptly, func() error {
		got, err := askToken(t.Context(), c.one.URL, reserver, nil)
		reserved = got.Text("access_token")
		if err == nil && reserved == "" {
			return fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return err
	})
	for _, tt := range []struct {
		name string
		by   credential
		form url.Values
		want string
	}{
		{"X02", c.first, trade("", opaqueAPI, "subject_token", ""), "400 invalid_request"},
		{"X03", c.first, trade(root, opaqueAPI, "subject_token_type", ""), "400 invalid_request"},
		{"X04", c.first, trade(root, opaqueAPI, "actor_token_type", accessType), "400 invalid_request"},
		{"X05", c.first, trade(revoked, opaqueAPI), "400 invalid_grant"},
		{"X06", c.first, trade(root, "https://unknown.test.internal"), "400 invalid_target"},
		{"X07", c.first, trade(root, opaqueAPI, "scope", "read write"), "400 invalid_scope"},
		{"X09", c.first, trade(reserved, opaqueAPI), "400 invalid_grant"},
		{"X10", c.first, trade(root, opaqueAPI, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "400 invalid_request"},
		{"X11", c.Server, trade(root, opaqueAPI), "400 unauthorized_client"},
		{"X11 no client", credential{}, trade(root, opaqueAPI), "401 invalid_client"},
		{"X12", c.second, trade(root, jwtAPI), "400 invalid_grant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testbed.Wait(t, promptly, func() error { // what was revoked by one instance the other knows within its bound
				got, err := post(t.Context(), c.other.URL+"/oauth2/token", tt.by, tt.form)
				if err != nil {
					return err
				}
				if said := fmt.Sprint(got.Status, " ", got.Text("error")); said != tt.want {
					return fmt.Errorf("%s %s, want %s", said, got.Body, tt.want)
				}
				return nil
			})
		})
	}
}

// One entry of the change log, written by one instance, ends on the other what was made of a token by both.
func (c *chain) endsWithItsRoot(t *testing.T) {
	root := token(t, c.one.URL, c.Caller, asking(jwtAPI, "read"))
	second := token(t, c.other.URL, c.first, trade(root, opaqueAPI))
	tree := []string{second, token(t, c.one.URL, c.second, trade(second, jwtAPI))}
	for _, s := range c.both() {
		inEach(t, tree, func(text string) error { return isActive(t.Context(), s, c.Operator, text, true) })
	}
	revoke(t, c.one.URL, c.Caller, root)
	began := time.Now()
	inEach(t, tree, func(text string) error {
		seen, err := untilInactive(t.Context(), c.other, c.Operator, text)
		if took := seen.Sub(began); err == nil && took > promptly {
			return fmt.Errorf("it took %v", took)
		}
		return err
	})
}

// Verifiers that ask the other instance refuse what was made from a revoked token within the bound: JWTs by the feed, opaque ones too.
func (c *chain) endsAtVerifiers(t *testing.T) {
	client := newSDKClient(t, sharedIssuer, c.first, sdk.WithAddresses(c.other.URL))
	second := newSDKClient(t, sharedIssuer, c.second, sdk.WithAddresses(c.one.URL))
	for _, mode := range []sdk.Policy{{}, sdk.Policy{}.Strict()} {
		for _, api := range []string{opaqueAPI, jwtAPI} {
			verifier := newSDKVerifier(t, sharedIssuer, api, c.Server, sdk.WithAddresses(c.other.URL))
			root := token(t, c.one.URL, c.Caller, asking(jwtAPI, "read"))
			derived, err := client.Exchange(t.Context(), root, opaqueAPI)
			if api == jwtAPI && err == nil {
				derived, err = second.Exchange(t.Context(), derived.AccessToken(), jwtAPI)
			}
			if err != nil {
				t.Fatal(err)
			}
			if who, err := verifier.Verify(t.Context(), derived.AccessToken(), mode); err != nil || who.Subject() != c.Caller.ID {
				t.Fatalf("%v, %v", who, err)
			}
			revoke(t, c.one.URL, c.Caller, root)
			testbed.Wait(t, strictBound, func() error {
				if _, err := verifier.Verify(t.Context(), derived.AccessToken(), mode); !errors.Is(err, sdk.ErrInvalidToken) {
					return fmt.Errorf("for %s: %w", api, err)
				}
				return nil
			})
		}
	}
}

// A gateway that exchanges its callers' tokens lets nobody in whose token was revoked, and what it got for it is worth nothing from then on: callers with
// JWTs, who get opaque ones, and the other way round.
func (c *chain) endsAtTheGateway(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	t.Cleanup(upstream.Close)
	issuer := func(by credential) string {
		return fmt.Sprintf("{url: %q, addresses: [%q], client_id: %s, client_secret: %s}", sharedIssuer, c.other.URL, by.ID, by.Secret)
	}
	g := startGateway(t, fmt.Sprintf(`
issuers: {first: %s, second: %s}
pools: {echo: {targets: [{url: %q}]}}
routes:
  - {name: jwt, match: {path: /jwt}, authentication: jwt, issuer: first, audience: %q, pool: echo, exchange: {resource: %q}}
  - {name: opaque, match: {path: /opaque}, authentication: introspect, issuer: second, audience: %q, mode: strict, pool: echo, exchange: {resource: %q}}
`, issuer(c.first), issuer(c.second), upstream.URL, jwtAPI, opaqueAPI, opaqueAPI, jwtAPI))
	for path, api := range map[string]string{"/jwt": jwtAPI, "/opaque": opaqueAPI} {
		root := token(t, c.one.URL, c.Caller, asking(api, "read"))
		ask := func() (answer, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+path, nil)
			if err != nil {
				return answer{}, err
			}
			r.Header.Set("Authorization", "Bearer "+root)
			return do(r)
		}
		got, err := ask()
		if err != nil || got.Status != http.StatusOK || string(got.Body) == root {
			t.Fatalf("%s: %d %s, %v", path, got.Status, got.Body, err)
		}
		derived := string(got.Body)
		if told := introspect(t, c.one.URL, c.Operator, derived); told.JSON["active"] != true || told.Text("sub") != c.Caller.ID {
			t.Fatalf("%s: the upstream got a token of which the server says %s", path, told.Body)
		}
		revoke(t, c.one.URL, c.Caller, root)
		testbed.Wait(t, strictBound, func() error {
			if got, err := ask(); err != nil || got.Status != http.StatusUnauthorized {
				return fmt.Errorf("%s: %d %s, %w", path, got.Status, got.Body, err)
			}
			return isActive(t.Context(), c.other, c.Operator, derived, false)
		})
	}
}

// A token that is bound to its client's key is exchanged by the service that was called with it; another client gets nothing for it, bound or not.
func (c *chain) exchangesBoundTokens(t *testing.T) {
	caller := newSDKClient(t, sharedIssuer, c.Caller, sdk.WithAddresses(c.one.URL), sdk.WithDPoP(nil))
	root, err := caller.TokenSource(jwtAPI, "read").Token(t.Context())
	if err != nil || root.Type() != "DPoP" {
		t.Fatal(root, err)
	}
	for name, options := range map[string][]sdk.ClientOption{"bearer": nil, "DPoP": {sdk.WithDPoP(nil)}} {
		options = append(options, sdk.WithAddresses(c.other.URL))
		got, err := newSDKClient(t, sharedIssuer, c.first, options...).Exchange(t.Context(), root.AccessToken(), opaqueAPI)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		told := introspect(t, c.one.URL, c.Operator, got.AccessToken())
		if bound := told.JSON["cnf"] != nil; bound != (name == "DPoP") || told.Text("sub") != c.Caller.ID {
			t.Errorf("%s: %s", name, told.Body)
		}
		_, err = newSDKClient(t, sharedIssuer, c.second, options...).Exchange(t.Context(), root.AccessToken(), jwtAPI)
		if refused := (*sdk.TokenError)(nil); !errors.As(err, &refused) || refused.Code != "invalid_grant" || refused.Status != http.StatusBadRequest {
			t.Errorf("%s, by another: %v", name, err)
		}
	}
}
