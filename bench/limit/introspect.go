package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"
)

// remembered is how many tokens introspection knows, the newest.
const remembered = 100_000

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

func (i *tokenIssuer) remember(text string, t *row) {
	key := sha256.Sum256([]byte(text))
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.known, i.order[i.next])
	i.known[key], i.order[i.next] = t, key
	i.next = (i.next + 1) % remembered
}

func (i *tokenIssuer) introspect(w http.ResponseWriter, r *http.Request) {
	if !i.admitted(w, r) {
		return
	}
	key := sha256.Sum256([]byte(r.PostForm.Get("token")))
	i.mu.RLock()
	t := i.known[key]
	i.mu.RUnlock()
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
