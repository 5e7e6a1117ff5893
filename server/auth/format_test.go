package auth_test

import (
	"encoding/json"
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// formatVectors is what docs/secrets.md promises to scanners of leaked secrets.
type formatVectors struct {
	About     string            `json:"about"`
	Patterns  map[string]string `json:"patterns"`
	Checksums []struct {
		Text     string `json:"text"`
		Checksum string `json:"checksum"`
	} `json:"checksums"`
	Values []struct {
		Name       string `json:"name"`
		Kind       string `json:"kind"` // of Patterns
		Text       string `json:"text"`
		Matches    bool   `json:"matches"` // the pattern
		WellFormed bool   `json:"well_formed"`
		Hint       string `json:"hint,omitempty"`
		ID         string `json:"jti,omitempty"`
	} `json:"values"`
}

func readFormatVectors(t *testing.T) (v formatVectors) {
	t.Helper()
	text, err := os.ReadFile("../../sdk/testdata/secret-format.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if len(v.Patterns) != 3 || len(v.Checksums) == 0 || len(v.Values) == 0 {
		t.Fatalf("%d patterns, %d checksums, %d values", len(v.Patterns), len(v.Checksums), len(v.Values))
	}
	return v
}

func TestSecretFormat(t *testing.T) {
	v := readFormatVectors(t)
	for _, tt := range v.Values {
		t.Run(tt.Name, func(t *testing.T) {
			if got := regexp.MustCompile(v.Patterns[tt.Kind]).FindString("client_secret=" + tt.Text + " "); (got == tt.Text) != tt.Matches {
				t.Errorf("the pattern finds %q", got)
			}
			var wellFormed bool
			switch tt.Kind {
			case "secret":
				value := auth.PresentedSecret(tt.Text)
				if wellFormed = value.WellFormed(); wellFormed && value.Hint() != tt.Hint {
					t.Errorf("hint %q, want %q", value.Hint(), tt.Hint)
				}
			case "token":
				id, _, err := auth.ParseOpaque(tt.Text)
				if wellFormed = err == nil; wellFormed && id.String() != tt.ID {
					t.Errorf("jti %s, want %s", id, tt.ID)
				}
			case "master_key":
				_, err := seal.ParseKey(tt.Text)
				wellFormed = err == nil
			default:
				t.Fatalf("unknown kind %q", tt.Kind)
			}
			if wellFormed != tt.WellFormed {
				t.Errorf("well-formed: %t", wellFormed)
			}
		})
	}
}

// The checksum is worked out here a second time, as docs/secrets.md says it in words.
func TestChecksumInWords(t *testing.T) {
	checksum := func(text string) string {
		const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		six, sum := [6]byte{}, crc32.ChecksumIEEE([]byte(text))
		for i := len(six) - 1; i >= 0; i-- {
			six[i], sum = digits[sum%62], sum/62
		}
		return string(six[:])
	}
	v := readFormatVectors(t)
	for _, tt := range v.Checksums {
		if diff := cmp.Diff(tt.Checksum, checksum(tt.Text)); diff != "" {
			t.Errorf("%q: %s", tt.Text, diff)
		}
	}
	for _, made := range []string{auth.NewSecretValue().Reveal(), auth.NewSecretValue().Reveal()} {
		body, found := strings.CutPrefix(made[:len(made)-6], "cs_secret_")
		if !found || checksum(body) != made[len(made)-6:] || !regexp.MustCompile(v.Patterns["secret"]).MatchString(made) {
			t.Errorf("%s… is not what the page says", made[:14])
		}
	}
}
