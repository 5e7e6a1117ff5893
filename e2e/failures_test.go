package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

const (
	// answerWithin bounds every answer, whatever is down: the database's timeout of 2 s, half as much for one retry, and some
	// for a busy machine.
	answerWithin = 3500 * time.Millisecond
	// redisCosts is what a Redis that does not answer may add. A busy machine may hold one answer up for longer, up to stalled; a Redis
	// that is waited for takes longer three times before it is left alone.
	redisCosts, stalled = 100 * time.Millisecond, time.Second
	// surelyFresh is how long after the database went an instance still vouches for tokens: the staleness bound, less one poll of the
	// change log, less some for the answer.
	surelyFresh = 600 * time.Millisecond
)

// failureWorld is an instance whose way to its database and its Redis can be broken, and one beside it whose cannot.
type failureWorld struct {
	*seeded

	mariadb, redis           *testbed.Server
	mariadbProxy, redisProxy *testbed.Proxy
	server, beside           *serverProcess
}

func newFailureWorld(t *testing.T) *failureWorld {
	t.Helper()
	w := &failureWorld{mariadb: testbed.StartMariaDB(t), redis: testbed.StartRedis(t)}
	w.mariadbProxy, w.redisProxy = testbed.StartProxy(t, w.mariadb.Addr()), testbed.StartProxy(t, w.redis.Addr())
	w.seeded = seedClients(t, w.mariadb.URL(), filepath.Join(t.TempDir(), "master.key"))
	w.server = startInstance(t, w.seeded,
		"database="+through(t, w.Database, w.mariadbProxy.Addr()), "token-store="+through(t, w.redis.URL(), w.redisProxy.Addr()))
	w.beside = startInstance(t, w.seeded, "token-store="+w.redis.URL())
	return w
}

// breakage is a way in which a server behind a proxy fails.
type breakage struct {
	name        string
	strike, end func(*testbed.Server, *testbed.Proxy)
}

func breakages() []breakage {
	return []breakage{
		{"stopped", func(s *testbed.Server, _ *testbed.Proxy) { s.Kill() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Start() }},
		{"hung", func(s *testbed.Server, _ *testbed.Proxy) { s.Pause() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Resume() }},
		{"black-holed", func(_ *testbed.Server, p *testbed.Proxy) { p.BlackHole() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() }},
		{"refused", func(_ *testbed.Server, p *testbed.Proxy) { p.Refuse() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() }},
	}
}

// down says what is broken.
type down struct{ database, redis bool }

func (d down) each(w *failureWorld, do func(*testbed.Server, *testbed.Proxy)) {
	if d.database {
		do(w.mariadb, w.mariadbProxy)
	}
	if d.redis {
		do(w.redis, w.redisProxy)
	}
}

// TestFailures is the table of "Failure semantics": what each endpoint answers, and how soon, while the database, Redis or both do not
// answer, and that all works again by itself afterwards.
func TestFailures(t *testing.T) {
	for name, what := range map[string]down{"database": {database: true}, "redis": {redis: true}, "both": {database: true, redis: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFailureWorld(t)
			for _, b := range breakages() {
				t.Run(b.name, func(t *testing.T) { w.outage(t, what, b) })
			}
		})
	}
}

func (w *failureWorld) outage(t *testing.T, what down, b breakage) {
	t.Helper()
	k, normal := w.prepare(t)
	what.each(w, b.strike)
	k.struck = time.Now()
	if what.database {
		w.checkAtOnce(t, k, what)
		testbed.Wait(t, startWithin, func() error { return unready(t.Context(), w.server) })
	}
	if !what.database {
		costs := w.latency(t, k.fresh[3:])
		t.Logf("fresh opaque tokens are introspected with Redis: %v; without: %v", normal, costs)
		if costs.quantile(0.9) > normal.max()+redisCosts || costs.max() > normal.max()+stalled {
			t.Errorf("that is more than %v longer, or once more than %v", redisCosts, stalled)
		}
	}
	w.check(t, w.probes(k), func(p probe) string {
		if what.database {
			return p.without
		}
		return p.normal
	})
	w.checkFeed(t, k.struck, what)
	what.each(w, b.end)
	w.checkHealed(t, k)
}

// known are tokens that were issued before something broke.
type known struct {
	opaque, jwt, revoked string   // seen by the instance
	freshJWT, fresh      []string // issued beside it
	struck               time.Time
}

// prepare issues the tokens of one outage and measures how long introspection takes when all is well.
func (w *failureWorld) prepare(t *testing.T) (*known, *distribution) {
	t.Helper()
	k := &known{
		opaque: token(t, w.server.URL, w.Caller, asking(opaqueAPI, "")), jwt: token(t, w.server.URL, w.Caller, asking(jwtAPI, "")),
		revoked: token(t, w.server.URL, w.Caller, asking(opaqueAPI, "")),
	}
	for _, text := range []string{k.opaque, k.jwt, k.revoked} {
		if !active(t, w.server.URL, w.Server, text) {
			t.Fatal("a token that was just issued is not active")
		}
	}
	// An instance whose Redis was away loses what it writes to connections that are gone, before it notices.
	testbed.Wait(t, healWithin, func() error {
		before := w.stored(t)
		token(t, w.beside.URL, w.Caller, asking(opaqueAPI, ""))
		return w.awaitStored(t, before+1, 100*time.Millisecond)
	})
	stored := w.stored(t)
	var before []string
	for range 10 {
		k.fresh = append(k.fresh, token(t, w.beside.URL, w.Caller, asking(opaqueAPI, "")))
		before = append(before, token(t, w.beside.URL, w.Caller, asking(opaqueAPI, "")))
	}
	for range 2 {
		k.freshJWT = append(k.freshJWT, token(t, w.beside.URL, w.Caller, asking(jwtAPI, "")))
	}
	if err := w.awaitStored(t, stored+20, healWithin); err != nil {
		t.Fatal(err)
	}
	return k, w.latency(t, before)
}

// stored returns how many tokens the instance beside has written to Redis.
func (w *failureWorld) stored(t *testing.T) int {
	t.Helper()
	return w.beside.metric(t, `countersign_token_store_writes_total{outcome="stored"}`)
}

func (w *failureWorld) awaitStored(t *testing.T, want int, within time.Duration) error {
	t.Helper()
	for began := time.Now(); ; {
		got := w.stored(t)
		if got >= want {
			return nil
		}
		if time.Since(began) > within {
			return fmt.Errorf("%d tokens were written to Redis, want %d", got, want)
		}
	}
}

// latency introspects tokens that the instance does not know, one after the other.
func (w *failureWorld) latency(t *testing.T, tokens []string) *distribution {
	t.Helper()
	var took distribution
	for _, text := range tokens {
		began := time.Now()
		if !active(t, w.server.URL, w.Server, text) {
			t.Error("a token is not active")
		}
		took.add(time.Since(began))
	}
	return &took
}

// probe is a question, and how it is answered with the database and without.
type probe struct {
	name            string
	ask             func(ctx context.Context) (answer, error)
	normal, without string
}

const unavailable = "503 temporarily_unavailable"

// probes are the questions of the table. What Redis does makes no difference to any.
func (w *failureWorld) probes(k *known) []probe {
	form := func(endpoint string, c credential, form url.Values) func(context.Context) (answer, error) {
		return func(ctx context.Context) (answer, error) { return post(ctx, w.server.URL+"/oauth2/"+endpoint, c, form) }
	}
	issue := func(c credential, api string) func(context.Context) (answer, error) {
		return func(ctx context.Context) (answer, error) { return askToken(ctx, w.server.URL, c, asking(api, "")) }
	}
	about := func(endpoint string, c credential, text string) func(context.Context) (answer, error) {
		return form(endpoint, c, url.Values{"token": {text}})
	}
	page := func(path string) func(context.Context) (answer, error) {
		return func(ctx context.Context) (answer, error) { return get(ctx, w.server.URL+path) }
	}
	unknown, _ := auth.MintOpaque(auth.NewTokenID(time.Now(), time.Now().Add(time.Hour)))
	nobody := credential{ID: auth.NewClientID(time.Now()).String(), Secret: auth.NewSecretValue().Reveal()}
	wrong := credential{ID: w.Caller.ID, Secret: nobody.Secret}
	return []probe{
		{"issue a JWT", issue(w.Caller, jwtAPI), "200", unavailable},
		{"issue an opaque token", issue(w.Caller, opaqueAPI), "200", unavailable},
		{"a token for what is not granted", issue(w.Stranger, jwtAPI), "400 invalid_target", "400 invalid_target"},
		{"a token for an unknown client", issue(nobody, jwtAPI), "401 invalid_client", unavailable},
		{"a token by a wrong secret", issue(wrong, jwtAPI), "401 invalid_client", unavailable},
		{"introspect a known opaque token", about("introspect", w.Server, k.opaque), "200 active", unavailable},
		{"introspect a known JWT", about("introspect", w.Server, k.jwt), "200 active", unavailable},
		{"introspect a fresh opaque token", about("introspect", w.Server, k.fresh[1]), "200 active", unavailable},
		{"introspect a fresh JWT", about("introspect", w.Server, k.freshJWT[1]), "200 active", unavailable},
		{"introspect an unknown token", about("introspect", w.Server, unknown), "200 inactive", unavailable},
		{"introspect garbage", about("introspect", w.Server, "garbage"), "200 inactive", unavailable},
		{"introspect for an unknown client", about("introspect", nobody, k.jwt), "401 invalid_client", unavailable},
		{"revoke a known token", about("revoke", w.Caller, k.revoked), "200", unavailable},
		{"revoke a fresh opaque token", about("revoke", w.Caller, k.fresh[2]), "200", unavailable},
		{"keys", page("/oauth2/jwks"), "200", "200"},
		{"metadata", page("/.well-known/oauth-authorization-server"), "200", "200"},
		{"readiness", page("/readyz"), "200", unavailable},
		{"liveness", page("/healthz"), "200", "200"},
	}
}

// verdict is an answer in short.
func verdict(a answer) string {
	words := []string{strconv.Itoa(a.Status)}
	if says, ok := a.JSON["active"].(bool); ok {
		words = append(words, map[bool]string{true: "active", false: "inactive"}[says])
	}
	if code := a.Text("error"); code != "" {
		words = append(words, code)
	}
	return strings.Join(words, " ")
}

// check asks everything at once, twice.
func (*failureWorld) check(t *testing.T, probes []probe, want func(probe) string) {
	t.Helper()
	var times distribution
	for range 2 {
		var running sync.WaitGroup
		for _, p := range probes {
			running.Go(func() {
				began := time.Now()
				got, err := p.ask(t.Context())
				took := time.Since(began)
				times.add(took)
				if err != nil || verdict(got) != want(p) {
					t.Errorf("%s: %d %s %v, want %s", p.name, got.Status, got.Body, err, want(p))
				}
				if got.Status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", p.name)
				}
				if took > answerWithin {
					t.Errorf("%s took %v", p.name, took)
				}
			})
		}
		running.Wait()
	}
	t.Logf("answers took, %v", &times)
}

// checkAtOnce checks what is answered from memory and Redis in the moment that the database goes.
func (w *failureWorld) checkAtOnce(t *testing.T, k *known, what down) {
	t.Helper()
	fresh := "200 active"
	if what.redis {
		fresh = unavailable // only the database could tell
	}
	var running sync.WaitGroup
	for _, tt := range []struct{ name, text, want string }{
		{"known opaque token", k.opaque, "200 active"},
		{"known JWT", k.jwt, "200 active"},
		{"fresh JWT", k.freshJWT[0], "200 active"},
		{"fresh opaque token", k.fresh[0], fresh},
		{"garbage", "garbage", "200 inactive"},
	} {
		running.Go(func() {
			got, err := post(t.Context(), w.server.URL+"/oauth2/introspect", w.Server, url.Values{"token": {tt.text}})
			late := time.Since(k.struck) > surelyFresh && verdict(got) == unavailable
			if err != nil || verdict(got) != tt.want && !late {
				t.Errorf("%s at once: %d %s %v, want %s", tt.name, got.Status, got.Body, err, tt.want)
			}
		})
	}
	running.Wait()
}

// checkFeed checks that the feed is answered, and owns up to how old it is.
func (w *failureWorld) checkFeed(t *testing.T, struck time.Time, what down) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/oauth2/revocations", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(url.QueryEscape(w.Server.ID), url.QueryEscape(w.Server.Secret))
	for range 2 {
		least := time.Since(struck)
		got, err := do(request)
		if err != nil {
			t.Fatal(err)
		}
		millis, ok := got.JSON["age_ms"].(float64)
		age, most := time.Duration(millis)*time.Millisecond, time.Since(struck)+promptly
		if !what.database {
			least, most = 0, promptly
		}
		if got.Status != http.StatusOK || !ok || age < least || age > most {
			t.Errorf("feed: %d, age %v; the last read is between %v and %v ago", got.Status, age, least, most)
		}
	}
}

// checkHealed checks that all works again, tokens of before included.
func (w *failureWorld) checkHealed(t *testing.T, k *known) {
	t.Helper()
	healed := time.Now()
	again := w.probes(k)
	testbed.Wait(t, healWithin, func() error {
		for _, p := range again[:2] {
			got, err := p.ask(t.Context())
			if err != nil {
				return err
			}
			if got.Status != http.StatusOK {
				return fmt.Errorf("%s: %d %s", p.name, got.Status, got.Body)
			}
		}
		if up := w.server.metric(t, "countersign_redis_up"); up != 1 {
			return fmt.Errorf("redis is up: %d", up)
		}
		return w.server.Ready(t.Context())
	})
	t.Logf("works again %v after all is whole", time.Since(healed).Round(time.Millisecond))
	for _, text := range []string{k.opaque, k.jwt, k.fresh[0], k.freshJWT[0], k.freshJWT[1]} {
		if !active(t, w.server.URL, w.Server, text) {
			t.Error("a token of before is not active")
		}
	}
	for _, text := range []string{k.revoked, k.fresh[2]} {
		revoke(t, w.server.URL, w.Caller, text)
		if active(t, w.server.URL, w.Server, text) {
			t.Error("a revoked token is active")
		}
	}
}
