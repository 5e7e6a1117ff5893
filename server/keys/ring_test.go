package keys_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

func TestSignGolden(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*keys.Claims)
		want   string
	}{
		{"every claim", func(*keys.Claims) {}, `{"iss":"https://auth.example.test","sub":"CLIENT","client_id":"CLIENT",` +
			`"aud":"https://inventory.demo.internal","exp":1795179600,"iat":1795176000,"jti":"JTI",` +
			`"scope":"inventory:read inventory:write","cs_rev":42,"cs_sec":"SECRET"}`},
		{
			"no credential, no scope", func(c *keys.Claims) { c.Credential, c.Scope, c.Revision = auth.SecretID{}, "", 0 },
			`{"iss":"https://auth.example.test","sub":"CLIENT","client_id":"CLIENT",` +
				`"aud":"https://inventory.demo.internal","exp":1795179600,"iat":1795176000,"jti":"JTI","cs_rev":0}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := generate(t, auth.ES256, start())
			ring := newRing(t, start, key)
			claims := sample()
			tt.change(&claims)
			token, by, err := ring.Sign(auth.ES256, claims)
			if err != nil || by != key.ID {
				t.Fatalf("Sign: %v, by %s", err, by)
			}
			parts := strings.Split(token, ".")
			if want := fmt.Sprintf(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, key.ID); decoded(t, parts[0]) != want {
				t.Errorf("header %s", decoded(t, parts[0]))
			}
			want := strings.NewReplacer("CLIENT", claims.Client.String(), "JTI", claims.ID.String(), "SECRET", claims.Credential.String()).Replace(tt.want)
			if got := decoded(t, parts[1]); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
			if len(decoded(t, parts[2])) != 64 {
				t.Errorf("J08: the signature has %d bytes", len(decoded(t, parts[2])))
			}
			got, err := ring.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			claims.Key = key.ID
			if diff := cmp.Diff(&claims, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func decoded(t testing.TB, segment string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestSignRefuses(t *testing.T) {
	ring := newRing(t, start, generate(t, auth.ES256, start()))
	for _, tt := range []struct {
		name            string
		audience, scope string
	}{
		{"a quote in the audience", `https://a","cs_rev":99,"x":"`, "a"},
		{"a backslash in the scope", "https://a", `a\`},
		{"a control character", "https://a\n", "a"},
		{"beyond ASCII", "https://ä", "a"},
		{"no audience", "", "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := sample()
			claims.Audience, claims.Scope = tt.audience, tt.scope
			if token, _, err := ring.Sign(auth.ES256, claims); err == nil {
				t.Fatalf("signed %s", token)
			}
		})
	}
	long := sample()
	long.Scope = strings.Repeat("a", auth.MaxTokenLength)
	if _, _, err := ring.Sign(auth.ES256, long); !errors.Is(err, fault.InvalidScope) {
		t.Errorf("a token that nobody could verify: %v", err)
	}
	if _, _, err := ring.Sign(auth.RS256, sample()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("no key of the algorithm: %v", err)
	}
	for _, text := range []string{"", "auth.example.test", `https://a"b`, "https://a#b"} {
		if _, err := keys.NewRing(keys.Config{Issuer: text, Now: start}); !errors.Is(err, fault.InvalidRequest) {
			t.Errorf("issuer %q: %v", text, err)
		}
	}
}

// TestForeignVerifiers has two libraries that know nothing of us verify a token of each algorithm by the JWK set.
func TestForeignVerifiers(t *testing.T) {
	for _, alg := range auth.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			ring := newRing(t, start, generate(t, alg, start()))
			token, by, err := ring.Sign(alg, sample())
			if err != nil {
				t.Fatal(err)
			}
			var set jose.JSONWebKeySet
			if err := json.Unmarshal(ring.JWKS().Body, &set); err != nil {
				t.Fatal(err)
			}
			found := set.Key(by.String())
			if len(found) != 1 || !found[0].Valid() || !found[0].IsPublic() || found[0].Use != "sig" || found[0].Algorithm != string(alg) {
				t.Fatalf("M07: JWK %+v", found)
			}
			verifyByJWT(t, token, alg, found[0].Key)
			signed, err := jose.ParseSigned(token)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := signed.Verify(found[0])
			if err != nil || !json.Valid(payload) {
				t.Fatalf("go-jose: %v", err)
			}
			if _, err := ring.Verify(token); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func verifyByJWT(t *testing.T, token string, alg auth.Algorithm, public crypto.PublicKey) {
	t.Helper()
	parser := jwt.NewParser(jwt.WithValidMethods([]string{string(alg)}), jwt.WithIssuer(issuer), jwt.WithAudience(sample().Audience),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(start), jwt.WithSubject(sample().Client.String()))
	parsed, err := parser.Parse(token, func(*jwt.Token) (any, error) { return public, nil })
	if err != nil {
		t.Fatalf("golang-jwt: %v", err)
	}
	if parsed.Header["typ"] != "at+jwt" {
		t.Errorf("J01: typ %v", parsed.Header["typ"])
	}
}

func TestLoadKeepsWhatIsOpen(t *testing.T) {
	kept, fresh := generate(t, auth.ES256, start()), generate(t, auth.ES256, start().Add(time.Hour))
	now := start()
	ring := newRing(t, func() time.Time { return now }, kept)
	token, _, err := ring.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}

	resealed, unknown := *kept, *fresh
	resealed.Sealed, unknown.Sealed = []byte("under another master key"), []byte("under another master key")
	if err := ring.Load([]*auth.Key{&resealed, &unknown}); err == nil || !strings.Contains(err.Error(), unknown.ID.String()) || strings.Contains(err.Error(), kept.ID.String()) {
		t.Fatalf("Load: %v", err)
	}
	if _, err := ring.Verify(token); err != nil {
		t.Errorf("the key that was open is lost: %v", err)
	}
	if _, by, err := ring.Sign(auth.ES256, sample()); err != nil || by != kept.ID {
		t.Errorf("Sign: by %s, %v", by, err)
	}
	if strings.Contains(string(ring.JWKS().Body), unknown.ID.String()) {
		t.Error("a key that nobody vouches for is published")
	}
	other := newRing(t, func() time.Time { return now.Add(2 * time.Hour) }, fresh)
	later, _, err := other.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(later); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a token of a key that does not open: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if _, _, err := ring.Sign(auth.ES256, sample()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Sign with a key that does not open: %v", err)
	}
	if err := ring.Load([]*auth.Key{&resealed, fresh}); err != nil {
		t.Fatalf("Load: %v", err)
	}
	if _, err := ring.Verify(later); err != nil {
		t.Errorf("the key opens now: %v", err)
	}
}

func TestLoadRefusesForeignParts(t *testing.T) {
	mine, other := generate(t, auth.ES256, start()), generate(t, auth.ES256, start())
	rsaKey := generate(t, auth.RS256, start())
	for _, tt := range []struct {
		name   string
		change func(*auth.Key)
	}{
		{"public part of another key", func(k *auth.Key) { k.Public = other.Public }},
		{"public part of another kind", func(k *auth.Key) { k.Public = rsaKey.Public }},
		{"public part damaged", func(k *auth.Key) { k.Public = k.Public[1:] }},
		{"private part of another key", func(k *auth.Key) { k.Sealed = other.Sealed }},
		{"another id", func(k *auth.Key) { k.ID = other.ID }},
		{"another algorithm", func(k *auth.Key) { k.Algorithm = auth.EdDSA }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := *mine
			tt.change(&changed)
			ring := newRing(t, start)
			if err := ring.Load([]*auth.Key{&changed, rsaKey}); err == nil {
				t.Fatal("loaded")
			}
			if _, _, err := ring.Sign(changed.Algorithm, sample()); !errors.Is(err, fault.Unavailable) {
				t.Errorf("Sign: %v", err)
			}
			if _, _, err := ring.Sign(auth.RS256, sample()); err != nil {
				t.Errorf("the other key is not in place: %v", err)
			}
		})
	}
}

func TestRingFollowsTheClock(t *testing.T) {
	now := start()
	first, second := generate(t, auth.ES256, start()), generate(t, auth.ES256, start().Add(24*time.Hour))
	ring := newRing(t, func() time.Time { return now }, first, second)
	early, _, err := ring.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}
	end := second.ActiveAt.Add(auth.MaxLifetime + 5*time.Minute)
	for _, tt := range []struct {
		name      string
		at        time.Time
		signs     auth.KeyID
		published []auth.KeyID
		verifies  bool
	}{
		{"before the second", start(), first.ID, []auth.KeyID{first.ID, second.ID}, true},
		{"a moment before", second.ActiveAt.Add(-time.Nanosecond), first.ID, []auth.KeyID{first.ID, second.ID}, true},
		{"the second is active", second.ActiveAt, second.ID, []auth.KeyID{first.ID, second.ID}, true},
		{"tokens of the first may live", end.Add(-time.Nanosecond), second.ID, []auth.KeyID{first.ID, second.ID}, true},
		{"no token of the first lives", end, second.ID, []auth.KeyID{second.ID}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now = tt.at
			if _, by, err := ring.Sign(auth.ES256, sample()); err != nil || by != tt.signs {
				t.Errorf("Sign: by %s, %v", by, err)
			}
			if _, err := ring.Verify(early); (err == nil) != tt.verifies {
				t.Errorf("Verify: %v", err)
			}
			got := published(t, ring)
			for _, id := range tt.published {
				if !got[id.String()] {
					t.Errorf("%s is not published", id)
				}
			}
			if len(got) != len(tt.published) {
				t.Errorf("published %v", got)
			}
		})
	}
	now = first.ActiveAt.Add(-time.Hour)
	if _, _, err := ring.Sign(auth.ES256, sample()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Sign before any key is active: %v", err)
	}
}

func published(t testing.TB, ring *keys.Ring) map[string]bool {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(ring.JWKS().Body, &set); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, key := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != nil {
				t.Errorf("M07: the private member %s is published", private)
			}
		}
		found[key["kid"].(string)] = true
	}
	return found
}

func TestJWKS(t *testing.T) {
	a, b := generate(t, auth.ES256, start()), generate(t, auth.EdDSA, start())
	one, two := newRing(t, start, a, b), newRing(t, start, a, b)
	first := one.JWKS()
	if got := two.JWKS(); string(got.Body) != string(first.Body) || got.ETag != first.ETag {
		t.Error("two instances answer differently")
	}
	if again := one.JWKS(); &again.Body[0] != &first.Body[0] {
		t.Error("the document is made anew for each call")
	}
	revoked := *a
	revoked.RevokedAt = start()
	if err := one.Load([]*auth.Key{&revoked, b}); err != nil {
		t.Fatal(err)
	}
	if got := one.JWKS(); got.ETag == first.ETag || published(t, one)[a.ID.String()] {
		t.Errorf("a revoked key is published: %s", got.Body)
	}
	if got := string(newRing(t, start).JWKS().Body); got != `{"keys":[]}` {
		t.Errorf("an empty ring: %s", got)
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	key := generate(t, auth.ES256, start())
	ring := newRing(t, start, key)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				token, _, err := ring.Sign(auth.ES256, sample())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := ring.Verify(token); err != nil {
					t.Error(err)
				}
				if err := ring.Load([]*auth.Key{key}); err != nil {
					t.Error(err)
				}
				if len(ring.JWKS().Body) == 0 {
					t.Error("no document")
				}
			}
		})
	}
	group.Wait()
}
