package assertion_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/assertion"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/remotekeys"
)

const issuer = "https://auth.example.com"

// start is the time of all tests.
func start() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// members are those of a JSON object. A nil one is left out, a raw one written as it is.
type members map[string]any

func (m members) with(changes members) members {
	changed := maps.Clone(m)
	maps.Copy(changed, changes)
	return changed
}

func (m members) json(t testing.TB) []byte {
	t.Helper()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] == nil {
			continue
		}
		value, err := json.Marshal(m[name])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%q:%s", name, value))
	}
	return []byte("{" + strings.Join(all, ",") + "}")
}

// signer is a key with the JWK by which it is known.
type signer struct {
	key crypto.Signer
	alg jose.Algorithm
	kid string
}

func newSigner(t testing.TB, kid string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, jose.ES256, kid}
}

// jwk returns the public key as a JWK with its kid and more members.
func (s signer) jwk(t testing.TB, more members) json.RawMessage {
	t.Helper()
	text, err := jose.PublicJWK(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var key members
	if err := json.Unmarshal(text, &key); err != nil {
		t.Fatal(err)
	}
	return key.with(members{"kid": s.kid}).with(more).json(t)
}

func set(keys ...json.RawMessage) json.RawMessage {
	var all []string
	for _, key := range keys {
		all = append(all, string(key))
	}
	return json.RawMessage(`{"keys":[` + strings.Join(all, ",") + `]}`)
}

func (s signer) sign(t testing.TB, header, claims members) string {
	t.Helper()
	return s.signText(t, members{"alg": s.alg, "kid": s.kid}.with(header).json(t), claims.json(t))
}

func (s signer) signText(t testing.TB, header, claims []byte) string {
	t.Helper()
	token, err := jose.Sign(s.key, s.alg, header, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// nobody is asked.
type nobody struct{ testing.TB }

func (n nobody) Get(_ context.Context, url string) (outbound.Answer, error) {
	n.Errorf("asked %s", url)
	return outbound.Answer{}, errors.New("nobody is there")
}

// world is a verifier with a client, and trusted issuers if there are any.
type world struct {
	testing.TB
	keys     assertion.Keys
	verifier *assertion.Verifier
	client   *auth.Client
	trusted  map[auth.TrustedIssuerID]*auth.TrustedIssuer
	now      time.Time
}

// TrustedIssuer implements assertion.Directory.
func (w *world) TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer { return w.trusted[id] }

// newWorld returns a client of this method, whose keys are all inline.
func newWorld(t testing.TB, method auth.Method) *world {
	t.Helper()
	keys, err := remotekeys.New(remotekeys.Config{Client: nobody{t}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, keys: keys, now: start(), trusted: map[auth.TrustedIssuerID]*auth.TrustedIssuer{}}
	w.client = &auth.Client{ID: auth.NewClientID(start()), Status: auth.Active, AuthMethod: method}
	w.verifier = w.newVerifier()
	return w
}

func (w *world) newVerifier() *assertion.Verifier {
	w.Helper()
	verifier, err := assertion.New(assertion.Config{Issuer: issuer, Keys: w.keys, Directory: w, Now: func() time.Time { return w.now }})
	if err != nil {
		w.Fatal(err)
	}
	return verifier
}

// id is the client's.
func (w *world) id() string { return w.client.ID.String() }

func (w *world) check(kind, text string) (auth.Proven, error) {
	w.Helper()
	return w.verifier.Check(w.Context(), &auth.ClientRecord{Client: w.client}, auth.PresentedAssertion(kind, text))
}

// judge expects an assertion to be accepted (reason empty), or refused for a reason with a detail that begins so and shows nothing of the assertion.
func (w *world) judge(kind, text, reason, detail string) {
	w.Helper()
	proven, err := w.check(kind, text)
	if reason == "" {
		if err != nil {
			w.Errorf("refused: %v, %s", err, detailOf(err))
		}
		return
	}
	refusal, ok := errors.AsType[*auth.Refusal](err)
	if !ok || refusal.Reason != reason || !strings.HasPrefix(refusal.Detail, detail) || refusal.Client != w.client.ID {
		w.Errorf("got %v, %q, want %s, %q", err, detailOf(err), reason, detail)
	}
	if proven != (auth.Proven{}) {
		w.Errorf("refused, and proves %+v", proven)
	}
	for part := range strings.SplitSeq(text, ".") {
		if len(part) > 8 && strings.Contains(fmt.Sprint(err, detailOf(err)), part) {
			w.Errorf("the assertion is in %v", err)
		}
	}
}

func detailOf(err error) string {
	if refusal, ok := errors.AsType[*auth.Refusal](err); ok {
		return refusal.Detail
	}
	return ""
}
