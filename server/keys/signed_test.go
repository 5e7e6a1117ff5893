package keys_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

func TestSignedTellsOurTokens(t *testing.T) {
	for _, alg := range auth.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			key, other := generate(t, alg, start()), generate(t, alg, start())
			ring := newRing(t, start, key)
			token, by, err := ring.Sign(alg, sample())
			if err != nil {
				t.Fatal(err)
			}
			want := sample()
			want.Key = by
			revoked := *key
			revoked.RevokedAt, revoked.Sealed = start(), nil
			for name, all := range map[string][]*auth.Key{"current": {other, key}, "revoked, private part out of reach": {&revoked}} {
				if diff := cmp.Diff(&want, keys.Signed(all, token)); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
			parts := strings.Split(token, ".")
			for name, presented := range map[string]string{
				"nothing": "", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": token + "." + parts[2],
				"other claims": parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2], "no signature": parts[0] + "." + parts[1] + ".",
				"white space": token + " ", "very long": token + strings.Repeat("A", auth.MaxTokenLength),
			} {
				if got := keys.Signed([]*auth.Key{key}, presented); got != nil {
					t.Errorf("%s is taken for a token of ours: %+v", name, got)
				}
			}
			if got := keys.Signed([]*auth.Key{other}, token); got != nil {
				t.Errorf("the token of another key is taken for ours: %+v", got)
			}
		})
	}
}
