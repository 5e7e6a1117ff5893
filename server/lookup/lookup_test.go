package lookup_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/lookup"
	"github.com/countersign/countersign/server/memstore"
	"github.com/countersign/countersign/server/storetest"
)

// ledger holds rows, and can be made to wait or fail.
type ledger struct {
	auth.Ledger // nothing but Token is asked
	mu          sync.Mutex
	rows        map[auth.TokenID]*auth.Token
	calls       atomic.Int64
	gate        chan struct{} // if set, each read waits until it is closed or the context ends
	err         error
}

func (l *ledger) Token(ctx context.Context, id auth.TokenID) (*auth.Token, error) {
	l.calls.Add(1)
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	if t := l.rows[id]; t != nil {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "no such token")
}

// issue writes the row of a new opaque token and returns its text.
func (l *ledger) issue(tb testing.TB) (string, *auth.Token) {
	tb.Helper()
	_, t := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	text, proof := auth.MintOpaque(t.ID)
	t.Proof = proof
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows == nil {
		l.rows = map[auth.TokenID]*auth.Token{}
	}
	l.rows[t.ID] = t
	return text, t
}

func memory(tb testing.TB) *memstore.Store {
	tb.Helper()
	s, err := memstore.New(memstore.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func open(tb testing.TB, cfg lookup.Config) *lookup.Resolver {
	tb.Helper()
	if cfg.Memory == nil {
		cfg.Memory = memory(tb)
	}
	if cfg.Verify == nil {
		cfg.Verify = func(context.Context, string) (*auth.Token, error) {
			return nil, fault.New(fault.InvalidToken, "not signed by us")
		}
	}
	r, err := lookup.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// TestOrder finds a token in the database, then, by what was filled on the way back, nearer each time.
func TestOrder(t *testing.T) {
	l, shared, near, registry := &ledger{}, memory(t), memory(t), prometheus.NewRegistry()
	text, want := l.issue(t)
	apis := []auth.APIID{want.API}
	first := open(t, lookup.Config{Memory: near, Store: shared, Ledger: l, Registerer: registry})
	second := open(t, lookup.Config{Store: shared, Ledger: l})
	for _, step := range []struct {
		name  string
		r     *lookup.Resolver
		calls int64
	}{
		{"database", first, 1}, {"memory", first, 1}, {"shared store", second, 1}, {"memory of the second", second, 1},
	} {
		got, err := step.r.Resolve(t.Context(), text, apis)
		if err != nil || got.ID != want.ID {
			t.Fatalf("%s: %v, %v", step.name, got, err)
		}
		if n := l.calls.Load(); n != step.calls {
			t.Fatalf("%s: the database was asked %d times, want %d", step.name, n, step.calls)
		}
	}
	if near.Lookup(t.Context(), auth.KeyOf(text), nil) == nil || shared.Lookup(t.Context(), auth.KeyOf(text), nil) == nil {
		t.Fatal("what was found was not filled in")
	}
	n, err := testutil.GatherAndCount(registry, "countersign_token_lookups_total")
	if err != nil || n != 11 {
		t.Fatalf("%d series, %v: want all eleven from the start", n, err)
	}
}

func TestRefused(t *testing.T) {
	l := &ledger{}
	text, token := l.issue(t)
	other, _ := auth.MintOpaque(token.ID) // the right id with a secret part of its own
	unknown, _ := auth.MintOpaque(auth.TokenID{1})
	r := open(t, lookup.Config{Ledger: l, Memory: memory(t)})
	for _, tt := range []struct {
		name, presented string
		asked           int64 // the database
	}{
		{"empty", "", 0},
		{"too long", strings.Repeat("x", auth.MaxTokenLength+1), 0},
		{"opaque and too long", text + strings.Repeat("x", auth.MaxTokenLength), 0},
		{"mistyped", text[:len(text)-1] + "_", 0},
		{"prefix alone", "cs_at_", 0},
		{"JWT that does not verify", "eyJ.eyJ.sig", 0},
		{"unknown id", unknown, 1},
		{"right id, wrong secret part", other, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := l.calls.Load()
			for range 2 { // a refusal is not remembered
				if got, err := r.Resolve(t.Context(), tt.presented, nil); !errors.Is(err, fault.InvalidToken) {
					t.Fatalf("Resolve = %v, %v, want fault.InvalidToken", got, err)
				}
			}
			if asked := l.calls.Load() - before; asked != 2*tt.asked {
				t.Fatalf("the database was asked %d times, want %d", asked, 2*tt.asked)
			}
		})
	}
	if _, err := r.Resolve(t.Context(), text, nil); err != nil {
		t.Fatalf("the real token: %v", err)
	}
	if _, err := r.Resolve(t.Context(), other, nil); !errors.Is(err, fault.InvalidToken) {
		t.Fatalf("another secret part after the real token is in memory: %v", err)
	}
}

// TestCommittedLater says that an unknown token is found as soon as its row is there.
func TestCommittedLater(t *testing.T) {
	l := &ledger{}
	text, token := l.issue(t)
	delete(l.rows, token.ID)
	r := open(t, lookup.Config{Ledger: l})
	if _, err := r.Resolve(t.Context(), text, nil); !errors.Is(err, fault.InvalidToken) {
		t.Fatal(err)
	}
	l.rows[token.ID] = token
	if _, err := r.Resolve(t.Context(), text, nil); err != nil {
		t.Fatal(err)
	}
}

func TestJWT(t *testing.T) {
	l, shared := &ledger{}, memory(t)
	_, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	token.Key = auth.KeyID{1}
	var verified atomic.Int64
	r := open(t, lookup.Config{Ledger: l, Store: shared, Verify: func(context.Context, string) (*auth.Token, error) {
		verified.Add(1)
		return token, nil
	}})
	const presented = "header.payload.signature"
	for range 3 {
		if got, err := r.Resolve(t.Context(), presented, []auth.APIID{token.API}); got != token || err != nil {
			t.Fatalf("Resolve = %v, %v", got, err)
		}
	}
	if verified.Load() != 1 || l.calls.Load() != 0 {
		t.Fatalf("verified %d times, database asked %d times; want 1 and 0", verified.Load(), l.calls.Load())
	}
	if shared.Lookup(t.Context(), auth.KeyOf(presented), nil) != nil {
		t.Fatal("a JWT went to the shared store")
	}
}

// TestJWTNotChecked says that a JWT that could not be checked is no bad one, and that nobody waits for longer than they want to.
func TestJWTNotChecked(t *testing.T) {
	r := open(t, lookup.Config{Ledger: &ledger{}, Timeout: time.Minute, Verify: func(context.Context, string) (*auth.Token, error) {
		return nil, fault.New(fault.Unavailable, "the directory is behind")
	}})
	if _, err := r.Resolve(t.Context(), "a.b.c", nil); !errors.Is(err, fault.Unavailable) {
		t.Fatalf("Resolve = %v, want fault.Unavailable", err)
	}
	began := time.Now()
	hung := open(t, lookup.Config{Ledger: &ledger{}, Timeout: 20 * time.Millisecond, Verify: func(ctx context.Context, _ string) (*auth.Token, error) {
		<-ctx.Done()
		return nil, fault.Wrap(fault.Unavailable, "the directory is behind", ctx.Err())
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hung.Resolve(ctx, "a.b.c", nil); !errors.Is(err, fault.Unavailable) {
		t.Fatalf("Resolve = %v, want fault.Unavailable", err)
	}
	if _, err := hung.Resolve(t.Context(), "a.b.c", nil); !errors.Is(err, fault.Unavailable) || time.Since(began) > 10*time.Second {
		t.Fatalf("Resolve = %v after %v, want fault.Unavailable within the timeout", err, time.Since(began))
	}
}

// TestDatabaseFailure says that a failure is no verdict, and not remembered.
func TestDatabaseFailure(t *testing.T) {
	l := &ledger{err: fault.New(fault.Unavailable, "the database does not answer")}
	text, _ := l.issue(t)
	r := open(t, lookup.Config{Ledger: l})
	if _, err := r.Resolve(t.Context(), text, nil); !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.InvalidToken) {
		t.Fatalf("Resolve = %v, want fault.Unavailable", err)
	}
	l.err = nil
	if _, err := r.Resolve(t.Context(), text, nil); err != nil {
		t.Fatal(err)
	}
	slow := open(t, lookup.Config{Ledger: &ledger{gate: make(chan struct{})}, Timeout: 30 * time.Millisecond})
	if _, err := slow.Resolve(t.Context(), text, nil); !errors.Is(err, fault.Unavailable) {
		t.Fatalf("Resolve with a hung database = %v, want fault.Unavailable", err)
	}
}

// TestCollapse sends a thousand callers for one token while the database waits; the first of them gives up.
func TestCollapse(t *testing.T) {
	l := &ledger{gate: make(chan struct{})}
	text, want := l.issue(t)
	r := open(t, lookup.Config{Ledger: l, Timeout: 20 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.Resolve(ctx, text, nil)
		first <- err
	}()
	testbed.Wait(t, 5*time.Second, func() error {
		if l.calls.Load() == 0 {
			return errors.New("the database is not asked")
		}
		return nil
	})
	var all sync.WaitGroup
	var begun atomic.Int64
	for range 999 {
		all.Go(func() {
			begun.Add(1)
			if got, err := r.Resolve(t.Context(), text, nil); err != nil || got.ID != want.ID {
				t.Errorf("Resolve = %v, %v", got, err)
			}
		})
	}
	testbed.Wait(t, 5*time.Second, func() error {
		if begun.Load() != 999 {
			return errors.New("not all have begun")
		}
		return nil
	})
	cancel()
	if err := <-first; !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller that gave up got %v", err)
	}
	close(l.gate)
	all.Wait()
	if n := l.calls.Load(); n != 1 {
		t.Fatalf("the database was asked %d times", n)
	}
}

// TestFlood presents made-up tokens while the database is slow: few reach it, the rest wait or are sent away.
func TestFlood(t *testing.T) {
	l := &ledger{gate: make(chan struct{})}
	const reads, all = 2, 2*16 + 10
	r := open(t, lookup.Config{Ledger: l, Reads: reads, Timeout: 20 * time.Second})
	answers := make(chan error, all)
	for range all {
		text, _ := auth.MintOpaque(auth.NewTokenID(time.Now(), time.Now().Add(time.Hour)))
		go func() {
			_, err := r.Resolve(t.Context(), text, nil)
			answers <- err
		}()
	}
	for range 10 {
		err := <-answers
		if found := fault.From(err); found.Code != fault.Unavailable || found.RetryAfter == 0 {
			t.Fatalf("beyond the bound: %v, want fault.Unavailable with a time to retry", err)
		}
	}
	if n := l.calls.Load(); n > reads {
		t.Fatalf("%d reads at once, want at most %d", n, reads)
	}
	close(l.gate)
	for range all - 10 {
		if err := <-answers; !errors.Is(err, fault.InvalidToken) {
			t.Fatalf("within the bound: %v, want fault.InvalidToken", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := lookup.Config{Memory: memory(t), Ledger: &ledger{}, Verify: func(context.Context, string) (*auth.Token, error) { return nil, nil }}
	for name, change := range map[string]func(*lookup.Config){
		"no memory":   func(c *lookup.Config) { c.Memory = nil },
		"no ledger":   func(c *lookup.Config) { c.Ledger = nil },
		"no verify":   func(c *lookup.Config) { c.Verify = nil },
		"bad reads":   func(c *lookup.Config) { c.Reads = -1 },
		"bad timeout": func(c *lookup.Config) { c.Timeout = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := lookup.New(cfg); err == nil {
			t.Errorf("%s: a resolver was made", name)
		}
	}
}

func BenchmarkMemoryHit(b *testing.B) {
	l := &ledger{}
	text, _ := l.issue(b)
	r := open(b, lookup.Config{Ledger: l})
	if _, err := r.Resolve(b.Context(), text, nil); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(ctx, text, nil); err != nil {
			b.Fatal(err)
		}
	}
}
