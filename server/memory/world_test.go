package memory_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/sqlstore"
)

// world is a database, and whoever changes it.
type world struct {
	testing.TB
	*registry.Registry
	store *sqlstore.Store
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	store, err := sqlstore.Open(tb.Context(), sqlstore.Config{
		URL: "sqlite:" + filepath.Join(tb.TempDir(), "db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	if err := store.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	peppers := auth.NewPeppers(map[uint32][]byte{1: []byte("pepper")})
	return &world{TB: tb, store: store, Registry: &registry.Registry{
		Store: store, Peppers: func() *auth.Peppers { return peppers }, Now: time.Now,
	}}
}

func (w *world) client(name string) *auth.Client {
	w.Helper()
	c, err := w.CreateClient(w.Context(), auth.Actor{}, auth.Client{Name: name})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) api(identifier string) *auth.API {
	w.Helper()
	a, err := w.CreateAPI(w.Context(), auth.Actor{}, auth.API{
		Identifier: identifier, Name: "n", Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
	})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) grant(c *auth.Client, a *auth.API, scopes ...string) error {
	_, _, err := w.PutGrant(w.Context(), auth.Actor{}, auth.Grant{Client: c.ID, API: a.ID, Scopes: auth.NewScopes(scopes...)}, registry.Any)
	return err
}

// second leaves out what an operation answers besides its error.
func second[T any](_ T, err error) error { return err }

// must is for changes whose failure ends the test.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// write appends changes of which nothing else is stored.
func (w *world) write(changes ...auth.Change) uint64 {
	w.Helper()
	for i := range changes {
		if changes[i].At.IsZero() {
			changes[i].At = time.Now()
		}
	}
	w.must(w.store.Update(w.Context(), func(tx auth.Tx) error { return tx.Changes().Append(w.Context(), changes...) }))
	return w.sequence()
}

// sequence is that of the database.
func (w *world) sequence() uint64 {
	w.Helper()
	var at auth.Position
	w.must(w.store.View(w.Context(), func(tx auth.Tx) (err error) {
		at, err = tx.Changes().Position(w.Context())
		return err
	}))
	return at.Sequence
}

// loaded returns a directory that nothing keeps current yet.
func (w *world) loaded(c memory.Config) *memory.Directory {
	w.Helper()
	if c.Store == nil {
		c.Store = w.store
	}
	d := memory.New(c)
	w.must(d.Load(w.Context()))
	return d
}

// followed returns a directory that is kept current until the test ends.
func (w *world) followed(c memory.Config) *memory.Directory {
	w.Helper()
	d := w.loaded(c)
	run(w, d)
	return d
}

func run(tb testing.TB, d *memory.Directory) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	tb.Cleanup(stop)
	return stop
}

// tampered is a store whose reads a test can disturb.
type tampered struct {
	auth.Store
	before   func(context.Context) error       // nil: nothing
	position func(auth.Position) auth.Position // nil: as it is
	views    atomic.Int64
}

func (s *tampered) View(ctx context.Context, read func(auth.Tx) error) error {
	s.views.Add(1)
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	return s.Store.View(ctx, func(tx auth.Tx) error { return read(tamperedTx{tx, s}) })
}

type tamperedTx struct {
	auth.Tx
	store *tampered
}

func (t tamperedTx) Changes() auth.Changes { return tamperedChanges{t.Tx.Changes(), t.store} }

type tamperedChanges struct {
	auth.Changes
	store *tampered
}

func (c tamperedChanges) Position(ctx context.Context) (auth.Position, error) {
	at, err := c.Changes.Position(ctx)
	if c.store.position != nil {
		at = c.store.position(at)
	}
	return at, err
}
