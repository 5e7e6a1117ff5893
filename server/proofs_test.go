package server_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
)

// presenting returns a change that sends an access token by the scheme DPoP, with a proof for an endpoint.
func presenting(t *testing.T, key *proof.Key, path, token string) change {
	t.Helper()
	at, err := url.Parse(issuer + path)
	if err != nil {
		t.Fatal(err)
	}
	proven, err := key.DPoP(proof.Use{Method: http.MethodPost, URL: at, AccessToken: token})
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) {
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", proven)
	}
}

// Whoever has a key and no token costs no row in the database, and learns nothing of proofs.
func TestD09ProofOfNobody(t *testing.T) {
	const path = "/oauth2/introspect"
	w, key := newWorld(t), dpopKey(t)
	got := w.post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "resource": {auth.ServerAPI}}.Encode(), basic(w.resource), proving(t, key))
	accepted(t, got)
	bound, _ := got.member(t, "access_token").(string)
	about := url.Values{"token": {w.issue(w.caller, jwtAPI, "read")}}.Encode()

	t.Run("no token", func(t *testing.T) {
		by := presenting(t, key, path, "made.up.token")
		for range 2 {
			w.expectStatus(http.StatusUnauthorized, w.post(path, about, by))
		}
		w.expectStatus(http.StatusUnauthorized, w.post(path, about, presenting(t, dpopKey(t), path, bound)))
		if n := w.ledger.proofs.Load(); n != 0 {
			t.Errorf("%d proofs of nobody were recorded", n)
		}
	})
	t.Run("a token", func(t *testing.T) {
		by := presenting(t, key, path, bound)
		if got := w.post(path, about, by); got.status != http.StatusOK || got.member(t, "active") != true {
			t.Errorf("answered %d %s", got.status, got.body)
		}
		if got := w.post(path, about, by); got.status != http.StatusUnauthorized || got.member(t, "error") != "invalid_dpop_proof" {
			t.Errorf("a replay: answered %d %s", got.status, got.body)
		}
	})
}

// Whoever sends proofs that are none is counted with those who guess.
func TestAttack22ByProofs(t *testing.T) {
	const path = "/oauth2/introspect"
	w := guarded(t, abuse.Config{FailureLimit: 3})
	by := presenting(t, dpopKey(t), path+"/elsewhere", "made.up.token")
	for range 3 {
		w.expectStatus(http.StatusUnauthorized, w.post(path, "token=x", by, from("203.0.113.9")))
	}
	w.expectTooMany(w.post(path, "token=x", by, from("203.0.113.9")), "too many failed authentications")
	w.expectStatus(http.StatusUnauthorized, w.post(path, "token=x", by, from("198.51.100.1")))
}
