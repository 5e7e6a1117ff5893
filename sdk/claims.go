package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
)

// claims are those of a JWT access token (RFC 9068 §2.2), read but not yet judged.
type claims struct {
	issuer, subject, clientID, authorized, tokenID, scope, credential string

	audience                   []string
	expires, notBefore, issued time.Time
	revision                   uint64
	actors                     []Actor
	ancestors                  []revocation.Subject
	bound                      *binding // cnf; nil: none
	raw                        map[string]json.RawMessage
	foreign                    bool // has members that are those of another kind of JWT
}

// readClaims reads the claims of an access token of this issuer. The token's key and signature, its time and its audience are not
// looked at; the key is left out of the subject. legacy lets those pass that issuers made before RFC 9068. An error is ErrInvalidToken.
func readClaims(header jose.Header, payload []byte, issuer string, legacy bool) (*found, error) {
	if !isAccessToken(header.Type, legacy) {
		return nil, invalidToken("the token is not an access token: typ is not at+jwt")
	}
	c := claims{raw: make(map[string]json.RawMessage, 16)}
	if err := strictjson.Object(payload, c.member); err != nil {
		return nil, &VerifyError{Kind: ErrInvalidToken, Detail: "the token has malformed claims", Err: err}
	}
	if err := c.check(issuer, legacy); err != nil {
		return nil, err
	}
	return &found{
		identity: &Identity{
			issuer: c.issuer, subject: c.subject, clientID: c.clientID, tokenID: c.tokenID, scopes: splitScope(c.scope),
			audience: c.audience, issued: c.issued, expires: c.expires, actors: c.actors, claims: c.raw, bound: c.bound,
		},
		subject: revocation.Subject{
			TokenID: c.tokenID, ClientID: c.clientID, Credential: c.credential, Audience: c.audience, Revision: c.revision,
			Ancestors: c.ancestors,
		},
		notBefore: c.notBefore,
	}, nil
}

// isAccessToken looks at the typ of a header, RFC 9068 §4 and RFC 7515 §4.1.9. It is what keeps ID tokens, logout tokens, client
// assertions and introspection responses from being used as access tokens.
func isAccessToken(typ string, legacy bool) bool {
	short := strings.TrimPrefix(strings.ToLower(typ), "application/")
	return short == "at+jwt" || legacy && (typ == "" || short == "jwt")
}

// check tells whether the claims that must be there are, and are this issuer's.
func (c *claims) check(issuer string, legacy bool) error {
	if legacy {
		if c.foreign {
			return invalidToken("the token is not an access token")
		}
		for _, id := range []string{c.authorized, c.subject} {
			if c.clientID == "" {
				c.clientID = id
			}
		}
	}
	switch {
	case c.issuer != issuer:
		return invalidToken("the token is of another issuer")
	case c.expires.IsZero():
		return invalidToken("the token has no exp")
	case len(c.audience) == 0:
		return invalidToken("the token has no aud")
	case c.subject == "":
		return invalidToken("the token has no sub")
	case c.clientID == "":
		return invalidToken("the token has no client_id")
	case legacy:
		return nil
	case c.issued.IsZero():
		return invalidToken("the token has no iat")
	case c.tokenID == "":
		return invalidToken("the token has no jti")
	}
	return nil
}

// member reads one claim. Those that it does not know are kept as they are.
func (c *claims) member(name string, value strictjson.Value) (err error) {
	c.raw[name] = value.Raw()
	switch name {
	case "iss":
		c.issuer, err = value.String()
	case "sub":
		c.subject, err = value.String()
	case "client_id":
		c.clientID, err = value.String()
	case "azp":
		c.authorized, err = value.String()
	case "jti":
		c.tokenID, err = value.String()
	case "scope":
		c.scope, err = value.String()
	case "cs_sec":
		c.credential, err = value.String()
	case "cs_rev":
		c.revision, err = revision(value)
	case "aud":
		c.audience, err = value.Strings()
	case "exp":
		c.expires, err = jose.NumericDate(value)
	case "nbf":
		c.notBefore, err = jose.NumericDate(value)
	case "iat":
		c.issued, err = jose.NumericDate(value)
	case "act":
		c.actors, err = actors(value)
	case "cs_anc":
		c.ancestors, err = ancestors(value)
	case "cnf":
		c.bound = readBinding(value)
	case "at_hash", "c_hash", "events", "token_introspection":
		c.foreign = true
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

var errRange = errors.New("out of range")

// revision reads a sequence of the issuer's change log.
func revision(value strictjson.Value) (uint64, error) {
	n, err := value.Int()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, errRange
	}
	return uint64(n), nil
}

// actors reads a chain of actors, RFC 8693 §4.1: each may hold the one before it.
func actors(value strictjson.Value) ([]Actor, error) {
	var a Actor
	var earlier []Actor
	err := value.Object(func(name string, value strictjson.Value) (err error) {
		switch name {
		case "iss":
			a.Issuer, err = value.String()
		case "sub":
			a.Subject, err = value.String()
		case "client_id":
			a.ClientID, err = value.String()
		case "act":
			earlier, err = actors(value)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return append([]Actor{a}, earlier...), nil
}

// splitScope returns the scopes of a space-delimited list, RFC 6749 §3.3.
func splitScope(scope string) []string {
	return strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' })
}
