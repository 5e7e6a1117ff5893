package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"

	"github.com/countersign/countersign/sdk/proof"
)

// proving returns a change that adds a DPoP proof of a key for the token endpoint.
func proving(t *testing.T, key *proof.Key) change {
	t.Helper()
	at, err := url.Parse(issuer + "/oauth2/token")
	if err != nil {
		t.Fatal(err)
	}
	proven, err := key.DPoP(proof.Use{Method: http.MethodPost, URL: at})
	if err != nil {
		t.Fatal(err)
	}
	return with("DPoP", proven)
}

func dpopKey(t *testing.T) *proof.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := proof.NewKey(private, proof.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// X12: a token that is bound to its client's key is exchanged by the service that was called with it, and by nobody else, whatever key he has. What comes
// of it is bound to the key of who exchanged it, if he showed one.
func TestExchangeOfBoundTokens(t *testing.T) {
	m := newMiddle(t)
	callers, thiefs, services := dpopKey(t), dpopKey(t), dpopKey(t)
	got := m.post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "resource": {jwtAPI}}.Encode(), basic(m.caller), proving(t, callers))
	accepted(t, got)
	bound, _ := got.member(t, "access_token").(string)
	if got.member(t, "token_type") != "DPoP" {
		t.Fatalf("the caller's token is not bound: %s", got.body)
	}
	form := asks(bound, opaqueAPI)
	t.Run("X12 by another client that may exchange", func(t *testing.T) {
		refused(t, m.swap(m.second, form), refusal{400, "invalid_grant"})
	})
	t.Run("X12 by another client with a key", func(t *testing.T) {
		refused(t, m.post("/oauth2/token", form, basic(m.second), proving(t, thiefs)), refusal{400, "invalid_grant"})
	})
	t.Run("X12 by the client that it is bound to", func(t *testing.T) {
		refused(t, m.post("/oauth2/token", form, basic(m.caller), proving(t, callers)), refusal{400, "unauthorized_client"})
	})
	t.Run("X12 by who was called with it", func(t *testing.T) {
		got := m.swap(m.first, form)
		accepted(t, got)
		text, _ := got.member(t, "access_token").(string)
		if told := m.introspect(m.second, text); told.member(t, "cnf") != nil || got.member(t, "token_type") != "Bearer" {
			t.Errorf("a binding came from nowhere: %s", told.body)
		}
	})
	t.Run("X12 by who was called with it, with a key", func(t *testing.T) {
		got := m.post("/oauth2/token", form, basic(m.first), proving(t, services))
		accepted(t, got)
		text, _ := got.member(t, "access_token").(string)
		told := m.introspect(m.second, text)
		cnf, _ := told.member(t, "cnf").(map[string]any)
		if cnf["jkt"] != services.Thumbprint() || got.member(t, "token_type") != "DPoP" {
			t.Errorf("bound to %v: %s", cnf, told.body)
		}
	})
}
