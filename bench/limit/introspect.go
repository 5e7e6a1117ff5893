package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"
)

// active is the answer of RFC 7662 §2.2.
type active struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope"`
	ClientID  string `json:"client_id"`
	TokenType string `json:"token_type"`
	Expires   int64  `json:"exp"`
	Issued    int64  `json:"iat"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	ID        string `json:"jti"`
}

func (i *tokenIssuer) introspect(w http.ResponseWriter, r *http.Request) {
	if !i.admitted(w, r) {
		return
	}
	key := sha256.Sum256([]byte(r.PostForm.Get("token")))
	t, err := i.known.get(r.Context(), key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if t == nil || !time.Now().Before(t.expires) {
		reply(w, struct {
			Active bool `json:"active"`
		}{})
		return
	}
	reply(w, active{
		Active: true, Scope: scope, ClientID: i.client, TokenType: "Bearer", Expires: t.expires.Unix(), Issued: t.issued.Unix(),
		Subject: i.client, Audience: audience, Issuer: issuer, ID: base64.RawURLEncoding.EncodeToString(t.id[:]),
	})
}
