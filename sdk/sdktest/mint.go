package sdktest

import (
	"strings"
	"time"
)

// Claims is what a token says. Zero members mean what the issuer itself would say, so the zero value is a good token.
type Claims struct {
	ClientID string        // client_id; the client of [Issuer.ClientID]
	Subject  string        // sub; the client
	Audience []string      // aud; see [WithDefaults]. One is a string in the token, several are an array
	Scopes   []string      // scope; see [WithDefaults]
	TokenID  string        // jti; a fresh one
	Lifetime time.Duration // from now to exp; see [WithLifetime]. If it is negative the token has expired
	// Members are put into the token last: they add claims and replace those above. One that is nil is left out.
	Members map[string]any

	// What follows is for JWTs alone.

	// Header does to the header (typ, alg, kid) what Members does to the claims.
	Header map[string]any
	// RawHeader and RawPayload are taken as they are, in place of the JSON made from the members above.
	RawHeader, RawPayload []byte
	// Key signs, and names itself in the header; nil: the issuer's own.
	Key *Key
	// Sign makes the signature over the signing input (RFC 7515 §5.1) in place of the key, for forgeries. The header is still the key's.
	Sign func(input []byte) []byte
}

// Token returns a good token for the audience and scopes, of the client of [Issuer.ClientID] and of the kind that the issuer issues.
func (i *Issuer) Token(audience string, scopes ...string) string {
	return i.issue(Claims{Audience: []string{audience}, Scopes: scopes})
}

func (i *Issuer) issue(c Claims) string {
	if i.config.opaque {
		return i.MintOpaque(c)
	}
	return i.Mint(c)
}

// Mint returns a JWT (RFC 9068) that says what c says, be it ever so wrong. Introspection knows it.
func (i *Issuer) Mint(c Claims) string {
	key := c.Key
	if key == nil {
		key = i.Key()
	}
	header := c.RawHeader
	if header == nil {
		header = encodeJSON(overlay(map[string]any{"typ": "at+jwt", "alg": string(key.algorithm), "kid": key.id}, c.Header))
	}
	payload := c.RawPayload
	if payload == nil {
		payload = encodeJSON(i.claims(c))
	}
	input := []byte(encode(header) + "." + encode(payload))
	sign := c.Sign
	if sign == nil {
		sign = key.Sign
	}
	token := string(input) + "." + encode(sign(input))
	i.remember(token, key.id, payload)
	return token
}

// MintOpaque returns an opaque token for which introspection says what c says. A [Claims.TokenID] has 22 digits of base 62, or the
// token is malformed.
func (i *Issuer) MintOpaque(c Claims) string {
	claims := i.claims(c)
	id, _ := claims["jti"].(string)
	token := newOpaque(id)
	if i.config.foreign {
		token = encode(random(32))
	}
	i.remember(token, "", encodeJSON(claims))
	return token
}

// claims returns the claims of a token.
func (i *Issuer) claims(c Claims) map[string]any {
	client := orElse(c.ClientID, i.id)
	audience, scopes := c.Audience, c.Scopes
	if len(audience) == 0 {
		audience = []string{i.config.audience}
	}
	if len(scopes) == 0 {
		scopes = i.config.scopes
	}
	lifetime, now := c.Lifetime, time.Now()
	if lifetime == 0 {
		lifetime = i.config.lifetime
	}
	expires := now.Add(lifetime)
	if lifetime < 0 {
		now = expires.Add(-i.config.lifetime)
	}
	claims := map[string]any{
		"iss": i.url, "client_id": client, "sub": orElse(c.Subject, client), "aud": audience,
		"iat": now.Unix(), "exp": expires.Unix(), "jti": orElse(c.TokenID, newID("")),
	}
	if len(audience) == 1 {
		claims["aud"] = audience[0]
	}
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	if !i.config.foreign {
		claims["cs_rev"] = i.Sequence()
		if credential := i.Credential(client); credential != "" {
			claims["cs_sec"] = credential
		}
	}
	return overlay(claims, c.Members)
}

// overlay puts further members over those of m; nil takes one away.
func overlay(m, further map[string]any) map[string]any {
	for name, value := range further {
		if value == nil {
			delete(m, name)
			continue
		}
		m[name] = value
	}
	return m
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
