package instance

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/feed"
	"github.com/countersign/countersign/server/imported"
	"github.com/countersign/countersign/server/issue"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/lookup"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/memstore"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/redisstore"
	"github.com/countersign/countersign/server/remotekeys"
	"github.com/countersign/countersign/server/spans"
	"github.com/countersign/countersign/server/usage"
)

// inProcess is the token store that is no other process.
const inProcess = "memory"

// parts are the parts of an instance, wired to each other.
type parts struct {
	ring      *keys.Ring
	peppers   atomic.Pointer[auth.Peppers]
	auditKeys atomic.Pointer[auth.AuditKeys]
	storeKeys atomic.Pointer[redisstore.Keys]
	nonces    atomic.Pointer[proof.Nonces]
	outbound  *outbound.Client
	remote    *remotekeys.Keys // of clients and trusted issuers
	directory *memory.Directory
	spans     *spans.Recorder // nil: no traces are exported
	memory    *memstore.Store
	redis     *redisconn.Conn
	shared    *redisstore.Store
	hints     *hints
	writer    *issue.Writer
	tokens    *auth.Tokens
	imported  *imported.Verifier
	usage     *usage.Collector
	guard     *abuse.Guard
	feed      *feed.Feed
	draining  chan struct{} // closed when the end begins
}

// wire makes the parts and loads the directory. The directory forgets by a clock of its own: a revocation that it forgot since
// the system's clock was wrong for a while would be missing when that is right again.
func wire(ctx context.Context, i *Instance, steady func() time.Time) (p *parts, err error) {
	p = &parts{draining: make(chan struct{})}
	c, s := i.config, i.config.Settings
	if p.ring, err = keys.NewRing(keys.Config{Issuer: s.Issuer, Master: i.master, Now: c.Now}); err != nil {
		return nil, err
	}
	p.directory = memory.New(memory.Config{
		Store: i.store, Now: steady, Logger: c.Logger, Timeout: s.DatabaseTimeout, Registerer: i.metrics,
		OnKeys:       p.loadKeys(ctx, i),
		OnSealedKeys: p.loadSealedKeys(ctx, i),
	})
	if err := p.directory.Load(ctx); err != nil {
		return nil, err
	}
	i.registry.AuditKeys = p.auditKeys.Load
	if p.spans, err = newRecorder(ctx, i); err != nil {
		return nil, err
	}
	if err := p.openOutbound(i); err != nil {
		return nil, err
	}
	if p.memory, err = memstore.New(memstore.Config{Registerer: i.metrics}); err != nil {
		return nil, err
	}
	if err := p.openTokenStore(ctx, i); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.writer = issue.New(issue.Config{
		Ledger: i.store, Directory: p.directory, Ready: p.directory.Ready, Committed: p.spans.Committed, Hint: p.hints.publish, Now: c.Now,
		Logger: c.Logger, Timeout: s.DatabaseTimeout, Registerer: i.metrics,
	})
	found := lookup.Config{
		Memory: p.spans.Memory(p.memory), Ledger: p.spans.Ledger(i.store), Verify: p.spans.Verify(p.verify), Registerer: i.metrics,
	}
	if p.shared != nil {
		found.Store = p.spans.Shared(p.shared, spans.Redis)
	}
	resolver, err := lookup.New(found)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.tokens = &auth.Tokens{Directory: p.directory, Resolver: resolver, Revoker: p.writer, Now: c.Now, Staleness: auth.DefaultStaleness}
	if p.imported, err = imported.New(imported.Config{Now: c.Now, Registerer: i.metrics}); err != nil {
		return nil, errors.Join(err, p.close())
	}
	i.registry.Imported, i.registry.Import = p.imported, p.imported.Hash
	if p.usage, err = usage.New(usage.Config{Log: i.store, Now: c.Now, Logger: c.Logger, Registerer: i.metrics}); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.guard, err = p.newGuard(i); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// newGuard makes what limits clients and strangers. Counts are shared where tokens are.
func (p *parts) newGuard(i *Instance) (*abuse.Guard, error) {
	s := i.config.Settings
	return abuse.New(abuse.Config{
		TokenBudget: s.TokenBudget, FailureLimit: s.FailureLimit, ScanLimit: s.ScanLimit,
		Counters: ratelimit.Config{Redis: p.redis, Prefix: "cst:limit:", Now: i.config.Now},
		Logger:   i.config.Logger, Registerer: i.metrics,
	})
}

// loadKeys keeps the ring current. A key that does not open, since the master key was rotated and this instance has the old
// one, is no reason to stop: the keys at hand go on working.
func (p *parts) loadKeys(ctx context.Context, i *Instance) func([]*auth.Key) error {
	return func(all []*auth.Key) error {
		if err := p.ring.Load(all); err != nil {
			i.config.Logger.ErrorContext(ctx, "a signing key cannot be used: restart with the newest master key", "error", err.Error())
		}
		return nil
	}
}

func (p *parts) loadSealedKeys(ctx context.Context, i *Instance) func([]*auth.SealedKey) error {
	return func(all []*auth.SealedKey) error {
		peppers, err := keys.OpenPeppers(all, i.master)
		if err == nil {
			p.peppers.Store(peppers)
			err = p.loadStoreKeys(all, i)
		}
		if err == nil {
			err = p.loadAuditKeys(all, i)
		}
		if err == nil {
			err = p.loadNonces(all, i)
		}
		if err != nil && p.peppers.Load() == nil {
			return err
		}
		if err != nil {
			i.config.Logger.ErrorContext(ctx, "a shared key cannot be used: restart with the newest master key", "error", err.Error())
		}
		return nil
	}
}

func (p *parts) loadAuditKeys(all []*auth.SealedKey, i *Instance) error {
	opened, err := keys.OpenAuditKeys(all, i.master)
	if err != nil {
		return err
	}
	i.store.Chain(opened)
	p.auditKeys.Store(opened)
	return nil
}

func (p *parts) loadStoreKeys(all []*auth.SealedKey, i *Instance) error {
	mac, err := keys.OpenSealed(all, auth.PurposeStoreMAC, i.master)
	if err != nil {
		return err
	}
	var sign map[uint32]ed25519.PrivateKey
	if i.config.Settings.TokenStoreDirect {
		if sign, err = keys.OpenStoreSigners(all, i.master); err != nil {
			return err
		}
	}
	opened, err := redisstore.NewKeys(mac, sign)
	if err != nil {
		return err
	}
	p.storeKeys.Store(opened)
	return nil
}

// publicStoreKeys are what services check records of the token store by. There are none unless services may read it.
func (p *parts) publicStoreKeys() map[uint32]ed25519.PublicKey {
	if held := p.storeKeys.Load(); held != nil {
		return held.Public()
	}
	return nil
}

// openTokenStore opens Redis if the settings name it. Redis need not answer yet, but whoever mistyped its address should hear
// of it now, not at the first requests.
func (p *parts) openTokenStore(ctx context.Context, i *Instance) (err error) {
	s := i.config.Settings
	if s.TokenStore == inProcess {
		return nil
	}
	if p.redis, err = redisconn.Open(s.TokenStore, redisconn.Config{Logger: i.config.Logger, Registerer: i.metrics}); err != nil {
		return fmt.Errorf("setting token_store: %w; %q is allowed too", err, inProcess)
	}
	if err := p.redis.Ping(ctx); err != nil {
		i.config.Logger.WarnContext(ctx, "redis cannot be used yet, going on without it: is the setting token_store right?",
			"redis", p.redis.String(), "error", err.Error())
	}
	p.hints = newHints(p.redis, s.Issuer, p.directory.Hint)
	p.shared, err = redisstore.New(redisstore.Config{
		Redis: p.redis, Issuer: s.Issuer, Audience: p.audience, Keys: p.storeKeys.Load, Direct: s.TokenStoreDirect,
		Now: i.config.Now, Logger: i.config.Logger, Registerer: i.metrics,
	})
	return err
}

func (p *parts) audience(id auth.APIID) (string, bool) {
	api := p.directory.API(id)
	if api == nil {
		return "", false
	}
	return api.Identifier, true
}

// verify reads a JWT of ours. Its audience is looked up in a directory that is at least as new as the token, and a key that is not
// known may be newer than the ring: without a look, a revocation would be answered as done and do nothing.
func (p *parts) verify(ctx context.Context, presented string) (*auth.Token, error) {
	claims, err := p.ring.Verify(presented)
	if errors.Is(err, keys.ErrUnknownKey) {
		if err := p.directory.CatchUp(ctx); err != nil {
			return nil, err
		}
		claims, err = p.ring.Verify(presented)
	}
	if err != nil {
		return nil, err
	}
	if claims.Revision > p.directory.Sequence() {
		if err := p.directory.Reach(ctx, claims.Revision); err != nil {
			return nil, err
		}
	}
	api := p.directory.APIByIdentifier(claims.Audience)
	if api == nil {
		return nil, fault.New(fault.InvalidToken, "the API of the token is gone")
	}
	return &auth.Token{
		ID: claims.ID, Client: claims.Client, Credential: claims.Credential, API: api.ID, Scope: claims.Scope,
		Issued: claims.Issued, Expires: claims.Expires, Revision: claims.Revision, Key: claims.Key,
		Confirmation: claims.Confirmation, Lineage: claims.Lineage,
	}, nil
}

// Remember tells both token stores of an opaque token. It implements oauth.Store.
func (p *parts) Remember(ctx context.Context, key auth.TokenKey, t *auth.Token) {
	if p.shared != nil {
		p.memory.Remember(key, t)
		p.shared.RememberThen(key, t, p.spans.Remembering(ctx, t.ID, spans.Redis, true))
		return
	}
	done := p.spans.Remembering(ctx, t.ID, spans.InProcess, false)
	p.memory.Remember(key, t)
	if done != nil {
		done(nil)
	}
}

// newRecorder returns what makes spans; nil if no traces are exported.
func newRecorder(ctx context.Context, i *Instance) (*spans.Recorder, error) {
	if !i.tracing.On() {
		return nil, nil //nolint:nilnil // a nil one makes none
	}
	system, err := i.store.System(ctx)
	if err != nil {
		return nil, err
	}
	return spans.New(i.tracing.Provider(), system), nil
}

func (p *parts) newServer(i *Instance) (*server.Server, error) {
	proxies, err := httpx.ParseProxies(i.config.Settings.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("setting trusted_proxies: %w", err)
	}
	p.feed = feed.New(feed.Config{Source: p.directory, Registerer: i.metrics})
	administration := p.adminAPI(i)
	c := server.Config{
		Issuer: i.config.Settings.Issuer, Directory: p.directory, Tokens: p.tokens, Writer: p.writer, Keys: p.ring, Store: p,
		StoreKeys: p.publicStoreKeys,
		Feed:      p.feed, AdminAPI: administration, Uses: p.usage, Guard: p.guard, Ready: i.ready, Now: i.config.Now, Log: i.config.Logger, Proxies: proxies,
		Registerer: i.metrics, Gatherer: i.metrics, Middleware: i.tracing.Middleware,
	}
	if err := p.strengthen(&c, i); err != nil {
		return nil, err
	}
	return server.New(c)
}

// ready says why the instance can neither issue nor verify, or ought not to.
func (i *Instance) ready(context.Context) error {
	if err := i.parts.directory.Ready(); err != nil {
		return err
	}
	if err := i.clock.ready(); err != nil {
		return err
	}
	if age := i.parts.directory.Age(); age > auth.DefaultStaleness {
		return fault.New(fault.Unavailable, "the database has not answered for "+age.Round(time.Millisecond).String())
	}
	return nil
}

// run starts what goes on in the background until ctx ends. The writers end before the directory, of which they have need.
func (p *parts) run(ctx context.Context, i *Instance) *sync.WaitGroup {
	all := &sync.WaitGroup{}
	directory, stopDirectory := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() { p.directory.Run(directory) })
	all.Go(func() {
		defer stopDirectory()
		p.writer.Run(ctx)
	})
	all.Go(func() { i.keepHouse(ctx) })
	all.Go(func() { p.usage.Run(ctx) })
	all.Go(func() { p.guard.Run(ctx) })
	all.Go(func() { p.remote.Run(ctx) })
	if p.hints != nil {
		all.Go(func() { p.hints.run(ctx) })
	}
	return all
}

func (p *parts) drain() {
	close(p.draining)
	p.feed.Close()
}

func (p *parts) close() error {
	const flush = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), flush)
	defer cancel()
	var errs []error
	if p.shared != nil {
		errs = append(errs, p.shared.Close(ctx))
	}
	if p.redis != nil {
		errs = append(errs, p.redis.Close())
	}
	if p.memory != nil {
		p.memory.Close()
	}
	if p.imported != nil {
		p.imported.Close()
	}
	return errors.Join(errs...)
}
