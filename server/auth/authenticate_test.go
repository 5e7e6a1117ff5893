package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func TestAuthenticate(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*world, *auth.Credentials)
		want     error
		reason   string
		nobody   bool // the log learns of no client
		catchUps int
	}{
		{name: "right", change: func(*world, *auth.Credentials) {}},
		{name: "wrong secret", change: func(_ *world, c *auth.Credentials) { c.Secret = auth.NewSecretValue() }, want: fault.InvalidClient, reason: auth.WrongSecret, catchUps: 1},
		{name: "what can be no secret", change: func(_ *world, c *auth.Credentials) { c.Secret = auth.PresentedSecret("guess") }, want: fault.InvalidClient, reason: auth.Malformed},
		{name: "mistyped secret", change: func(_ *world, c *auth.Credentials) { c.Secret = auth.PresentedSecret(c.Secret.Reveal() + "0") }, want: fault.InvalidClient, reason: auth.Malformed},
		{name: "what can be an imported secret", change: func(_ *world, c *auth.Credentials) { c.Secret = auth.PresentedSecret("horse-battery-staple") }, want: fault.InvalidClient, reason: auth.Malformed, catchUps: 1},
		{name: "unknown client", change: func(_ *world, c *auth.Credentials) { c.ClientID = auth.NewClientID(start).String() }, want: fault.InvalidClient, reason: auth.UnknownClient, nobody: true, catchUps: 1},
		{name: "malformed client", change: func(_ *world, c *auth.Credentials) { c.ClientID = "' OR 1=1" }, want: fault.InvalidClient, reason: auth.UnknownClient, nobody: true, catchUps: 1},
		{name: "malformed both", change: func(_ *world, c *auth.Credentials) { c.ClientID, c.Secret = "x", auth.PresentedSecret("y") }, want: fault.InvalidClient, reason: auth.Malformed, nobody: true},
		{name: "other method than registered", change: func(_ *world, c *auth.Credentials) { c.Method = auth.SecretPost }, want: fault.InvalidClient, reason: auth.WrongMethod, catchUps: 1},
		{name: "disabled client", change: func(w *world, _ *auth.Credentials) { w.record().Client.Status = auth.Disabled }, want: fault.InvalidClient, reason: auth.DisabledClient, catchUps: 1},
		{name: "disabled secret", change: func(w *world, _ *auth.Credentials) { w.record().Secrets[1].Status = auth.Disabled }, want: fault.InvalidClient, reason: auth.DisabledSecret, catchUps: 1},
		{name: "secret at its end", change: func(w *world, _ *auth.Credentials) { w.record().Secrets[1].Expires = w.now }, want: fault.InvalidClient, reason: auth.ExpiredSecret, catchUps: 1},
		{name: "secret before its end", change: func(w *world, _ *auth.Credentials) { w.record().Secrets[1].Expires = w.now.Add(time.Second) }},
		{name: "storage failure is no verdict", change: func(w *world, c *auth.Credentials) {
			c.Secret = auth.NewSecretValue()
			w.onCatchUp = func() error { return errors.New("database is gone") }
		}, want: fault.Unavailable, catchUps: 1},
		{name: "right, frugal", change: func(_ *world, c *auth.Credentials) { c.Frugal = true }},
		{name: "wrong, frugal", change: func(_ *world, c *auth.Credentials) { c.Frugal, c.Secret = true, auth.NewSecretValue() }, want: fault.InvalidClient, reason: auth.WrongSecret},
		{name: "assertion", change: func(_ *world, c *auth.Credentials) { c.Assertion = auth.PresentedAssertion(auth.JWTBearer, "x") }, want: fault.InvalidClient, reason: auth.WrongMethod, catchUps: 1},
		{name: "assertion, frugal", change: func(_ *world, c *auth.Credentials) {
			c.Frugal, c.Assertion = true, auth.PresentedAssertion(auth.JWTBearer, "x")
		}, want: fault.InvalidClient, reason: auth.WrongMethod},
		{name: "unknown, frugal", change: func(_ *world, c *auth.Credentials) { c.Frugal, c.ClientID = true, "x" }, want: fault.InvalidClient, reason: auth.UnknownClient, nobody: true},
		{name: "secret made a moment ago elsewhere", change: func(w *world, _ *auth.Credentials) {
			known := w.record().Secrets
			w.record().Secrets = known[:1]
			w.onCatchUp = func() error { w.record().Secrets = known; return nil }
		}, catchUps: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			credentials := auth.Credentials{ClientID: w.client.String(), Secret: w.secret, Method: auth.SecretBasic}
			tt.change(w, &credentials)
			caller, err := w.authenticator().Authenticate(t.Context(), credentials)
			if !errors.Is(err, tt.want) || (err == nil) != (caller != nil) {
				t.Fatalf("caller %v, error %v", caller, err)
			}
			if w.catchUps != tt.catchUps {
				t.Errorf("read the change log %d times, want %d", w.catchUps, tt.catchUps)
			}
			if err == nil && (caller.Client.ID != w.client || caller.Credential != w.record().Secrets[1].ID || len(caller.Serves) != 1) {
				t.Errorf("caller is %+v", caller)
			}
			refusal, refused := errors.AsType[*auth.Refusal](err)
			if refused != (tt.reason != "") || refused && (refusal.Reason != tt.reason || (refusal.Client == auth.ClientID{}) != tt.nobody) {
				t.Errorf("the log learns %+v, want %s", refusal, tt.reason)
			}
			if refused && !slices.Contains(auth.Reasons(), refusal.Reason) {
				t.Errorf("%s is none of the reasons", refusal.Reason)
			}
		})
	}
}

// An unknown client, a wrong secret and a disabled client must not be told apart by what the answer says.
func TestAuthenticationFailuresLookAlike(t *testing.T) {
	w := newWorld()
	a := w.authenticator()
	_, wrong := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: auth.NewSecretValue(), Method: auth.SecretBasic})
	_, unknown := a.Authenticate(t.Context(), auth.Credentials{ClientID: auth.NewClientID(start).String(), Secret: w.secret, Method: auth.SecretBasic})
	_, malformed := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: auth.PresentedSecret("x"), Method: auth.SecretBasic})
	w.record().Client.Status = auth.Disabled
	_, disabled := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: w.secret, Method: auth.SecretBasic})
	for _, err := range []error{unknown, malformed, disabled} {
		if diff := cmp.Diff(fault.From(wrong), fault.From(err), cmpopts.IgnoreFields(fault.Error{}, "Err")); diff != "" {
			t.Error(diff)
		}
	}
}

// Who has the right secret learns what to mend; who has not learns nothing of the method.
func TestOtherMethodThanRegistered(t *testing.T) {
	w := newWorld()
	a := w.authenticator()
	_, right := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: w.secret, Method: auth.SecretPost})
	if !errors.Is(right, fault.InvalidClient) || !strings.Contains(right.Error(), "registered for client_secret_basic") {
		t.Errorf("right secret: %v", right)
	}
	_, wrong := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: auth.NewSecretValue(), Method: auth.SecretPost})
	if !errors.Is(wrong, fault.InvalidClient) || strings.Contains(wrong.Error(), "registered") {
		t.Errorf("wrong secret: %v", wrong)
	}
}

func TestStill(t *testing.T) {
	w := newWorld()
	a := w.authenticator()
	caller, err := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: w.secret, Method: auth.SecretBasic})
	if err != nil || !a.Still(t.Context(), caller) {
		t.Fatalf("still good: %v", err)
	}
	w.record().Secrets[1].Status = auth.Disabled
	if a.Still(t.Context(), caller) {
		t.Error("a disabled secret is still good")
	}
	w.record().Secrets[1].Status, w.record().Client.AuthMethod = auth.Active, auth.PrivateKeyJWT
	if a.Still(t.Context(), caller) {
		t.Error("the secret of a client that authenticates by a key now is still good")
	}
	w.record().Client.AuthMethod, w.record().Client.Status = auth.SecretBasic, auth.Disabled
	if a.Still(t.Context(), caller) {
		t.Error("a disabled client is still good")
	}
	delete(w.clients, w.client)
	if a.Still(t.Context(), caller) {
		t.Error("a deleted client is still good")
	}
}

// registeredKeys takes an assertion that is among the client's keys.
type registeredKeys struct{ auth.Assertions }

func (registeredKeys) Check(_ context.Context, record *auth.ClientRecord, a auth.Assertion) (auth.Proven, error) {
	if record == nil || !strings.Contains(string(record.Client.Proofs.JWKS), a.Reveal()) {
		return auth.Proven{}, &auth.Refusal{Reason: auth.BadAssertion}
	}
	return auth.Proven{}, nil
}

// Keys are replaced by adding one and taking another away: a request that is under way then goes by the key that it came with.
func TestStillByKey(t *testing.T) {
	w := newWorld()
	a := w.authenticator()
	a.Assertions = registeredKeys{}
	holds := func(keys string) {
		client := *w.record().Client
		client.AuthMethod, client.Proofs.JWKS = auth.PrivateKeyJWT, json.RawMessage(keys)
		w.record().Client = &client
	}
	holds("old")
	caller, err := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Assertion: auth.PresentedAssertion(auth.JWTBearer, "old")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		keys  string
		still bool
	}{{"old", true}, {"old new", true}, {"new", false}, {"old", true}} {
		if holds(tt.keys); a.Still(t.Context(), caller) != tt.still {
			t.Errorf("with keys %q: want %t", tt.keys, tt.still)
		}
	}
	if w.record().Client.Status = auth.Disabled; a.Still(t.Context(), caller) {
		t.Error("a disabled client is still good")
	}
}
