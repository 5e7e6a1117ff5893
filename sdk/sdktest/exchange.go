package sdktest

import (
	"net/http"
	"strings"
	"time"
)

const (
	tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // a name, no token
	accessToken   = "urn:ietf:params:oauth:token-type:access_token"   //nolint:gosec // a name, no token
)

// exchange exchanges any live token of the issuer for whoever asks (RFC 8693), for the scopes that are asked for, or those of the token. The new one
// does not outlive it, names it as its ancestor, and is refused with it.
func (i *Issuer) exchange(w http.ResponseWriter, r *http.Request, who *caller, jkt string) {
	subject, form := r.PostForm.Get("subject_token"), r.PostForm
	i.mu.Lock()
	from := i.tokens[subject]
	live := i.active(from)
	i.mu.Unlock()
	switch {
	case subject == "" || form.Get("subject_token_type") != accessToken:
		refuse(w, http.StatusBadRequest, "invalid_request", "subject_token and its type are needed")
		return
	case !live:
		refuse(w, http.StatusBadRequest, "invalid_grant", "subject_token is expired, revoked, or unknown")
		return
	case len(form["resource"]) != 1:
		refuse(w, http.StatusBadRequest, "invalid_target", "a token is for one resource")
		return
	}
	left := min(i.config.lifetime, time.Until(from.expires))
	c := Claims{
		ClientID: who.client, Audience: form["resource"], Scopes: strings.Fields(form.Get("scope")), Lifetime: left,
		Members: confirmation(jkt, who.x5t),
	}
	if len(c.Scopes) == 0 {
		var scope string
		read(from, "scope", &scope)
		c.Scopes = strings.Fields(scope)
	}
	read(from, "sub", &c.Subject)
	i.inherit(c.Members, from, who)
	w.Header().Set("Cache-Control", "no-store")
	i.answer(w, TokenEndpoint, map[string]any{
		"access_token": i.issue(c), "issued_token_type": accessToken, "token_type": tokenType(jkt != ""),
		"expires_in": int(left / time.Second), "scope": strings.Join(c.Scopes, " "),
	})
}

// inherit adds the claims that say where a token comes from.
func (i *Issuer) inherit(members map[string]any, from *minted, who *caller) {
	act := map[string]any{"sub": who.client}
	var earlier map[string]any
	if read(from, "act", &earlier) && earlier != nil {
		act["act"] = earlier
	}
	members["act"] = act
	if i.config.foreign {
		return
	}
	members["cs_sec"] = nil
	if who.secret != "" {
		members["cs_sec"] = who.secret
	}
	parent := map[string]any{"jti": from.id, "client_id": from.client, "aud": from.audience[0], "cs_rev": from.revision}
	for name, value := range map[string]string{"cs_sec": from.secret, "kid": from.key} {
		if value != "" {
			parent[name] = value
		}
	}
	var before []any
	read(from, "cs_anc", &before)
	members["cs_anc"] = append([]any{parent}, before...)
}
