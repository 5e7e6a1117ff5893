package keys_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// A signed answer is what RFC 9701 §5 says, byte for byte, and good for nothing else.
func TestSignedAnswers(t *testing.T) {
	client := auth.ClientID{1, 2, 3}
	for _, alg := range auth.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			key := generate(t, alg, start())
			ring := newRing(t, start, key)
			said := `{"active":true,"sub":"` + strings.Repeat("a", 4<<10) + `"}`
			signed, err := ring.SignAnswer(alg, keys.Answer{Audience: client, Issued: start().Add(time.Millisecond), Text: []byte(said)})
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(signed, ".")
			for i, want := range []string{
				`{"alg":"` + string(alg) + `","kid":"` + key.ID.String() + `","typ":"token-introspection+jwt"}`,
				`{"iss":"` + issuer + `","aud":"` + client.String() + `","iat":1795176000,"token_introspection":` + said + `}`,
			} {
				if got, err := base64.RawURLEncoding.DecodeString(parts[i]); err != nil || string(got) != want {
					t.Errorf("part %d: %s, %v; want %s", i, got, err, want)
				}
			}
			parsed, err := jose.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			set, _, err := jose.ParseKeySet(ring.JWKS().Body)
			if err != nil || len(set) != 1 || parsed.Verify(set[0]) != nil {
				t.Errorf("it does not verify by the published key: %v", err)
			}
			t.Run("17 is no access token", func(t *testing.T) {
				refused(t, ring, signed)
				if _, err := ring.Verify(signed); errors.Is(err, keys.ErrUnknownKey) {
					t.Error("the keys are read anew for it")
				}
				if got := keys.Signed([]*auth.Key{key}, signed); got != nil {
					t.Errorf("it is taken for an access token: %+v", got)
				}
			})
		})
	}
}

func TestAnswersWithoutAKey(t *testing.T) {
	ring := newRing(t, start, generate(t, auth.ES256, start()))
	if _, err := ring.SignAnswer(auth.RS256, keys.Answer{Text: []byte("{}")}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}
