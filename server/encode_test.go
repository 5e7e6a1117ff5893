package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/oauth"
)

// activeAnswer is RFC 7662 §2.2 with our members, in the order in which they are written.
type activeAnswer struct {
	Active       bool            `json:"active"`
	Scope        string          `json:"scope"`
	ClientID     string          `json:"client_id"`
	TokenType    string          `json:"token_type"`
	Expires      int64           `json:"exp"`
	Issued       int64           `json:"iat"`
	Subject      string          `json:"sub"`
	Audience     string          `json:"aud"`
	Issuer       string          `json:"iss"`
	ID           string          `json:"jti"`
	Confirmation json.RawMessage `json:"cnf,omitempty"`
	Actor        json.RawMessage `json:"act,omitempty"`
	MayAct       json.RawMessage `json:"may_act,omitempty"`
	Ancestors    json.RawMessage `json:"cs_anc,omitempty"`
	Credential   string          `json:"cs_sec,omitempty"`
	MaxAge       int64           `json:"countersign_max_age_ms"`
	Revision     uint64          `json:"countersign_rev"`
}

// expectEncoded checks that an answer is, to the byte, what encoding/json makes of all that it says.
func expectEncoded[T any](t *testing.T, got answer) (said T) {
	t.Helper()
	strict := json.NewDecoder(bytes.NewReader([]byte(got.body)))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&said); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	want, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusOK || got.body != string(want)+"\n" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got  %d %s\nwant %s", got.status, got.body, want)
	}
	return said
}

// Answers are written by hand, but read as if encoding/json had written them, whatever has to be escaped.
func TestAnswersAreEncodedAsByTheLibrary(t *testing.T) {
	const odd = "https://id.test/a&b" // what encoding/json escapes, and may stand in a URL
	w := newWorldAt(t, odd, nil)
	for _, api := range []string{jwtAPI, opaqueAPI} {
		form := url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
		issued := expectEncoded[oauth.Response](t, w.post("/a&b/oauth2/token", form.Encode(), basic(w.caller)))
		if issued.AccessToken == "" || issued.TokenType != "Bearer" || issued.ExpiresIn == 0 || issued.Scope == "" {
			t.Errorf("got %+v", issued)
		}
		about := url.Values{"token": {issued.AccessToken}}.Encode()
		active := expectEncoded[activeAnswer](t, w.post("/a&b/oauth2/introspect", about, basic(w.caller)))
		want := activeAnswer{
			Active: true, Scope: issued.Scope, ClientID: w.caller.id.String(), TokenType: "Bearer", Expires: active.Issued + issued.ExpiresIn,
			Issued: active.Issued, Subject: w.caller.id.String(), Audience: api, Issuer: odd, ID: active.ID, Credential: w.caller.key.String(),
			MaxAge: active.MaxAge, Revision: active.Revision,
		}
		if _, err := auth.ParseTokenID(active.ID); err != nil || active.Issued == 0 || active.MaxAge == 0 || active.Revision == 0 || string(mustJSON(t, active)) != string(mustJSON(t, want)) {
			t.Errorf("got  %+v\nwant %+v", active, want)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func FuzzAppendText(f *testing.F) {
	for _, text := range []string{"", "read write", `"\/`, "<a&b>", "\x00\x1f\x7f", "é\u2028\xff", "~ !"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := server.AppendText([]byte("x"), text), mustJSON(t, text); string(got) != "x"+string(want) {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	})
}
