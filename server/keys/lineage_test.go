package keys_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// derived are the claims of a token that is bound to both, and the last of a chain of n exchanges.
func derived(n int) keys.Claims {
	c := sample()
	c.Confirmation = auth.Confirmation{JWK: [32]byte{1}, Certificate: [32]byte{2}}
	for i := range n {
		c.Lineage.Ancestors = append(c.Lineage.Ancestors, auth.Ancestor{
			ID: auth.TokenID{byte(i), 1}, Client: auth.ClientID{byte(i), 2}, Audience: fmt.Sprintf("https://%d.example", i), Revision: uint64(i),
			Credential: auth.SecretID{byte(i), 3}, Key: auth.KeyID{byte(i), 4},
		})
	}
	if n > 0 {
		c.Lineage.Subject = c.Lineage.Ancestors[n-1].Client
	}
	return c
}

func TestLineage(t *testing.T) {
	key := generate(t, auth.ES256, start())
	ring := newRing(t, start, key)
	for name, change := range map[string]func(*keys.Claims){
		"one ancestor":                      func(c *keys.Claims) { *c = derived(1) },
		"as many ancestors as there may be": func(c *keys.Claims) { *c = derived(auth.MaxAncestors) },
		"ancestors without details": func(c *keys.Claims) {
			*c = derived(2)
			c.Lineage.Ancestors[0].Credential, c.Lineage.Ancestors[1].Key = auth.SecretID{}, auth.KeyID{}
		},
		"its subject is its client": func(c *keys.Claims) {
			*c = derived(1)
			c.Lineage.Ancestors[0].Client, c.Lineage.Subject = c.Client, auth.ClientID{}
		},
		"may_act":                func(c *keys.Claims) { c.Lineage.MayAct = auth.ClientID{5} },
		"may_act, derived":       func(c *keys.Claims) { *c = derived(3); c.Lineage.MayAct = auth.ClientID{5} },
		"bound to a key":         func(c *keys.Claims) { c.Confirmation.JWK = [32]byte{9} },
		"bound to a certificate": func(c *keys.Claims) { c.Confirmation.Certificate = [32]byte{9} },
	} {
		t.Run(name, func(t *testing.T) {
			want := sample()
			change(&want)
			token, _, err := ring.Sign(auth.ES256, want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ring.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			want.Key = key.ID
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestActors has the chain of actors as RFC 8693 §4.1 wants it.
func TestActors(t *testing.T) {
	ring := newRing(t, start, generate(t, auth.ES256, start()))
	c := derived(3)
	token, _, err := ring.Sign(auth.ES256, c)
	if err != nil {
		t.Fatal(err)
	}
	type actor struct {
		Subject string `json:"sub"`
		Actor   *actor `json:"act"`
	}
	var got struct {
		actor
		Confirmation map[string]string `json:"cnf"`
	}
	if err := json.Unmarshal([]byte(decoded(t, strings.Split(token, ".")[1])), &got); err != nil {
		t.Fatal(err)
	}
	a := c.Lineage.Ancestors
	want := actor{a[2].Client.String(), &actor{c.Client.String(), &actor{a[0].Client.String(), &actor{a[1].Client.String(), nil}}}}
	if diff := cmp.Diff(want, got.actor); diff != "" {
		t.Error(diff)
	}
	confirmed := map[string]string{"jkt": c.Confirmation.JWKText(), "x5t#S256": c.Confirmation.CertificateText()}
	if diff := cmp.Diff(confirmed, got.Confirmation); diff != "" {
		t.Error(diff)
	}
}

func TestLineageAttacks(t *testing.T) {
	f := newForge(t, auth.ES256)
	ring := newRing(t, start, f.row)
	token, _, err := ring.Sign(auth.ES256, derived(2))
	if err != nil {
		t.Fatal(err)
	}
	good := decoded(t, strings.Split(token, ".")[1])
	if _, err := ring.Verify(f.token(t, f.header(), good)); err != nil {
		t.Fatal(err)
	}
	c, other := derived(2), auth.ClientID{0xee}.String()
	first, last := c.Lineage.Ancestors[0], c.Lineage.Ancestors[1]
	chain := strings.Index(good, `,"act":`)
	for _, tt := range []struct{ name, old, fresh string }{
		{"no ancestors", good[chain:], "}"},
		{"no actors", good[chain:strings.Index(good, `,"cs_anc"`)], ""},
		{"one ancestor less", `},{"jti":"` + last.ID.String(), `}]}` + last.ID.String()},
		{"another subject", `"sub":"` + last.Client.String(), `"sub":"` + other},
		{"another actor", `{"sub":"` + first.Client.String(), `{"sub":"` + other},
		{"a second cnf", `,"act"`, `,"cnf":{"jkt":"` + c.Confirmation.JWKText() + `"},"act"`},
		{"cnf of zeros", c.Confirmation.JWKText(), strings.Repeat("A", 43)},
		{"cnf with spare bits", c.Confirmation.JWKText(), c.Confirmation.JWKText()[:42] + "B"},
		{"cnf that is empty", c.Confirmation.JWKText(), ""},
		{"no cnf members", good[strings.Index(good, `"jkt"`):strings.Index(good, `},"act"`)], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.old) {
				t.Fatalf("%q is not in the claims", tt.old)
			}
			refused(t, ring, f.token(t, f.header(), strings.Replace(good, tt.old, tt.fresh, 1)))
		})
	}
	t.Run("more ancestors than there may be", func(t *testing.T) {
		if _, _, err := ring.Sign(auth.ES256, derived(auth.MaxAncestors+1)); err == nil {
			t.Error("signed")
		}
	})
}
