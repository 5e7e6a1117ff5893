package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
	signed, tail, _ := cutLast(text)
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

func cutLast(text string) (before, after string, found bool) {
	at := strings.LastIndexByte(text, '.')
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+1:], true
}

// distribution are measured times.
type distribution struct {
	mu    sync.Mutex
	times []time.Duration
}

func (d *distribution) add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times = append(d.times, took)
}

// String shows quantiles.
func (d *distribution) String() string {
	if len(d.times) == 0 {
		return "none"
	}
	slices.Sort(d.times)
	at := func(q float64) time.Duration {
		return d.times[int(q*float64(len(d.times)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d: min %v, median %v, 90%% %v, 99%% %v, max %v", len(d.times), at(0), at(0.5), at(0.9), at(0.99), at(1))
}

// max returns the longest, and forever if nothing could be measured.
func (d *distribution) max() time.Duration {
	if len(d.times) == 0 {
		return math.MaxInt64
	}
	return slices.Max(d.times)
}

// untilInactive asks until the token is inactive, for a bounded time, and returns when that answer had come. No answer may be
// anything but a verdict.
func untilInactive(ctx context.Context, s *serverProcess, c credential, text string) (time.Time, error) {
	for began := time.Now(); time.Since(began) < healWithin; {
		got, err := post(ctx, s.URL+"/oauth2/introspect", c, url.Values{"token": {text}})
		if err != nil {
			return time.Time{}, err
		}
		if got.Status != http.StatusOK {
			return time.Time{}, fmt.Errorf("introspection says %d %s", got.Status, got.Body)
		}
		if got.JSON["active"] == false {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("the token is active still, after %v", healWithin)
}

// A token revoked on one instance is refused by the other within a second, whether it hears of it by Redis or reads it in the log.
func TestRevocationReachesOtherInstances(t *testing.T) {
	for _, tt := range []struct {
		name, database string
		settings       func(t *testing.T) []string
	}{
		{"mariadb", "mariadb", func(*testing.T) []string { return nil }},
		{"mariadb with redis", "mariadb", func(t *testing.T) []string { t.Helper(); return []string{"token-store=" + testbed.Redis(t).URL()} }},
		{"sqlite", "sqlite", func(*testing.T) []string { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPair(t, tt.database, tt.settings(t)...)
			var took distribution
			var running sync.WaitGroup
			const workers, trials = 5, 10
			for range workers {
				running.Go(func() {
					for n := range trials {
						if err := p.revocationTrial(t.Context(), []string{jwtAPI, opaqueAPI}[n%2], &took); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			if t.Failed() {
				return
			}
			// A trial begins when the one before was seen, directly after a read of the log: what is measured is the worst case.
			t.Logf("from the answer to a revocation to the refusal elsewhere, %v", &took)
			if len(took.times) != workers*trials || took.max() > promptly {
				t.Errorf("not within %v", promptly)
			}
		})
	}
}

func (p *pair) revocationTrial(ctx context.Context, api string, took *distribution) error {
	got, err := askToken(ctx, p.one.URL, p.Caller, asking(api, ""))
	if err != nil {
		return err
	}
	text := got.Text("access_token")
	if err := isActive(ctx, p.other, p.Server, text, true); err != nil {
		return err
	}
	if err := revokes(ctx, p.one, p.Caller, text, "200"); err != nil {
		return err
	}
	revoked := time.Now()
	if err := isActive(ctx, p.one, p.Server, text, false); err != nil {
		return fmt.Errorf("where it was revoked: %w", err)
	}
	seen, err := untilInactive(ctx, p.other, p.Server, text)
	if err != nil {
		return err
	}
	took.add(seen.Sub(revoked))
	return nil
}

// revokes returns an error unless the revocation is answered as wanted.
func revokes(ctx context.Context, s *serverProcess, c credential, text, want string) error {
	got, err := post(ctx, s.URL+"/oauth2/revoke", c, url.Values{"token": {text}})
	if err != nil {
		return err
	}
	if verdict(got) != want || got.Status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
		return fmt.Errorf("revocation says %d %v %s, want %s", got.Status, got.Header, got.Body, want)
	}
	return nil
}

// narrowing is a way to take something away from a client.
type narrowing struct {
	name string
	take func(t *testing.T, s *seeded, c credential)
	// want is what a client hears that asks for a token with the scope write afterwards.
	want string
}

func clientID(t *testing.T, c credential) auth.ClientID {
	t.Helper()
	id, err := auth.ParseClientID(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func narrowings() []narrowing {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return []narrowing{
		{"grants narrowed", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			for _, api := range []string{jwtAPI, opaqueAPI} {
				must(t, s.Registry.PutGrant(t.Context(), s.Actor, clientID(t, c), s.API(t, api).ID, auth.NewScopes("read")))
			}
		}, "400 invalid_scope"},
		{"grants deleted", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			for _, api := range []string{jwtAPI, opaqueAPI} {
				must(t, s.Registry.DeleteGrant(t.Context(), s.Actor, clientID(t, c), s.API(t, api).ID))
			}
		}, "400 invalid_target"},
		{"client disabled", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			must(t, s.Registry.SetClientStatus(t.Context(), s.Actor, clientID(t, c), auth.Disabled))
		}, "401 invalid_client"},
		{"client deleted", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			must(t, s.Registry.DeleteClient(t.Context(), s.Actor, clientID(t, c)))
		}, "401 invalid_client"},
		{"secret disabled, tokens taken back", func(t *testing.T, s *seeded, c credential) {
			t.Helper()
			var secrets []*auth.Secret
			must(t, s.Registry.Store.View(t.Context(), func(tx auth.Tx) (err error) {
				secrets, err = tx.Secrets().ClientSecrets(t.Context(), clientID(t, c))
				return err
			}))
			for _, secret := range secrets {
				must(t, s.Registry.DisableSecret(t.Context(), s.Actor, secret.ID, true))
			}
		}, "401 invalid_client"},
	}
}

// What is taken away by somebody else is taken away at once where tokens are issued, whatever the instance remembers, and within
// a second where they are checked.
func TestTakenAwayElsewhere(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startPair(t, kind)
			for _, n := range narrowings() {
				t.Run(n.name, func(t *testing.T) {
					var asked, silent distribution
					for range 2 {
						p.takeAwayTrial(t, n, true, &asked)
						p.takeAwayTrial(t, n, false, &silent)
					}
					t.Logf("from the change to the refusal: where tokens are asked for, %v; where not, %v", &asked, &silent)
					if max(asked.max(), silent.max()) > promptly {
						t.Errorf("not within %v", promptly)
					}
				})
			}
		})
	}
}

// takeAwayTrial takes something away. With issuing, tokens are asked for at once afterwards, which makes the instances read the log.
func (p *pair) takeAwayTrial(t *testing.T, n narrowing, issuing bool, took *distribution) {
	t.Helper()
	client := p.Client(t, "narrowed", []string{jwtAPI, opaqueAPI}, nil)
	var before []string
	for _, s := range p.both() {
		testbed.Wait(t, promptly, func() error { return issues(t.Context(), s, client, "write", "200") })
		for _, api := range []string{jwtAPI, opaqueAPI} {
			before = append(before, token(t, s.URL, client, asking(api, "read write")))
		}
	}
	n.take(t, p.seeded, client)
	taken := time.Now()
	for _, s := range p.both() {
		if !issuing {
			break
		}
		if err := issues(t.Context(), s, client, "write", n.want); err != nil {
			t.Error(err)
		}
	}
	inEach(t, before, func(text string) error {
		for _, s := range p.both() {
			seen, err := untilInactive(t.Context(), s, p.Server, text)
			if err != nil {
				return err
			}
			took.add(seen.Sub(taken))
		}
		return nil
	})
}

// issues asks for a token of each format and returns an error unless each answer is as expected.
func issues(ctx context.Context, s *serverProcess, c credential, scope, want string) error {
	for _, api := range []string{jwtAPI, opaqueAPI} {
		got, err := askToken(ctx, s.URL, c, asking(api, scope))
		if err != nil {
			return err
		}
		if verdict(got) != want {
			return fmt.Errorf("token with scope %s: %d %s, want %s", scope, got.Status, got.Body, want)
		}
	}
	return nil
}

// cuts are ways in which an instance loses its database.
func cuts() map[string]func(*testbed.Proxy) {
	return map[string]func(*testbed.Proxy){
		"black hole":     (*testbed.Proxy).BlackHole,
		"refused":        (*testbed.Proxy).Refuse,
		"answers lost":   func(p *testbed.Proxy) { p.HalfOpen(testbed.ToClient) },
		"questions lost": func(p *testbed.Proxy) { p.HalfOpen(testbed.ToTarget) },
	}
}

// An instance that is cut off while a grant is narrowed mints nothing by what it remembers: not while it is cut off, not when the
// connection comes back, not afterwards.
func TestCutOffWhileNarrowed(t *testing.T) {
	for name, cut := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeded := newSeeded(t, "mariadb")
			proxy := testbed.StartProxy(t, hostOf(t, seeded.Database))
			away, near := startInstance(t, seeded, "database="+through(t, seeded.Database, proxy.Addr())), startInstance(t, seeded)
			var before []string
			for _, s := range []*serverProcess{away, near} {
				before = append(before, token(t, s.URL, seeded.Caller, asking(jwtAPI, "write")), token(t, s.URL, seeded.Caller, asking(opaqueAPI, "write")))
			}
			cut(proxy)
			narrowings()[0].take(t, seeded, seeded.Caller)
			askers := startAskers(t, away, seeded.Caller)
			inEach(t, before, func(text string) error {
				_, err := untilInactive(t.Context(), near, seeded.Server, text)
				return err
			})
			testbed.Wait(t, startWithin, func() error { return unready(t.Context(), away) })
			askers.await(t, http.StatusServiceUnavailable)
			for _, text := range before {
				if got := ask(t, away, seeded.Server, "introspect", text); got.Status != http.StatusServiceUnavailable {
					t.Errorf("cut off, introspection says %d %s", got.Status, got.Body)
				}
			}
			proxy.Pass()
			healed := time.Now()
			testbed.Wait(t, healWithin, func() error { return away.Ready(t.Context()) })
			askers.await(t, http.StatusBadRequest)
			t.Logf("issues again %v after the cut", time.Since(healed).Round(time.Millisecond))
			minted := askers.stop()
			if len(minted) > 0 {
				t.Errorf("%d tokens were minted by a grant that is gone", len(minted))
			}
			inEach(t, slices.Concat(before, minted), func(text string) error {
				return errors.Join(isActive(t.Context(), near, seeded.Server, text, false), isActive(t.Context(), away, seeded.Server, text, false))
			})
			if err := issues(t.Context(), away, seeded.Caller, "read", "200"); err != nil {
				t.Error(err)
			}
		})
	}
}

func hostOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// ask posts a token to an endpoint, "introspect" or "revoke".
func ask(t *testing.T, s *serverProcess, c credential, endpoint, text string) answer {
	t.Helper()
	got, err := post(t.Context(), s.URL+"/oauth2/"+endpoint, c, url.Values{"token": {text}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func unready(ctx context.Context, s *serverProcess) error {
	got, err := get(ctx, s.AdminURL+"/readyz")
	if err != nil {
		return err
	}
	if got.Status != http.StatusServiceUnavailable {
		return fmt.Errorf("readiness is %d", got.Status)
	}
	return nil
}

// askers ask for tokens with the scope write until they are stopped.
type askers struct {
	running sync.WaitGroup
	end     context.CancelFunc
	mu      sync.Mutex
	minted  []string
	heard   map[int]int // answers by status
}

func startAskers(t *testing.T, s *serverProcess, c credential) *askers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &askers{end: cancel, heard: map[int]int{}}
	for n := range 4 {
		a.running.Go(func() {
			for ctx.Err() == nil {
				got, err := askToken(ctx, s.URL, c, asking([]string{jwtAPI, opaqueAPI}[n%2], "write"))
				if err != nil {
					continue // ctx ended
				}
				a.mu.Lock()
				a.heard[got.Status]++
				if got.Status == http.StatusOK {
					a.minted = append(a.minted, got.Text("access_token"))
				}
				a.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { a.stop() })
	return a
}

// await waits until the askers have heard the status a few times more.
func (a *askers) await(t *testing.T, status int) {
	t.Helper()
	heard := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.heard[status]
	}
	start := heard()
	testbed.Wait(t, startWithin, func() error {
		if n := heard() - start; n < 4 {
			return fmt.Errorf("status %d was heard %d times", status, n)
		}
		return nil
	})
}

func (a *askers) stop() []string {
	a.end()
	a.running.Wait()
	hangUp()
	return a.minted
}

// A revocation is acknowledged after its commit or not at all.
func TestRevocationWithoutCommit(t *testing.T) {
	for name, cut := range cuts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeded := newSeeded(t, "mariadb")
			proxy := testbed.StartProxy(t, hostOf(t, seeded.Database))
			away, near := startInstance(t, seeded, "database="+through(t, seeded.Database, proxy.Addr())), startInstance(t, seeded)
			var issued []string
			for n := range 8 {
				issued = append(issued, token(t, away.URL, seeded.Caller, asking([]string{jwtAPI, opaqueAPI}[n%2], "")))
			}
			cut(proxy)
			inEach(t, issued, func(text string) error {
				return revokes(t.Context(), away, seeded.Caller, text, unavailable)
			})
			proxy.Pass()
			testbed.Wait(t, healWithin, func() error { return away.Ready(t.Context()) })
			for _, want := range []bool{true, false} {
				inEach(t, issued, func(text string) error {
					return errors.Join(isActive(t.Context(), near, seeded.Server, text, want), isActive(t.Context(), away, seeded.Server, text, want))
				})
				if want {
					inEach(t, issued, func(text string) error { return revokeAndSee(t.Context(), away, near, seeded, text) })
				}
			}
		})
	}
}

func revokeAndSee(ctx context.Context, where, elsewhere *serverProcess, seeded *seeded, text string) error {
	if err := revokes(ctx, where, seeded.Caller, text, "200"); err != nil {
		return err
	}
	_, err := untilInactive(ctx, elsewhere, seeded.Server, text)
	return err
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
