package auth_test

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/server/auth"
)

func TestIDs(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_123)
	ids := map[string]string{
		"cl_":  auth.NewClientID(now).String(),
		"api_": auth.NewAPIID(now).String(),
		"sec_": auth.NewSecretID(now).String(),
		"key_": auth.NewKeyID(now).String(),
		"evt_": auth.NewEventID(now).String(),
	}
	for prefix, text := range ids {
		if !regexp.MustCompile(`^` + prefix + `[0-9A-Za-z]{22}$`).MatchString(text) {
			t.Errorf("%q is not %s and 22 base62 digits", text, prefix)
		}
	}
	if older, newer := auth.NewClientID(now), auth.NewClientID(now.Add(time.Millisecond)); older.String() >= newer.String() {
		t.Errorf("%s does not sort before %s", older, newer)
	}
}

func TestClientIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id auth.ClientID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		got, err := auth.ParseClientID(id.String())
		if (err != nil || got != id) && id != (auth.ClientID{}) {
			t.Fatalf("%v becomes %s becomes %v, %v", [16]byte(id), id, [16]byte(got), err)
		}
	})
	for _, text := range []string{
		"", "cl_", "cl_0000000000000000000000", "cl_0000000000000000000001", "api_0000000000000000000000", "CL_0000000000000000000000",
		"cl_zzzzzzzzzzzzzzzzzzzzzz", "cl_000000000000000000000-", "cl_00000000000000000000000", "cl_000000000000000000000é", "../../etc/passwd", "' OR 1=1 --",
	} {
		_, err := auth.ParseClientID(text)
		if wantGood := text == "cl_0000000000000000000001"; (err == nil) != wantGood {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTokenID(t *testing.T) {
	issued := time.Unix(1_790_000_000, 0)
	expires := issued.Add(time.Hour)
	id := auth.NewTokenID(issued, expires)
	if first, next := auth.FirstTokenID(auth.Bucket(expires)), auth.FirstTokenID(auth.Bucket(expires)+1); string(id[:]) < string(first[:]) || string(id[:]) >= string(next[:]) {
		t.Errorf("%x lies outside its bucket", id)
	}
	if end := time.Unix(int64(auth.Bucket(expires)+1)*900, 0); !expires.Before(end) || expires.Before(end.Add(-auth.BucketLength)) {
		t.Errorf("bucket ends at %v, the token at %v", end, expires)
	}
	if got, err := auth.ParseTokenID(id.String()); err != nil || got != id || len(id.String()) != 22 {
		t.Errorf("%s reads as %s, %v", id, got, err)
	}
}

func TestOpaque(t *testing.T) {
	id := auth.NewTokenID(time.Now(), time.Now().Add(time.Hour))
	presented, proof := auth.MintOpaque(id)
	if !regexp.MustCompile(`^cs_at_[0-9A-Za-z]{71}$`).MatchString(presented) {
		t.Fatalf("an opaque token looks like %q", presented)
	}
	gotID, gotProof, err := auth.ParseOpaque(presented)
	if err != nil || gotID != id || gotProof != proof {
		t.Fatalf("reads as %s, %v", gotID, err)
	}
	row := auth.Token{ID: id, Proof: proof}
	if !row.Proves(gotProof) || row.Proves(sha256.Sum256([]byte("guess"))) {
		t.Error("the proof does not tell right from wrong")
	}
	if (&auth.Token{}).Proves([32]byte{}) {
		t.Error("a JWT's row, which has no proof, is proved by nothing")
	}
	for _, bound := range []auth.Token{
		{ID: id, Confirmation: auth.Confirmation{JWK: [32]byte{1}}},
		{ID: id, Lineage: auth.Lineage{Ancestors: []auth.Ancestor{{ID: id}}}},
	} {
		_, proof, err := auth.ParseOpaque(bound.Mint())
		if err != nil || !bound.Proves(proof) || bound.Proof == proof {
			t.Errorf("%+v, %v: a version that knows of no bindings would take it", bound, err)
		}
	}
	if text := row.Mint(); !row.Proves(row.Proof) || text == presented {
		t.Error("a bearer token does not prove itself")
	}
	other, _ := auth.MintOpaque(id)
	if other == presented {
		t.Error("two tokens share a secret part")
	}
	for i := range presented {
		swapped := []byte(presented)
		swapped[i] ^= 1
		if _, _, err := auth.ParseOpaque(string(swapped)); err == nil {
			t.Errorf("a token mistyped at %d is accepted: %q", i, swapped)
		}
	}
}

func FuzzParseOpaque(f *testing.F) {
	good, _ := auth.MintOpaque(auth.NewTokenID(time.Now(), time.Now()))
	for _, seed := range []string{good, good[1:], "cs_at_", "", strings.Repeat("z", len(good)), "cs_at_" + strings.Repeat("z", 71)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, presented string) {
		id, _, err := auth.ParseOpaque(presented)
		if err != nil {
			return
		}
		if want := "cs_at_" + id.String(); !strings.HasPrefix(presented, want) {
			t.Errorf("%q is read as the token %s", presented, id)
		}
	})
}

func TestTokenLife(t *testing.T) {
	end := time.Unix(1_790_000_000, 0)
	token := auth.Token{Expires: end}
	if !token.Live(end.Add(-time.Nanosecond)) || token.Live(end) {
		t.Error("a token is refused on or after its expiry, not before")
	}
}

func TestSecretValue(t *testing.T) {
	value := auth.NewSecretValue()
	if !regexp.MustCompile(`^cs_secret_[0-9A-Za-z]{49}$`).MatchString(value.Reveal()) || !value.WellFormed() {
		t.Fatalf("a secret has the form of %d characters", len(value.Reveal()))
	}
	for _, text := range []string{fmt.Sprint(value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%v", []auth.SecretValue{value}), value.LogValue().String()} {
		if strings.Contains(text, value.Reveal()) {
			t.Error("a secret prints itself")
		}
	}
	for i := range value.Reveal() {
		swapped := []byte(value.Reveal())
		swapped[i] ^= 1
		if auth.PresentedSecret(string(swapped)).WellFormed() {
			t.Errorf("a secret mistyped at %d is well formed", i)
		}
	}
	for _, text := range []string{"", "cs_secret_", "password", strings.Repeat("x", 1<<16)} {
		if auth.PresentedSecret(text).WellFormed() {
			t.Errorf("%.20q is well formed", text)
		}
	}
}
