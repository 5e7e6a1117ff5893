package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
)

func (o *Opened) maintain(t *testing.T, at time.Time) auth.Maintenance {
	t.Helper()
	m, err := o.Ledger.Maintain(t.Context(), at, auth.AuditRetention)
	if err != nil {
		t.Fatalf("Maintain: %v", err)
	}
	return m
}

func testMaintain(t *testing.T, o *Opened) {
	at := time.Now()
	if m := o.maintain(t, at); !m.Held || m.Headroom != 0 && m.Headroom < 2*auth.MaxLifetime {
		t.Errorf("first maintenance: %+v", m)
	}
	const old = 1200 // more than one statement removes
	gone, live := newTokens(old), newTokens(50)
	for i := range gone {
		gone[i] = newToken(at.Add(-time.Hour))
	}
	for i, token := range live { // 1 minute to a day to live
		token.Expires = token.Issued.Add(time.Minute + time.Duration(i)*28*time.Minute)
		token.ID = auth.NewTokenID(token.Issued, token.Expires)
	}
	o.insert(t, gone...)
	o.insert(t, live...)
	o.maintain(t, at)
	o.wantStored(t, true, live...)
	// What expired is gone within an hour and a half, whatever the store removes at once.
	m := o.maintain(t, at.Add(90*time.Minute))
	if !m.Held || m.TokensRemoved != -1 && m.TokensRemoved < 1 {
		t.Errorf("maintenance later: %+v", m)
	}
	o.wantStored(t, false, gone[0], gone[old/2], gone[old-1])
	for _, token := range live {
		if expired := token.Expires.Before(at.Add(90 * time.Minute)); !expired && !o.stored(t, token) {
			t.Errorf("a token that lives until %s was removed", token.Expires)
		}
	}
	o.maintain(t, at.Add(2*auth.MaxLifetime))
	o.wantStored(t, false, live...)
	fresh := newToken(at.Add(2 * auth.MaxLifetime))
	o.insert(t, fresh)
	o.wantStored(t, true, fresh)
}

func testFloor(t *testing.T, o *Opened) {
	at := now()
	const old = 1100 // more than one statement removes
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		changes := make([]auth.Change, old, old+3)
		for i := range changes {
			changes[i].At = at.Add(-auth.RevocationLife - time.Minute)
		}
		return tx.Changes().Append(ctx, append(changes,
			auth.Change{Kind: auth.RevokeAll, At: at.Add(-auth.RevocationLife + time.Minute)},
			auth.Change{At: at.Add(-2 * auth.RevocationLife)}, // behind one that must stay
			auth.Change{At: at})...)
	})
	generation := position(t, o).Generation
	for _, want := range []int64{old, 0} {
		if m := o.maintain(t, at); m.ChangesRemoved != want {
			t.Errorf("%d changes were removed, want %d", m.ChangesRemoved, want)
		}
		wantSame(t, "position", position(t, o), auth.Position{Generation: generation, Sequence: old + 3, Floor: old})
		left := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]auth.Change, error) {
			return tx.Changes().ChangesAfter(ctx, 0, 10)
		})
		if len(left) != 3 || left[0].Sequence != old+1 {
			t.Errorf("%d changes are left: %v", len(left), left)
		}
	}
	o.maintain(t, at.Add(auth.RevocationLife+time.Minute))
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.Changes().Append(ctx, auth.Change{}) })
	wantSame(t, "position after everything was removed", position(t, o),
		auth.Position{Generation: generation, Sequence: old + 4, Floor: old + 3})
}

func testLease(t *testing.T, o *Opened) {
	other := o.Again(t)
	at := time.Now()
	for range 3 {
		if m := o.maintain(t, at); !m.Held {
			t.Fatal("the first instance does not hold the lease")
		}
		token := newToken(at)
		o.insert(t, token)
		at = at.Add(3 * time.Hour)
		if m := other.maintain(t, at); m.Held || m.TokensRemoved != 0 || m.ChangesRemoved != 0 {
			t.Fatalf("the second instance did maintenance: %+v", m)
		}
		o.wantStored(t, true, token)
		o.maintain(t, at)
		o.wantStored(t, false, token)
	}
}
