package jose_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

// A key in the header is read by those only who ask for it.
func TestParseWithKey(t *testing.T) {
	v, other := newVictim(t), newVictim(t)
	for _, tt := range []struct {
		name, header string
		err          error
	}{
		{"its own key", `{"alg":"ES256","jwk":` + v.jwk + `}`, nil},
		{"another's key", `{"alg":"ES256","jwk":` + other.jwk + `}`, jose.ErrSignature},
		{"no key", `{"alg":"ES256"}`, jose.ErrKey},
		{"a private key", `{"alg":"ES256","jwk":{` + writeEC(t, &v.private.PublicKey) + `,"d":"AQ"}}`, jose.ErrPrivate},
		{"a key that is text", `{"alg":"ES256","jwk":"x"}`, jose.ErrKey},
		{"a key that is null", `{"alg":"ES256","jwk":null}`, jose.ErrKey},
		{"a key for encryption", `{"alg":"ES256","jwk":{"use":"enc",` + writeEC(t, &v.private.PublicKey) + `}}`, jose.ErrKey},
		{"a key for another algorithm", `{"alg":"ES384","jwk":` + v.jwk + `}`, jose.ErrAlgorithm},
		{"two keys", `{"alg":"ES256","jwk":` + v.jwk + `,"jwk":` + v.jwk + `}`, jose.ErrMalformed},
		{"none", `{"alg":"none","jwk":` + v.jwk + `}`, jose.ErrAlgorithm},
		{"crit", `{"alg":"ES256","crit":["jwk"],"jwk":` + v.jwk + `}`, jose.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, key, err := jose.ParseWithKey(compact(tt.header, `{"a":1}`, v.sign))
			if !errors.Is(err, tt.err) || (signed == nil) != (tt.err != nil) || (key == nil) != (tt.err != nil) {
				t.Fatalf("got %v, %v, %v", signed, key, err)
			}
			if key != nil && (!key.Equal(v.key) || string(signed.Payload) != `{"a":1}`) {
				t.Errorf("another key or payload: %s", signed.Payload)
			}
		})
	}
}

// Whoever has no token can have a key of his own checked, so it must not cost a hundred times as much as others.
func TestAttackByCostlyKeys(t *testing.T) {
	for name, jwk := range map[string]string{
		"RSA of 4104 bits":     rsaKey(odd(4104), "AQAB"),
		"an exponent of 65539": rsaKey(odd(2048), "AQAD"),
	} {
		text := encode([]byte(`{"alg":"RS256","jwk":`+jwk+`}`)) + "." + encode([]byte(`{}`)) + "." + encode(make([]byte, 513))
		if _, _, err := jose.ParseWithKey(text); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := jose.ParseKey([]byte(jwk)); err != nil {
			t.Errorf("%s, of an issuer: %v", name, err)
		}
	}
}
