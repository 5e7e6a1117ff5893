package imported_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/imported"
)

const value = "horse-battery-staple"

// foreign is the hash of value as another implementation (pyca/cryptography) writes it.
const foreign = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$tWRwqIYpCRrZs2EVYbXmv4kpCwkHu8hXiip5bi2JnM8"

func TestHash(t *testing.T) {
	first, err := imported.Hash(auth.PresentedSecret(value))
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`)
	if !form.MatchString(first) || len(first) > 255 {
		t.Errorf("hash is %s", first)
	}
	if second, err := imported.Hash(auth.PresentedSecret(value)); err != nil || second == first {
		t.Errorf("a second hash is %s, %v", second, err)
	}
}

func TestHashRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"short": "short", "long": strings.Repeat("a", 257), "space": "horse battery staple", "one of ours": auth.NewSecretValue().Reveal(),
	} {
		phc, err := imported.Hash(auth.PresentedSecret(text))
		if !errors.Is(err, fault.InvalidRequest) || phc != "" || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %s, %v", name, phc, err)
		}
	}
}

func TestParse(t *testing.T) {
	if got, err := imported.Canonical(foreign); err != nil || got != foreign {
		t.Fatalf("%s, %v", got, err)
	}
	for name, change := range map[string][2]string{
		"another kind":         {"argon2id", "argon2i"},
		"another version":      {"v=19", "v=16"},
		"no version":           {"$v=19", ""},
		"too much memory":      {"m=19456", "m=65537"},
		"too little memory":    {"m=19456", "m=7"},
		"no memory":            {"m=19456", "m=0"},
		"leading zero":         {"m=19456", "m=019456"},
		"sign":                 {"m=19456", "m=+19456"},
		"more than 32 bits":    {"m=19456", "m=4294986752"},
		"too many passes":      {"t=2", "t=9"},
		"no pass":              {"t=2", "t=0"},
		"too many threads":     {"p=1", "p=5"},
		"no thread":            {"p=1", "p=0"},
		"a further parameter":  {"p=1", "p=1,keyid=a"},
		"parameters reordered": {"t=2,p=1", "p=1,t=2"},
		"salt too short":       {"c29tZXNhbHRzb21lc2FsdA", "c29tZQ"},
		"salt too long":        {"c29tZXNhbHRzb21lc2FsdA", strings.Repeat("aaaa", 22)},
		"padding":              {"c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdA=="},
		"spare bits":           {"c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdB"},
		"line break in base64": {"c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRz\nb21lc2FsdA"},
		"no sum":               {"$tWRwqIYpCRrZs2EVYbXmv4kpCwkHu8hXiip5bi2JnM8", ""},
		"empty sum":            {"tWRwqIYpCRrZs2EVYbXmv4kpCwkHu8hXiip5bi2JnM8", ""},
		"a further part":       {"JnM8", "JnM8$"},
		"something before":     {"$argon2id", " $argon2id"},
	} {
		text := strings.Replace(foreign, change[0], change[1], 1)
		if text == foreign {
			t.Fatalf("%s: nothing changed", name)
		}
		if got, err := imported.Canonical(text); err == nil {
			t.Errorf("%s: taken for %s", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(foreign)
	f.Add("$argon2id$v=19$m=65536,t=8,p=4$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := imported.Canonical(text); err == nil && got != text {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}
