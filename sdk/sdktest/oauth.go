package sdktest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveToken issues whatever an authenticated client asks for, RFC 6749 §4.4 and RFC 8707.
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	who, ok := i.authenticate(w, r)
	if !ok {
		return
	}
	jkt, ok := i.bound(w, r)
	if !ok {
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
	case tokenExchange:
		i.exchange(w, r, who, jkt)
		return
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "")
		return
	}
	c := Claims{ClientID: who.client, Audience: r.PostForm["resource"], Scopes: strings.Fields(r.PostForm.Get("scope"))}
	c.Members = confirmation(jkt, who.x5t)
	if !i.config.foreign {
		c.Members["cs_sec"] = nil
		if who.secret != "" {
			c.Members["cs_sec"] = who.secret
		}
		if len(c.Audience) > 1 {
			refuse(w, http.StatusBadRequest, "invalid_target", "a token is for one resource")
			return
		}
	}
	if len(c.Scopes) == 0 {
		c.Scopes = i.config.scopes
	}
	answer := map[string]any{
		"access_token": i.issue(c), "token_type": tokenType(jkt != ""), "expires_in": int(i.config.lifetime / time.Second),
	}
	if len(c.Scopes) > 0 {
		answer["scope"] = strings.Join(c.Scopes, " ")
	}
	w.Header().Set("Cache-Control", "no-store")
	i.answer(w, TokenEndpoint, answer)
}

// serveIntrospection tells any client of any token, RFC 7662 §2.2. The answer is signed if the client asks for that, RFC 9701.
func (i *Issuer) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	who, ok := i.admit(w, r)
	if !ok {
		return
	}
	say := func(answer map[string]any) { i.answer(w, IntrospectionEndpoint, answer) }
	if r.Header.Get("Accept") == signedAnswer {
		say = func(answer map[string]any) { i.sign(w, who.client, answer) }
	}
	i.mu.Lock()
	m, revision := i.tokens[r.PostForm.Get("token")], i.log.sequence
	active := i.active(m)
	i.mu.Unlock()
	if !active {
		w.Header().Set("Cache-Control", "no-store")
		say(map[string]any{"active": false})
		return
	}
	answer := make(map[string]any, len(m.claims)+4)
	for name, value := range m.claims {
		answer[name] = value
	}
	delete(answer, "cs_rev")
	var bound struct {
		JKT string `json:"jkt"`
	}
	read(m, "cnf", &bound)
	answer["active"], answer["token_type"] = true, tokenType(bound.JKT != "")
	age := i.config.introspect
	if age > 0 {
		w.Header().Set("Cache-Control", "private, max-age="+strconv.Itoa(int(age/time.Second)))
	}
	if !i.config.foreign {
		answer["countersign_rev"] = revision
		if age > 0 {
			answer["countersign_max_age_ms"] = age.Milliseconds()
		}
	}
	say(answer)
}

const signedAnswer = "application/token-introspection+jwt"

// sign writes a signed answer to introspection, RFC 9701 §5.
func (i *Issuer) sign(w http.ResponseWriter, client string, answer map[string]any) {
	key := i.Key()
	input := encode(encodeJSON(map[string]any{"typ": "token-introspection+jwt", "alg": string(key.algorithm), "kid": key.id}))
	input += "." + encode(encodeJSON(map[string]any{
		"iss": i.url, "aud": client, "iat": time.Now().Unix(),
		"token_introspection": json.RawMessage(i.encode(IntrospectionEndpoint, answer)),
	}))
	w.Header().Set("Content-Type", signedAnswer)
	_, _ = io.WriteString(w, input+"."+encode(key.Sign([]byte(input)))) // who has gone cannot be told
}

// serveRevocation takes a client's own token back, RFC 7009 §2. It answers 200 for every other token too.
func (i *Issuer) serveRevocation(w http.ResponseWriter, r *http.Request) {
	who, ok := i.authenticate(w, r)
	if !ok {
		return
	}
	token := r.PostForm.Get("token")
	i.mu.Lock()
	m := i.tokens[token]
	i.mu.Unlock()
	if m != nil && m.client == who.client {
		i.Revoke(token)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// confirmation returns the claim cnf (RFC 7800 §3.1, RFC 9449 §6.1, RFC 8705 §3.1) among claims, if the token is bound to something.
func confirmation(jkt, x5t string) map[string]any {
	cnf := map[string]string{}
	if jkt != "" {
		cnf["jkt"] = jkt
	}
	if x5t != "" {
		cnf["x5t#S256"] = x5t
	}
	if len(cnf) == 0 {
		return map[string]any{}
	}
	return map[string]any{"cnf": cnf}
}

func tokenType(dpop bool) string {
	if dpop {
		return "DPoP"
	}
	return "Bearer"
}
