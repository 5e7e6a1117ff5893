package jose_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

// ids names the keys of a set, and for what they are.
func ids(keys []*jose.Key) string {
	var out []string
	for _, key := range keys {
		out = append(out, fmt.Sprint(key.ID(), key.Algorithms()))
	}
	return strings.Join(out, " ")
}

func TestParseKeySet(t *testing.T) {
	a, b := `{"kid":"a",`+p256+`}`, `{"kid":"b",`+okp+`,"alg":"EdDSA"}`
	for _, tt := range []struct {
		name, set, want string
		skipped         int
	}{
		{"two", `{"keys":[` + a + `,` + b + `]}`, "a[ES256] b[EdDSA]", 0},
		{"other members", `{"x":[{}],"keys":[` + a + `],"y":1}`, "a[ES256]", 0},
		{"none", `{"keys":[]}`, "", 0},
		{"RFC 7517 §5: kinds that are not known", `{"keys":[{"kty":"future"},` + a + `,{"kty":"EC","crv":"P-999"}]}`, "a[ES256]", 2},
		{"for encryption", `{"keys":[{"use":"enc",` + p256 + `},` + b + `]}`, "b[EdDSA]", 1},
		{"private and secret", `{"keys":[` + keyD8037 + `,{` + symmetric + `},` + a + `]}`, "a[ES256]", 2},
		{"a member of the wrong kind", `{"keys":[{"kid":1,` + p256 + `},` + a + `]}`, "a[ES256]", 1},
		{"an empty key", `{"keys":[{},` + a + `]}`, "a[ES256]", 1},
		{"different keys under one kid", `{"keys":[` + a + `,{"kid":"a",` + okp + `},` + b + `]}`, "b[EdDSA]", 1},
		{"three keys under one kid, two the same", `{"keys":[` + a + `,{"kid":"a",` + okp + `},` + a + `]}`, "", 1},
		{"the same key twice", `{"keys":[` + a + `,` + a + `]}`, "a[ES256]", 0},
		{
			"the same key for two algorithms", `{"keys":[{"kid":"r","alg":"RS256",` + members(keyA2) + `},{"kid":"r","alg":"PS256",` + members(keyA2) + `}]}`,
			"r[PS256 RS256]", 0,
		},
		{"the same key under two kids", `{"keys":[` + a + `,{"kid":"b",` + p256 + `}]}`, "a[ES256] b[ES256]", 0},
		{"without kid", `{"keys":[{` + p256 + `},{` + okp + `},{` + p256 + `}]}`, "[ES256] [EdDSA Ed25519]", 0},
		{"as many as may be", `{"keys":[` + strings.Repeat(a+`,`, jose.MaxKeys-1) + b + `]}`, "a[ES256] b[EdDSA]", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, skipped, err := jose.ParseKeySet([]byte(tt.set))
			if err != nil || ids(keys) != tt.want || len(skipped) != tt.skipped {
				t.Errorf("got %s, %v, %v", ids(keys), skipped, err)
			}
			for _, reason := range skipped {
				if !errors.Is(reason, jose.ErrKey) {
					t.Errorf("skipped for %v", reason)
				}
			}
		})
	}
}

func members(jwk string) string { return strings.Trim(jwk, "{}") }

func TestParseKeySetRefuses(t *testing.T) {
	a := `{"kid":"a",` + p256 + `}`
	for _, tt := range []struct{ name, set string }{
		{"nothing", ``},
		{"attack 32: HTML", `<html><body>Sign in to the airport's network</body></html>`},
		{"attack 32: JSON of something else", `{"error":"server_error"}`},
		{"attack 32: cut off", `{"keys":[` + a},
		{"a list", `[` + a + `]`},
		{"a key", a},
		{"keys is an object", `{"keys":{}}`},
		{"keys is null", `{"keys":null}`},
		{"KEYS", `{"KEYS":[` + a + `]}`},
		{"two lists of keys", `{"keys":[` + a + `],"keys":[]}`},
		{"two lists of keys, one escaped", `{"keys":[` + a + `],"\u006beys":[]}`},
		{"a key that is no object", `{"keys":[` + a + `,"x"]}`},
		{"a key with a duplicate member", `{"keys":[{"kid":"a","kid":"b",` + p256 + `}]}`},
		{"attack 35: too many keys", `{"keys":[` + strings.Repeat(a+`,`, jose.MaxKeys) + a + `]}`},
		{"attack 35: too many keys, none usable", `{"keys":[` + strings.Repeat(`{},`, jose.MaxKeys) + `{}]}`},
		{"attack 35: too long", `{"keys":[]}` + strings.Repeat(" ", jose.MaxKeySet)},
		{"attack 35: too deep", `{"keys":[` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if keys, _, err := jose.ParseKeySet([]byte(tt.set)); !errors.Is(err, jose.ErrKeySet) || keys != nil {
				t.Errorf("got %s, %v", ids(keys), err)
			}
		})
	}
}

// A kid comes from outside and may be of any length; what is logged is not.
func TestSkippedIsBounded(t *testing.T) {
	_, skipped, err := jose.ParseKeySet([]byte(`{"keys":[{"kid":"` + strings.Repeat("x", 100_000) + `\n","kty":"?"}]}`))
	if err != nil || len(skipped) != 1 || len(skipped[0].Error()) > 200 {
		t.Errorf("%v, %d skipped", err, len(skipped))
	}
}
