package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func newEvent() auth.AuditEvent {
	at := now()
	return auth.AuditEvent{
		ID: auth.EventID(auth.NewClientID(at)), At: at, Actor: auth.Actor{Client: auth.ClientID{9}, Name: "tester", Source: "192.0.2.1", Request: "r-1"},
		Action: "client.disable", Target: "cl_x", Changes: `{"status":["active","disabled"]}`,
	}
}

func testChanges(t *testing.T, o *Opened) {
	first := position(t, o)
	if first.Generation == 0 || first.Generation>>63 != 0 || first.Sequence != 0 || first.Floor != 0 {
		t.Fatalf("position of a new store is %+v", first)
	}
	want := []auth.Change{
		{Sequence: 1, Kind: auth.ClientChanged, Subject: [16]byte{1}, At: now()},
		{Sequence: 2, Kind: auth.RevokeGrant, Subject: [16]byte{1}, Object: [16]byte{2}, Audience: "https://a.example", At: now()},
		{Sequence: 3, Kind: auth.RevokeAll, At: now()},
	}
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		if err := tx.Changes().Append(ctx, want[0]); err != nil {
			return err
		}
		if err := tx.Changes().Append(ctx); err != nil {
			return err
		}
		return tx.Changes().Append(ctx, want[1], want[2])
	})
	wantSame(t, "position", position(t, o), auth.Position{Generation: first.Generation, Sequence: 3})
	for _, tt := range []struct {
		after uint64
		limit int
		want  []auth.Change
	}{{0, 10, want}, {1, 10, want[1:]}, {0, 2, want[:2]}, {3, 10, []auth.Change{}}, {1 << 62, 1, []auth.Change{}}} {
		got := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]auth.Change, error) {
			return tx.Changes().ChangesAfter(ctx, tt.after, tt.limit)
		})
		wantSame(t, fmt.Sprintf("%d changes after %d", tt.limit, tt.after), got, tt.want)
	}

	const many = 7000 // more than fits into one statement of any store
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Changes().Append(ctx, make([]auth.Change, many)...)
	})
	if got := position(t, o).Sequence; got != many+3 {
		t.Errorf("sequence after %d changes more is %d", many, got)
	}
}

func testRollback(t *testing.T, o *Opened) {
	c, before, failed := newClient(), position(t, o), errors.New("changed my mind")
	change := func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(put(ctx, tx, c), tx.Changes().Append(ctx, auth.Change{}), tx.Audit().Record(ctx, newEvent()))
	}
	err := o.try(t, func(ctx context.Context, tx auth.Tx) error {
		if err := change(ctx, tx); err != nil {
			return err
		}
		return failed
	})
	wantError(t, "the function's error", err, failed)
	func() {
		defer func() { _ = recover() }()
		_ = o.try(t, func(ctx context.Context, tx auth.Tx) error {
			c.Revision = 0
			_ = change(ctx, tx)
			panic("changed my mind")
		})
	}()
	wantSame(t, "position", position(t, o), before)
	wantError(t, "client", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		_, err := tx.Clients().Client(ctx, c.ID)
		return err
	}), fault.NotFound)
}

func testSnapshot(t *testing.T, o *Opened) {
	c := newClient()
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		before, err := tx.Changes().Position(ctx)
		if err != nil {
			return err
		}
		o.update(t, func(ctx context.Context, tx auth.Tx) error {
			return errors.Join(put(ctx, tx, c), tx.Changes().Append(ctx, auth.Change{}))
		})
		after, err := tx.Changes().Position(ctx)
		if err != nil {
			return err
		}
		wantSame(t, "position", after, before)
		_, err = tx.Clients().Client(ctx, c.ID)
		wantError(t, "a client of later", err, fault.NotFound)
		return nil
	})
	if position(t, o).Sequence != 1 {
		t.Error("the update was lost")
	}
}

// testGapFree reads while two instances write: whoever sees a sequence sees all before it.
func testGapFree(t *testing.T, o *Opened) {
	// Writers wait for each other, and a store has a time for that: they are few, so that a busy machine may take a quarter of a second for each.
	const writers, each = 4, 25
	instances := []*Opened{o, o.Again(t)}
	var done atomic.Bool
	var readers, working sync.WaitGroup
	for _, in := range instances {
		readers.Go(func() {
			for !done.Load() {
				if err := in.complete(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 2 * writers {
		working.Go(func() {
			in := instances[i%2]
			for range each {
				var err error
				if i < writers {
					err = in.Store.Update(t.Context(), func(tx auth.Tx) error {
						return tx.Changes().Append(t.Context(), auth.Change{}, auth.Change{})
					})
				} else {
					_, err = in.Ledger.Revoke(t.Context(), []auth.Revocation{{Event: newEvent()}, {Event: newEvent()}})
				}
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	working.Wait()
	done.Store(true)
	readers.Wait()
	if got := position(t, o).Sequence; got != 2*2*writers*each {
		t.Errorf("sequence is %d, want %d", got, 2*2*writers*each)
	}
	if err := o.complete(t.Context()); err != nil {
		t.Error(err)
	}
}

// complete reports a gap in the change log as one view sees it.
func (o *Opened) complete(ctx context.Context) error {
	return o.Store.View(ctx, func(tx auth.Tx) error {
		p, err := tx.Changes().Position(ctx)
		if err != nil {
			return err
		}
		changes, err := tx.Changes().ChangesAfter(ctx, 0, 1<<20)
		if err != nil {
			return err
		}
		if uint64(len(changes)) != p.Sequence {
			return fmt.Errorf("%d changes are visible at sequence %d", len(changes), p.Sequence)
		}
		for i, c := range changes {
			if c.Sequence != uint64(i)+1 {
				return fmt.Errorf("change %d has sequence %d", i+1, c.Sequence)
			}
		}
		return nil
	})
}
