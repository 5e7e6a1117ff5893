package keys

import (
	"strings"

	"github.com/countersign/countersign/server/auth"
)

// Signed returns the claims of an access token that one of the keys signed, or nil. Unlike Ring.Verify it does not ask what
// became of the key since, nor for which issuer it was: it answers who made the token, not whether it is to be believed.
func Signed(all []*auth.Key, presented string) *Claims {
	if len(presented) > auth.MaxTokenLength {
		return nil
	}
	parts := strings.Split(presented, ".")
	if len(parts) != 3 {
		return nil
	}
	text, readable := decode(parts[1])
	signature, ok := decode(parts[2])
	if !readable || !ok {
		return nil
	}
	for _, k := range all {
		if header(k) != parts[0] {
			continue
		}
		public, err := openPublic(k)
		if err != nil {
			return nil // not one that this server made
		}
		signer := ringKey{algorithm: k.Algorithm, public: public}
		if !signer.verify([]byte(parts[0]+"."+parts[1]), signature) {
			return nil
		}
		return claimsOf(string(text), k.ID)
	}
	return nil
}

func claimsOf(text string, key auth.KeyID) *Claims {
	issuer, _, found := strings.Cut(text, claimSubject)
	ring := Ring{opening: issuer + claimSubject}
	claims, ok := ring.parseClaims(text)
	if !found || !ok {
		return nil
	}
	claims.Key = key
	return &claims
}
