package sdk

import (
	"errors"

	"github.com/countersign/countersign/sdk/internal/revocation"
	"github.com/countersign/countersign/sdk/strictjson"
)

// maxAncestors bounds from how many tokens, one after the other, one may be made. A server of today stops at five.
const maxAncestors = 8

var errAncestors = errors.New("is not a list of 1 to 8 tokens with jti, client_id and aud")

// ancestors reads the tokens that a token was made from by exchange (RFC 8693): cs_anc, of a JWT or an introspection's answer. Whoever passed over
// one that it cannot read would accept what its revocation takes back.
func ancestors(value strictjson.Value) (all []revocation.Subject, err error) {
	err = value.Array(func(value strictjson.Value) error {
		if len(all) == maxAncestors {
			return errAncestors
		}
		one, err := ancestor(value)
		all = append(all, one)
		return err
	})
	if err == nil && len(all) == 0 {
		err = errAncestors
	}
	return all, err
}

func ancestor(value strictjson.Value) (s revocation.Subject, err error) {
	err = value.Object(func(name string, value strictjson.Value) (err error) {
		switch name {
		case "jti":
			s.TokenID, err = value.String()
		case "client_id":
			s.ClientID, err = value.String()
		case "aud":
			s.Audience, err = value.Strings()
		case "cs_rev":
			s.Revision, err = revision(value)
		case "cs_sec":
			s.Credential, err = value.String()
		case "kid":
			s.KeyID, err = value.String()
		}
		return err
	})
	if err == nil && (s.TokenID == "" || s.ClientID == "" || len(s.Audience) == 0) {
		err = errAncestors
	}
	return s, err
}

// upTo tells that the server considered revocations up to a sequence when it spoke of the tokens.
func upTo(sequence uint64, all []revocation.Subject) []revocation.Subject {
	for i := range all {
		all[i].Revision = max(all[i].Revision, sequence)
	}
	return all
}
