package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func (o *Opened) record(t *testing.T, events ...auth.AuditEvent) {
	t.Helper()
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		for _, e := range events {
			if err := tx.Audit().Record(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *Opened) events(t *testing.T, q auth.AuditQuery) []*auth.AuditEvent {
	t.Helper()
	return viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.AuditEvent, error) {
		return tx.Audit().ListEvents(ctx, q)
	})
}

// chained checks the audit log from its floor to its head, and returns how many events are between.
func (o *Opened) chained(t *testing.T) (n uint64) {
	t.Helper()
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		floor, err := tx.Audit().AuditFloor(ctx)
		if err != nil {
			return err
		}
		head, err := tx.Audit().AuditHead(ctx)
		if err != nil {
			return err
		}
		if !o.Keys.FloorSealed(&floor) || !o.Keys.Sealed(&head) {
			t.Errorf("floor %d or head %d bears no seal", floor.Number, head.Number)
		}
		last := floor
		for {
			page, err := tx.Audit().ListEvents(ctx, auth.AuditQuery{After: last.Number, Limit: 100})
			if err != nil || len(page) == 0 {
				break
			}
			for _, e := range page {
				if e.Number != last.Number+1 || !o.Keys.Linked(last.Chain, e) {
					return fmt.Errorf("event %d is not chained to event %d", e.Number, last.Number)
				}
				last.Number, last.Chain = e.Number, e.Chain
			}
		}
		if last.Number != head.Number || last.Chain != head.Chain {
			t.Errorf("the chain ends at %d, and the head is at %d", last.Number, head.Number)
		}
		n = last.Number - floor.Number
		return nil
	})
	return n
}

func testAudit(t *testing.T, o *Opened) {
	if n := o.chained(t); n != 0 {
		t.Errorf("a new log has %d events", n)
	}
	e, empty := newEvent(), auth.AuditEvent{ID: auth.NewEventID(now()), At: now()}
	e.Actor.Credential, e.Target, e.Changes = auth.SecretID{7}, "cl_ü/api_y", `{"name":"<&> `+"\u2028"+`"}`
	o.record(t, e, empty)
	got := o.events(t, auth.AuditQuery{Limit: 10})
	for i, want := range []*auth.AuditEvent{&e, &empty} {
		want.Number, want.Chain = uint64(i)+1, got[i].Chain
		wantSame(t, "event in the list", got[i], want)
		wantSame(t, "event", viewed(t, o, func(ctx context.Context, tx auth.Tx) (*auth.AuditEvent, error) {
			return tx.Audit().Event(ctx, want.ID)
		}), want)
	}
	wantError(t, "unknown event", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		_, err := tx.Audit().Event(ctx, auth.NewEventID(now()))
		return err
	}), fault.NotFound)
	wantError(t, "the same event again", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Audit().Record(ctx, e)
	}), fault.Conflict)
	if n := o.chained(t); n != 2 {
		t.Errorf("after two events and one that was refused the log has %d", n)
	}
}

// testAuditQueries compares every query with what it should select, page by page.
func testAuditQueries(t *testing.T, o *Opened) {
	const many = 60
	start := now().Add(-20 * time.Hour)
	all := make([]auth.AuditEvent, many)
	for i := range all {
		e := newEvent()
		e.At = start.Add(time.Duration(i) * 20 * time.Minute)
		if i%7 == 0 {
			e.At = e.At.Add(-2 * auth.MaxSkew) // by a clock that is behind
		}
		e.Actor.Client = auth.ClientID{byte(i % 3)}
		e.Action = []string{"client.create", "client.delete"}[i%2]
		e.Target = []string{"cl_a", "cl_a/api_x", "cl_a/api_y", "cl_ab", "cl_"}[i%5]
		all[i] = e
	}
	o.record(t, all...)
	for i := range all {
		all[i].Number = uint64(i) + 1
	}
	for _, q := range []auth.AuditQuery{
		{},
		{Actor: auth.ClientID{2}},
		{Action: "client.delete"},
		{Action: "client"},
		{Target: "cl_a"},
		{Target: "cl_a/api_x"},
		{Target: "cl_ab"},
		{From: all[20].At},
		{Until: all[21].At},
		{From: all[14].At, Until: all[49].At},
		{From: all[14].At.Add(time.Microsecond), Until: all[15].At},
		{From: all[many-1].At.Add(time.Hour)},
		{Until: all[0].At},
		{Actor: auth.ClientID{1}, Action: "client.create", Target: "cl_a", From: all[10].At, Until: all[50].At},
	} {
		for _, q.Descending = range []bool{false, true} {
			want := []uint64{}
			for i := range all {
				if selects(&q, &all[i]) {
					want = append(want, all[i].Number)
				}
			}
			if q.Descending {
				slices.Reverse(want)
			}
			got := []uint64{}
			for q.After, q.Limit = 0, 7; ; {
				page := o.events(t, q)
				for _, e := range page {
					got = append(got, e.Number)
				}
				if len(page) < q.Limit {
					break
				}
				q.After = page[len(page)-1].Number
			}
			wantSame(t, fmt.Sprintf("events of %+v", q), got, want)
		}
	}
}

func selects(q *auth.AuditQuery, e *auth.AuditEvent) bool {
	target := q.Target == "" || e.Target == q.Target || len(e.Target) > len(q.Target) && e.Target[:len(q.Target)+1] == q.Target+"/"
	return target && (q.Actor == auth.ClientID{} || q.Actor == e.Actor.Client) && (q.Action == "" || q.Action == e.Action) &&
		(q.From.IsZero() || !e.At.Before(q.From)) && (q.Until.IsZero() || e.At.Before(q.Until))
}

// testChain writes from several goroutines of two instances at once, and changes its mind now and then.
func testChain(t *testing.T, o *Opened) {
	const writers, each = 8, 12
	instances := []*Opened{o, o.Again(t)}
	var working sync.WaitGroup
	for i := range writers {
		working.Go(func() {
			in := instances[i%2]
			for j := range each {
				var err error
				switch (i + j) % 3 {
				case 0:
					_, err = in.Ledger.Revoke(t.Context(), []auth.Revocation{{Event: newEvent()}, {Event: newEvent()}, {Event: newEvent()}})
				case 1:
					err = in.Store.Update(t.Context(), func(tx auth.Tx) error { return tx.Audit().Record(t.Context(), newEvent()) })
				case 2:
					taken := in.Store.Update(t.Context(), func(tx auth.Tx) error {
						if err := tx.Audit().Record(t.Context(), newEvent()); err != nil {
							return err
						}
						return fault.New(fault.Conflict, "changed my mind")
					})
					wantError(t, "an update that fails", taken, fault.Conflict)
				}
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	working.Wait()
	if n := o.chained(t); n != writers*each/3*4 {
		t.Errorf("the chain has %d events, want %d", n, writers*each/3*4)
	}
	o.update(t, func(ctx context.Context, tx auth.Tx) error { // what is recorded is seen in its own transaction
		before, err := tx.Audit().AuditHead(ctx)
		if err != nil {
			return err
		}
		if err := tx.Audit().Record(ctx, newEvent()); err != nil {
			return err
		}
		after, err := tx.Audit().AuditHead(ctx)
		if after.Number != before.Number+1 {
			t.Errorf("the head went from %d to %d", before.Number, after.Number)
		}
		return err
	})
}

func testRetention(t *testing.T, o *Opened) {
	const old, young = 1100, 5 // more than one statement removes
	at := now()
	revocations := make([]auth.Revocation, old+young)
	for i := range revocations {
		revocations[i].Event = newEvent()
		revocations[i].Event.At = at.Add(-time.Hour)
		if i < old {
			revocations[i].Event.At = at.Add(-3 * time.Hour)
		}
	}
	revocations[old+1].Event.At = at.Add(-4 * time.Hour) // behind one that must stay
	if _, err := o.Ledger.Revoke(t.Context(), revocations); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		keep    time.Duration
		removed int64
		left    uint64
	}{{0, 0, old + young}, {5 * time.Hour, 0, old + young}, {2 * time.Hour, old, young}, {2 * time.Hour, 0, young}, {time.Minute, young, 0}} {
		m, err := o.Ledger.Maintain(t.Context(), at, step.keep)
		if err != nil || m.EventsRemoved != step.removed {
			t.Errorf("keeping %s: %d events were removed, %v, want %d", step.keep, m.EventsRemoved, err, step.removed)
		}
		if n := o.chained(t); n != step.left {
			t.Errorf("keeping %s: %d events are left, want %d", step.keep, n, step.left)
		}
		if got := o.events(t, auth.AuditQuery{Limit: 2 * old}); uint64(len(got)) != step.left {
			t.Errorf("keeping %s: %d events are listed, want %d", step.keep, len(got), step.left)
		}
	}
	o.record(t, newEvent())
	if n := o.chained(t); n != 1 {
		t.Errorf("the chain has %d events", n)
	}
}

func testFailures(t *testing.T, o *Opened) {
	at, client := now(), auth.ClientID{1}
	record := func(failures ...auth.Failure) {
		t.Helper()
		if err := o.Usage.RecordFailures(t.Context(), failures); err != nil {
			t.Fatal(err)
		}
	}
	list := func(client *auth.ClientID, limit int) []*auth.Failure {
		t.Helper()
		return viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Failure, error) {
			return tx.Audit().ListFailures(ctx, client, limit)
		})
	}
	record()
	first := auth.Failure{At: at, Client: client, Reason: "wrong_secret", Source: "192.0.2.1", Request: "r-1", Count: 3}
	second := auth.Failure{At: at.Add(time.Second), Reason: "unknown_client", Count: 1}
	record(second, first)
	wantSame(t, "failures", list(nil, 10), []*auth.Failure{&second, &first})
	wantSame(t, "the newest failure", list(nil, 1), []*auth.Failure{&second})
	wantSame(t, "a client's failures", list(&client, 10), []*auth.Failure{&first})
	wantSame(t, "failures of no client", list(new(auth.ClientID), 10), []*auth.Failure{&second})

	const perClient, inAll = 100, 10_000
	flood := make([]auth.Failure, 1500)
	for i := range flood {
		flood[i] = auth.Failure{At: at.Add(time.Duration(i) * time.Minute), Client: client, Reason: "wrong_secret", Count: int64(i)}
	}
	record(flood...)
	left := list(&client, 2*len(flood))
	if len(left) != perClient || left[0].Count != 1499 || left[perClient-1].Count != 1400 {
		t.Errorf("%d failures of one client are left", len(left))
	}
	for i := range 11 { // of ten clients each
		for j := range flood[:1000] {
			flood[j].Client, flood[j].At = auth.ClientID{2, byte(i), byte(j % 10)}, at.Add(time.Duration(i)*time.Minute)
		}
		record(flood[:1000]...)
	}
	if left := list(nil, 2*inAll); len(left) != inAll || !left[inAll-1].At.After(at) {
		t.Errorf("%d failures are left", len(left))
	}
}
