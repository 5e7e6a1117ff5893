package server_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/assertion"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/feed"
	"github.com/countersign/countersign/server/issue"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/lookup"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/memstore"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/remotekeys"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
	"github.com/countersign/countersign/server/usage"
)

const (
	issuer    = "https://id.test"
	jwtAPI    = "https://jwt.test"
	eddsaAPI  = "https://eddsa.test"
	opaqueAPI = "https://opaque.test"
	requestID = "golden" // what the tests send, so that answers are the same each time
)

// world is a server on a real SQLite database, with switches for what can go wrong.
type world struct {
	testing.TB
	store     *sqlstore.Store
	registry  *registry.Registry
	directory *watched
	ring      *keys.Ring
	ledger    *faulty
	public    *httptest.Server
	admin     http.Handler
	server    *server.Server
	uses      *usage.Collector // flushed by the tests that look
	log       *safeBuffer
	metrics   *prometheus.Registry
	offset    *atomic.Int64 // of the clock, nanoseconds
	unready   atomic.Bool
	storeKeys atomic.Pointer[map[uint32]ed25519.PublicKey] // nil: none

	caller, poster, resource, stranger, trusted, disabled credential
	apis                                                  map[string]*auth.API
}

type credential struct {
	id     auth.ClientID
	secret auth.SecretValue
	key    auth.SecretID
}

// watched is the real directory, with failures on demand.
type watched struct {
	*memory.Directory
	catchUps atomic.Int32
	failing  atomic.Bool
	old      atomic.Bool
}

func (d *watched) CatchUp(ctx context.Context) error {
	d.catchUps.Add(1)
	if d.failing.Load() {
		return fault.New(fault.Unavailable, "no database")
	}
	return d.Directory.CatchUp(ctx)
}

func (d *watched) Age() time.Duration {
	if d.old.Load() {
		return time.Hour
	}
	return d.Directory.Age()
}

// faulty is the real ledger, with failures on demand, and something that happens just before the next insert.
type faulty struct {
	auth.Ledger
	failing atomic.Pointer[error]
	before  atomic.Pointer[func()]
	inserts atomic.Int32
	proofs  atomic.Int32 // recorded without a token
}

func (l *faulty) UseProofs(ctx context.Context, uses []auth.ProofUse) error {
	l.proofs.Add(1)
	return l.Ledger.UseProofs(ctx, uses)
}

func (l *faulty) fail(err error) {
	if err == nil {
		l.failing.Store(nil)
		return
	}
	l.failing.Store(&err)
}

func (l *faulty) broken() error {
	if err := l.failing.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *faulty) InsertTokens(ctx context.Context, tokens []*auth.Token, retry bool) error {
	l.inserts.Add(1)
	if before := l.before.Swap(nil); before != nil {
		(*before)()
	}
	if err := l.broken(); err != nil {
		return err
	}
	return l.Ledger.InsertTokens(ctx, tokens, retry)
}

func (l *faulty) Token(ctx context.Context, id auth.TokenID) (*auth.Token, error) {
	if err := l.broken(); err != nil {
		return nil, err
	}
	return l.Ledger.Token(ctx, id)
}

func (l *faulty) Revoke(ctx context.Context, r []auth.Revocation) (uint64, error) {
	if err := l.broken(); err != nil {
		return 0, err
	}
	return l.Ledger.Revoke(ctx, r)
}

func newWorld(t testing.TB) *world { return newWorldAt(t, issuer, nil) }

// newWorldAt returns a world of an issuer. guard has its limits; nil: there are none.
func newWorldAt(t testing.TB, issuer string, guard *abuse.Config) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{TB: t, log: &safeBuffer{}, metrics: prometheus.NewRegistry(), offset: &atomic.Int64{}, apis: map[string]*auth.API{}}
	logger := telemetry.NewLeveledLogger(w.log, slog.LevelDebug)
	now := func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }
	folder := t.TempDir()
	var err error
	w.store, err = sqlstore.Open(ctx, sqlstore.Config{URL: "sqlite:" + filepath.Join(folder, "db"), Logger: logger})
	w.check(err)
	t.Cleanup(func() { _ = w.store.Close() })
	w.check(w.store.Migrate(ctx))
	master, err := seal.CreateKeyFile(filepath.Join(folder, "master.key"))
	w.check(err)
	w.registry, err = seed.System(ctx, w.store, master, time.Now)
	w.check(err)
	w.populate(ctx)

	w.ring, err = keys.NewRing(keys.Config{Issuer: issuer, Master: master, Now: now})
	w.check(err)
	var peppers atomic.Pointer[auth.Peppers]
	directory := memory.New(memory.Config{
		Store: w.store, Logger: logger, OnKeys: w.ring.Load,
		OnSealedKeys: func(sealed []*auth.SealedKey) error {
			opened, err := keys.OpenPeppers(sealed, master)
			peppers.Store(opened)
			return err
		},
	})
	w.check(directory.Load(ctx))
	w.directory = &watched{Directory: directory}
	w.ledger = &faulty{Ledger: w.store}
	writer := issue.New(issue.Config{Ledger: w.ledger, Directory: w.directory, Logger: logger, Timeout: 500 * time.Millisecond})
	seen, err := memstore.New(memstore.Config{Now: now})
	w.check(err)
	resolver, err := lookup.New(lookup.Config{Memory: seen, Ledger: w.ledger, Verify: w.verify})
	w.check(err)
	w.run(directory.Run, writer.Run)
	proxies, err := httpx.ParseProxies([]string{"127.0.0.1"})
	w.check(err)
	nonces, err := proof.NewNonces(make([]byte, 32))
	w.check(err)
	w.uses, err = usage.New(usage.Config{Log: w.store, Now: now})
	w.check(err)
	var limits *abuse.Guard
	if guard != nil {
		limited := *guard
		limited.Counters.Now, limited.Logger, limited.Registerer = now, logger, w.metrics
		limits, err = abuse.New(limited)
		w.check(err)
	}
	w.server, err = server.New(server.Config{
		Guard: limits, Issuer: issuer, Directory: w.directory, Writer: writer, Keys: w.ring, Store: remembering{seen},
		Authenticator: &auth.Authenticator{Directory: w.directory, Peppers: peppers.Load, Now: now, Assertions: w.assertions(issuer, now)},
		Proofs:        w.ledger, Nonces: func() *proof.Nonces { return nonces },
		Tokens: &auth.Tokens{Directory: w.directory, Resolver: resolver, Revoker: writer, Now: now, Staleness: auth.DefaultStaleness},
		Feed:   feed.New(feed.Config{Source: directory}),
		Uses:   w.uses,
		StoreKeys: func() map[uint32]ed25519.PublicKey {
			if held := w.storeKeys.Load(); held != nil {
				return *held
			}
			return nil
		},
		Ready: func(context.Context) error {
			if w.unready.Load() {
				return fault.New(fault.Unavailable, "not now")
			}
			return directory.Ready()
		},
		Now: now, Log: logger, Proxies: proxies, Registerer: w.metrics, Gatherer: w.metrics,
	})
	w.check(err)
	w.public, w.admin = httptest.NewServer(w.server.Public()), w.server.Admin()
	t.Cleanup(w.public.Close)
	return w
}

// run runs parts until the test ends, the last one first.
func (w *world) run(parts ...func(context.Context)) {
	for _, part := range parts {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); part(ctx) }()
		w.Cleanup(func() { cancel(); <-done })
	}
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) verify(_ context.Context, presented string) (*auth.Token, error) {
	c, err := w.ring.Verify(presented)
	if err != nil {
		return nil, err
	}
	api := w.directory.APIByIdentifier(c.Audience)
	if api == nil {
		return nil, fault.New(fault.InvalidToken, "no such API")
	}
	return &auth.Token{
		ID: c.ID, Client: c.Client, Credential: c.Credential, API: api.ID, Scope: c.Scope,
		Issued: c.Issued, Expires: c.Expires, Revision: c.Revision, Key: c.Key, Confirmation: c.Confirmation, Lineage: c.Lineage,
	}, nil
}

// assertions checks client assertions by keys that clients are registered with. It fetches none.
func (w *world) assertions(issuer string, now func() time.Time) *assertion.Verifier {
	w.Helper()
	nowhere, err := outbound.New(outbound.Config{})
	w.check(err)
	remote, err := remotekeys.New(remotekeys.Config{Client: nowhere})
	w.check(err)
	w.run(remote.Run)
	verifier, err := assertion.New(assertion.Config{Issuer: issuer, Keys: remote, Directory: w.directory, Now: now})
	w.check(err)
	return verifier
}

func tester() auth.Actor { return auth.Actor{Name: "test"} }

// populate makes the clients and APIs of the tests.
func (w *world) populate(ctx context.Context) {
	w.Helper()
	both := []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}, {Name: "delete"}}
	for _, api := range []auth.API{
		{Identifier: jwtAPI, Name: "JWT", Format: auth.JWT, Scopes: both, Lifetime: time.Minute},
		{Identifier: eddsaAPI, Name: "EdDSA", Format: auth.JWT, Scopes: both, Algorithm: auth.EdDSA},
		{Identifier: opaqueAPI, Name: "opaque", Format: auth.Opaque, Scopes: both, Lifetime: time.Minute},
	} {
		stored, err := w.registry.CreateAPI(ctx, tester(), api)
		w.check(err)
		w.apis[stored.Identifier] = stored
	}
	w.check(w.store.View(ctx, func(tx auth.Tx) error {
		own, err := tx.APIs().APIByIdentifier(ctx, auth.ServerAPI)
		w.apis[auth.ServerAPI] = own
		return err
	}))
	w.caller = w.client(ctx, auth.Client{Name: "caller"}, jwtAPI, opaqueAPI, eddsaAPI)
	w.poster = w.client(ctx, auth.Client{Name: "poster", AuthMethod: auth.SecretPost}, jwtAPI)
	w.stranger = w.client(ctx, auth.Client{Name: "stranger"})
	w.disabled = w.client(ctx, auth.Client{Name: "disabled"}, jwtAPI)
	w.check(second(w.registry.SetClientStatus(ctx, tester(), w.disabled.id, auth.Disabled)))
	w.resource = w.client(ctx, auth.Client{Name: "resource"})
	w.check(second(w.registry.SetServer(ctx, tester(), w.apis[jwtAPI].ID, w.resource.id, true)))
	w.check(second(w.registry.SetServer(ctx, tester(), w.apis[opaqueAPI].ID, w.resource.id, true)))
	w.trusted = w.client(ctx, auth.Client{Name: "trusted"})
	w.grant(w.trusted.id, auth.ServerAPI, auth.ScopeIntrospectAll, auth.ScopeRevokeAll, auth.ScopeRevocationsRead)
}

// client makes a client that may read and write at the APIs.
func (w *world) client(ctx context.Context, c auth.Client, apis ...string) credential {
	w.Helper()
	stored, err := w.registry.CreateClient(ctx, tester(), c)
	w.check(err)
	made, err := w.registry.AddSecret(ctx, tester(), stored.ID, registry.NewSecretRequest{})
	w.check(err)
	for _, api := range apis {
		w.grant(stored.ID, api, "read", "write")
	}
	return credential{id: stored.ID, secret: made.Value, key: made.Secret.ID}
}

func (w *world) grant(client auth.ClientID, api string, scopes ...string) {
	w.Helper()
	_, _, err := w.registry.PutGrant(w.Context(), tester(), auth.Grant{Client: client, API: w.apis[api].ID, Scopes: auth.NewScopes(scopes...)}, registry.Any)
	w.check(err)
}

// exchange lets a client exchange tokens for an API that it is to serve for those for another. Scopes keep their names.
func (w *world) exchange(client auth.ClientID, source, target string, scopes ...string) {
	w.Helper()
	w.check(second(w.registry.SetServer(w.Context(), tester(), w.apis[source].ID, client, true)))
	g := &auth.ExchangeGrant{Client: client, Source: w.apis[source].ID, Target: w.apis[target].ID}
	for _, s := range scopes {
		g.Scopes = append(g.Scopes, auth.ExchangeScope{Scope: s, Needs: s})
	}
	w.check(g.Validate(w.apis[source], w.apis[target]))
	w.check(w.store.Update(w.Context(), func(tx auth.Tx) error {
		if err := tx.Exchanges().PutExchange(w.Context(), g); err != nil {
			return err
		}
		return tx.Changes().Append(w.Context(), auth.Change{Kind: auth.ClientChanged, Subject: client, At: time.Now()})
	}))
	w.reached()
}

// second leaves out what an operation answers besides its error.
func second[T any](_ T, err error) error { return err }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// member returns a member of a JSON answer, nil if there is none.
func (a answer) member(t testing.TB, name string) any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return members[name]
}

// change adapts a request before it is sent.
type change func(*http.Request)

func basic(c credential) change {
	return func(r *http.Request) { r.SetBasicAuth(c.id.String(), c.secret.Reveal()) }
}

func with(name string, values ...string) change {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func without(name string) change { return func(r *http.Request) { r.Header.Del(name) } }

func (w *world) send(method, path, body string, changes ...change) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.public.URL+path, strings.NewReader(body))
	w.check(err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("X-Request-Id", requestID)
	for _, change := range changes {
		change(r)
	}
	client := &http.Client{
		Transport: w.public.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	w.check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	w.check(err)
	return answer{response.StatusCode, response.Header, string(text)}
}

func (w *world) post(path, body string, changes ...change) answer {
	w.Helper()
	return w.send(http.MethodPost, path, body, changes...)
}

// issue gets a token of an API with a scope.
func (w *world) issue(c credential, resource, scope string) string {
	w.Helper()
	got := w.post("/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {scope},
	}.Encode(), basic(c))
	if got.status != http.StatusOK {
		w.Fatalf("no token: %d %s", got.status, got.body)
	}
	text, _ := got.member(w.TB, "access_token").(string)
	return text
}

func (w *world) introspect(c credential, token string) answer {
	w.Helper()
	return w.post("/oauth2/introspect", url.Values{"token": {token}}.Encode(), basic(c))
}

func (w *world) revoke(c credential, token string) answer {
	w.Helper()
	return w.post("/oauth2/revoke", url.Values{"token": {token}}.Encode(), basic(c))
}

// reached waits until the directory knows all that is in the store.
func (w *world) reached() {
	w.Helper()
	var at auth.Position
	w.check(w.store.View(w.Context(), func(tx auth.Tx) (err error) {
		at, err = tx.Changes().Position(w.Context())
		return err
	}))
	w.check(w.directory.Reach(w.Context(), at.Sequence))
}

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	forgets bool
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forgets {
		return len(p), nil
	}
	return b.text.Write(p)
}

// forget lets the buffer keep nothing more.
func (b *safeBuffer) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgets = true
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// remembering is the store of an issuer whose tokens are looked up in memory alone.
type remembering struct{ memory *memstore.Store }

// Remember implements oauth.Store.
func (r remembering) Remember(_ context.Context, key auth.TokenKey, t *auth.Token) {
	r.memory.Remember(key, t)
}
