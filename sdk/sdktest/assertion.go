package sdktest

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

const (
	assertionJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	proofLeeway     = time.Minute
)

// assertionClaims is what is read of a client assertion. An aud that is no string is none of ours.
type assertionClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ID       string          `json:"jti"`
	Expires  float64         `json:"exp"`
}

// checkAssertion checks a client assertion (RFC 7523 §3, draft-ietf-oauth-rfc7523bis), the client's own or one of an issuer that the client has
// rules for. The caller holds mu.
func (i *Issuer) checkAssertion(form url.Values, client string, known *registered, methods []string) error {
	method := map[string]string{assertionJWT: methodPrivateKey, assertionSPIFFE: methodSPIFFE}[form.Get("client_assertion_type")]
	if !slices.Contains(methods, method) {
		return errors.New("this client_assertion_type is not supported")
	}
	signed, err := jose.Parse(form.Get("client_assertion"))
	if err != nil {
		return errors.New("the assertion is malformed")
	}
	var claims assertionClaims
	if json.Unmarshal(signed.Payload, &claims) != nil {
		return errors.New("the assertion has no claims")
	}
	own := method == methodPrivateKey && claims.Issuer == client && claims.Subject == client
	switch {
	case !i.isFor(claims.Audience):
		return errors.New("the assertion's aud is not the issuer alone")
	case time.Now().After(time.Unix(int64(claims.Expires), 0)):
		return errors.New("the assertion is expired, or has no exp")
	case own && !slices.Contains([]string{"", "JWT", proof.AssertionType}, signed.Header.Type):
		return errors.New("the assertion's typ is not " + proof.AssertionType)
	case !slices.ContainsFunc(known.verifiers(own, &claims), func(k *jose.Key) bool { return signed.Verify(k) == nil }):
		return errors.New("the assertion is not by a key of the client, or not about it")
	case own && claims.ID == "":
		return errors.New("the assertion has no jti")
	case own && !i.first("assertion "+client+" "+claims.ID):
		return errors.New("the assertion was used before")
	}
	return nil
}

// isFor tells whether an aud is this issuer: as a string, or an array of that alone.
func (i *Issuer) isFor(audience json.RawMessage) bool {
	var one string
	if json.Unmarshal(audience, &one) == nil {
		return one == i.url
	}
	var several []string
	return json.Unmarshal(audience, &several) == nil && slices.Equal(several, []string{i.url})
}

// verifiers are the keys that may have signed these claims.
func (c *registered) verifiers(own bool, claims *assertionClaims) (keys []*jose.Key) {
	if own {
		keys = c.keys
	}
	for _, w := range c.workloads {
		if w.issuer == claims.Issuer && w.subject == claims.Subject {
			keys = append(slices.Clip(keys), w.key)
		}
	}
	return keys
}

// first tells whether something is used for the first time. The caller holds mu.
func (i *Issuer) first(use string) bool {
	if i.used[use] {
		return false
	}
	i.used[use] = true
	return true
}
