package issue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
)

func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, hints := &directory{}, 0
		store := &ledger{revoke: func(context.Context, []auth.Revocation) error { time.Sleep(time.Second); return nil }}
		w := issue.New(issue.Config{Ledger: store, Directory: known, Hint: func() { hints++ }})
		start(t, w)
		var all sync.WaitGroup
		for i := range byte(50) {
			all.Go(func() {
				r := revocation(i)
				sequence, err := w.Revoke(t.Context(), r)
				store.mu.Lock()
				defer store.mu.Unlock()
				own := 1 + slices.IndexFunc(store.entries, func(e auth.Revocation) bool { return e.Event.ID == r.Event.ID })
				if err != nil || own == 0 || sequence < uint64(own) || !slices.Contains(known.reads(), sequence) {
					t.Errorf("sequence %d of %d: %v; reached %v", sequence, own, err, known.reads())
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if !slices.Equal(store.batches, []int{1, 49}) || hints != 2 {
			t.Errorf("batches %v, %d hints", store.batches, hints)
		}
	})
}

func TestRevokeFailures(t *testing.T) {
	bad := revocation(99)
	unknown := fmt.Errorf("commit: %w", auth.ErrOutcomeUnknown)
	for _, tt := range []struct {
		name    string
		results []error // of the calls in turn; nil afterwards
		reach   error
		want    error
		entries int
	}{
		{name: "success", entries: 1},
		{name: "unknown, then success", results: []error{unknown, unknown}, entries: 1},
		{name: "unknown, then down", results: []error{unknown, fault.New(fault.Unavailable, "down")}, want: fault.Unavailable},
		{name: "down", results: []error{fault.New(fault.Unavailable, "down")}, want: fault.Unavailable},
		{name: "committed, but not applied here yet", reach: fault.New(fault.Unavailable, "down"), entries: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			store := &ledger{revoke: func(_ context.Context, r []auth.Revocation) error {
				if r[0].Event.ID != bad.Event.ID {
					t.Error("the event has another id, so it would be recorded twice")
				}
				if calls++; calls <= len(tt.results) {
					return tt.results[calls-1]
				}
				return nil
			}}
			w := issue.New(issue.Config{Ledger: store, Directory: &directory{err: tt.reach}})
			start(t, w)
			if _, err := w.Revoke(t.Context(), bad); !errors.Is(err, tt.want) {
				t.Error(err)
			}
			if len(store.entries) != tt.entries {
				t.Errorf("%d entries", len(store.entries))
			}
		})
	}
}

func TestBadRevocationFailsAlone(t *testing.T) {
	gate := make(chan struct{})
	var once sync.Once
	store := &ledger{revoke: func(_ context.Context, all []auth.Revocation) error {
		once.Do(func() { <-gate })
		if slices.ContainsFunc(all, func(r auth.Revocation) bool { return r.Change.Subject[0] == 20 }) {
			return errors.New("data too long")
		}
		return nil
	}}
	w := issue.New(issue.Config{Ledger: store, Directory: &directory{}})
	start(t, w)
	var all sync.WaitGroup
	for i := range byte(50) {
		all.Go(func() {
			if _, err := w.Revoke(t.Context(), revocation(i)); (err != nil) != (i == 20) {
				t.Errorf("revocation %d: %v", i, err)
			}
		})
	}
	close(gate)
	all.Wait()
	if len(store.entries) != 49 {
		t.Errorf("%d entries", len(store.entries))
	}
}
