package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// sharedIssuer is the issuer of instances that are several. Nobody looks it up.
const sharedIssuer = "https://issuer.test.internal"

const (
	// promptly is within what time one instance must know what happened on another.
	promptly = time.Second
	// healWithin is within what time all works again, by itself, when what was broken is whole.
	healWithin = 8 * time.Second
)

// newDatabase makes an empty database of a kind: "mariadb" or "sqlite".
func newDatabase(t *testing.T, kind string) string {
	t.Helper()
	if kind == "mariadb" {
		return testbed.MariaDB(t).New(t)
	}
	return sqliteURL(t)
}

func newSeeded(t *testing.T, kind string) *seeded {
	t.Helper()
	return seedClients(t, newDatabase(t, kind), filepath.Join(t.TempDir(), "master.key"))
}

// startInstance starts one of several servers on a database.
func startInstance(t *testing.T, s *seeded, more ...string) *serverProcess {
	t.Helper()
	return startServer(t, s.Settings(append([]string{"issuer=" + sharedIssuer}, more...)...)...)
}

// through returns the database's URL with another host and port in it.
func through(t *testing.T, rawURL, address string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

// pair are two instances on one database.
type pair struct {
	*seeded

	one, other *serverProcess
}

func startPair(t *testing.T, kind string, settings ...string) *pair {
	t.Helper()
	s := newSeeded(t, kind)
	return &pair{s, startInstance(t, s, settings...), startInstance(t, s, settings...)}
}

func (p *pair) both() []*serverProcess { return []*serverProcess{p.one, p.other} }

func databases() []string { return []string{"mariadb", "sqlite"} }

// What one instance issues is good on the other, and no two tokens are the same.
func TestTwoInstancesAtOnce(t *testing.T) {
	const goroutines, each = 50, 6
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			p := startPair(t, kind)
			instances := p.both()
			issued := make([][]string, len(instances))
			var mu sync.Mutex
			var running sync.WaitGroup
			for n := range goroutines {
				running.Go(func() {
					from := n % len(instances)
					for round := range each {
						got, err := askToken(t.Context(), instances[from].URL, p.Caller, asking([]string{jwtAPI, opaqueAPI}[round%2], ""))
						if err != nil || got.Status != http.StatusOK {
							t.Errorf("%d %s %v", got.Status, got.Body, err)
							return
						}
						mu.Lock()
						issued[from] = append(issued[from], got.Text("access_token"))
						mu.Unlock()
					}
				})
			}
			running.Wait()
			if all := slices.Concat(issued...); len(all) != goroutines*each || lost(t, p.Database, all) != 0 { // which looks for equal ids, too
				t.Errorf("%d tokens, of which some have no row", len(all))
			}
			for from, tokens := range issued {
				other := instances[1-from]
				published := jwks(t, other)
				inEach(t, tokens, func(text string) error {
					err := isActive(t.Context(), other, p.Server, text, true)
					if !auth.LooksOpaque(text) {
						err = errors.Join(err, checkES256(text, published))
					}
					return err
				})
			}
		})
	}
}

// jwk is a public key as the JWK set shows it (RFC 7517 §4).
type jwk struct{ Kid, Alg, X, Y string }

func jwks(t *testing.T, s *serverProcess) []jwk {
	t.Helper()
	got, err := get(t.Context(), s.URL+"/oauth2/jwks")
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(got.Body, &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("%s: %v", got.Body, err)
	}
	return set.Keys
}

// checkES256 checks a JWT's signature as RFC 7515 and RFC 7518 §3.4 say, with nothing of ours.
func checkES256(text string, published []jwk) error {
	signed, tail := cutLast(text)
	var header struct{ Kid, Alg string }
	head, _, _ := strings.Cut(signed, ".")
	if raw, err := base64.RawURLEncoding.DecodeString(head); err != nil || json.Unmarshal(raw, &header) != nil || header.Alg != "ES256" {
		return fmt.Errorf("header %s of a JWT", head)
	}
	at := slices.IndexFunc(published, func(k jwk) bool { return k.Kid == header.Kid && k.Alg == header.Alg })
	if at < 0 {
		return fmt.Errorf("key %s is not published", header.Kid)
	}
	var numbers [3][]byte
	for i, text := range []string{published[at].X, published[at].Y, tail} {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return err
		}
		numbers[i] = raw
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, numbers[0], numbers[1]))
	if err != nil {
		return err
	}
	digest, signature := sha256.Sum256([]byte(signed)), numbers[2]
	if len(signature) != 64 || !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature does not fit the published key")
	}
	return nil
}

func cutLast(text string) (before, after string) {
	at := strings.LastIndexByte(text, '.')
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at+1:]
}

// Instances that start together on an empty database make its schema and its first keys once.
func TestTenInstancesStartTogether(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			database := newDatabase(t, kind)
			masterKey := filepath.Join(t.TempDir(), "master.key")
			if _, err := seal.CreateKeyFile(masterKey); err != nil {
				t.Fatal(err)
			}
			var instances []*serverProcess
			for range 10 {
				instances = append(instances, launchInstance(t, database, masterKey))
			}
			var sets []string
			for _, s := range instances {
				testbed.Wait(t, startWithin, func() error { return s.Ready(t.Context()) })
				testbed.Wait(t, startWithin, func() error { // RSA keys are made after the start
					got, err := get(t.Context(), s.URL+"/oauth2/jwks")
					if n := strings.Count(string(got.Body), `"kid"`); err == nil && n < len(auth.Algorithms()) {
						err = fmt.Errorf("%d keys are published", n)
					}
					sets = append(sets, string(got.Body))
					return err
				})
			}
			checkFirstRows(t, database, masterKey)
			for _, s := range instances {
				got, err := get(t.Context(), s.URL+"/oauth2/jwks")
				if err != nil || string(got.Body) != sets[len(sets)-1] {
					t.Errorf("instances publish different keys: %s and %s: %v", got.Body, sets[len(sets)-1], err)
				}
			}
		})
	}
}

// launchInstance starts a server and does not wait until it is ready.
func launchInstance(t *testing.T, database, masterKey string) *serverProcess {
	t.Helper()
	public, admin := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	s := &serverProcess{URL: "http://" + public, AdminURL: "http://" + admin, Issuer: sharedIssuer}
	s.program = startProgram(t, t.TempDir(), []string{
		"COUNTERSIGN_LISTEN=" + public, "COUNTERSIGN_ADMIN_LISTEN=" + admin, "COUNTERSIGN_ISSUER=" + sharedIssuer,
		"COUNTERSIGN_DATABASE=" + database, "COUNTERSIGN_MASTER_KEY_FILE=" + masterKey,
	}, "server")
	return s
}

func checkFirstRows(t *testing.T, database, masterKey string) {
	t.Helper()
	seeded := seedClients(t, database, masterKey)
	err := seeded.Registry.Store.View(t.Context(), func(tx auth.Tx) error {
		all, err := tx.Keys().SigningKeys(t.Context())
		if err != nil {
			return err
		}
		current := map[auth.Algorithm]int{}
		for _, key := range all {
			if keys.State(key, all, time.Now()) == auth.KeyCurrent {
				current[key.Algorithm]++
			}
		}
		for _, algorithm := range auth.Algorithms() {
			if current[algorithm] != 1 {
				t.Errorf("%d current keys for %s", current[algorithm], algorithm)
			}
		}
		if len(all) != len(auth.Algorithms()) {
			t.Errorf("%d signing keys for %d algorithms", len(all), len(auth.Algorithms()))
		}
		sealed, err := tx.Keys().SealedKeys(t.Context())
		for _, key := range sealed {
			if key.Version != 1 {
				t.Errorf("sealed key %s has version %d", key.Purpose, key.Version)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
