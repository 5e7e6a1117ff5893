package jose_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

// FuzzParse sees to it that a token has one reading only, that nothing panics, and that nobody forges.
func FuzzParse(f *testing.F) {
	genuine := []string{tokenA2, tokenA3, tokenA4, token41, token42, token43, token8037}
	for _, seed := range append([]string{tokenA1, tokenA5, token44, "", "..", "e30.e30.e30", tokenA3 + "=", "eyJhbGciOiJFUzI1NiJ9.e30." + zeros(64)}, genuine...) {
		f.Add(seed)
	}
	var keys []*jose.Key
	for _, jwk := range []string{keyA2, keyA3, keyA4, key8037, "{" + modular + "}", "{" + ellipticKey + "}"} {
		keys = append(keys, mustKey(f, jwk))
	}
	f.Fuzz(func(t *testing.T, token string) {
		signed, err := jose.Parse(token)
		if err != nil {
			if signed != nil {
				t.Errorf("%q: both %v and an error", token, signed.Header)
			}
			return
		}
		parts := strings.Split(token, ".")
		if len(parts) != 3 || encode(signed.Payload) != parts[1] {
			t.Fatalf("%q is not the only form of its payload", token)
		}
		var header struct{ Alg, Kid, Typ string }
		if err := json.Unmarshal(decode(t, parts[0]), &header); err != nil || !slices.Contains(jose.Algorithms(), signed.Header.Algorithm) {
			t.Fatalf("%q: %v, %v", token, signed.Header, err)
		}
		for _, key := range keys {
			if signed.Verify(key) == nil && !slices.Contains(genuine, token) {
				t.Fatalf("%q is forged", token)
			}
		}
	})
}

// FuzzParseKeySet sees to it that whatever keys come out can be used, and told apart.
func FuzzParseKeySet(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kid":"a",` + p256 + `},{"kid":"b",` + okp + `,"alg":"EdDSA"}]}`, `{"keys":[` + keyA2 + `,` + key7638 + `]}`,
		`{"keys":[{"kid":"a",` + p256 + `},{"kid":"a",` + okp + `}]}`, `{"keys":[{` + symmetric + `}]}`, `{"keys":[` + keyD8037 + `,` + keyA4 + `]}`,
	} {
		f.Add([]byte(seed))
	}
	var tokens []*jose.Signed
	for _, token := range []string{tokenA2, tokenA3, tokenA4, token42, token8037} {
		signed, err := jose.Parse(token)
		if err != nil {
			f.Fatal(err)
		}
		tokens = append(tokens, signed)
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, skipped, err := jose.ParseKeySet(set)
		if err != nil && (keys != nil || skipped != nil) {
			t.Fatalf("%q: both keys and %v", set, err)
		}
		seen := map[string]bool{}
		for _, key := range keys {
			if key.ID() != "" && seen[key.ID()] {
				t.Errorf("%q: two keys %q", set, key.ID())
			}
			seen[key.ID()] = true
			if len(key.Algorithms()) == 0 || len(key.Thumbprint()) != 43 || !key.Equal(key) {
				t.Errorf("%q: key %q is for %v", set, key.ID(), key.Algorithms())
			}
			for _, signed := range tokens {
				if (signed.Verify(key) == nil) && !slices.Contains(key.Algorithms(), signed.Header.Algorithm) {
					t.Errorf("%q: key %q is for %v and verifies %s", set, key.ID(), key.Algorithms(), signed.Header.Algorithm)
				}
			}
		}
	})
}
