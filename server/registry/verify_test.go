package registry_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// happen writes n audit events.
func (d *desk) happen(n int) {
	d.Helper()
	for range n {
		_, err := d.Revoke(d.Context(), officer("tokens:write"), registry.Selector{All: true})
		d.must(err)
	}
}

// newLog is a desk whose audit log has the events 1 to 12.
func newLog(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	head := d.head()
	d.happen(12 - int(head.Number))
	return d
}

func (d *desk) head() auth.AuditHead {
	d.Helper()
	head, err := d.AuditHead(d.Context(), officer("audit:read"))
	d.must(err)
	return head
}

// tamper does to the database what somebody does who can write to it and has no key. Statements are apart by semicolons.
func (d *desk) tamper(statements string) {
	d.Helper()
	db, err := sql.Open("sqlite", "file:"+d.path+"?_pragma=busy_timeout(5000)")
	d.must(err)
	defer db.Close()
	for statement := range strings.SplitSeq(statements, ";") {
		_, err := db.ExecContext(d.Context(), statement)
		d.must(err)
	}
}

func (d *desk) verify(upTo *auth.AuditHead) *registry.AuditReport {
	d.Helper()
	report, err := d.VerifyAudit(d.Context(), officer("audit:read"), upTo)
	d.must(err)
	if report.OK != (len(report.Broken) == 0) {
		d.Errorf("OK is %t, broken %v", report.OK, report.Broken)
	}
	return report
}

// found compares what a report names with numbers and what is said of each.
func found(t *testing.T, report *registry.AuditReport, want ...registry.AuditDefect) {
	t.Helper()
	if len(report.Broken) != len(want) {
		t.Fatalf("found %v, want %v", report.Broken, want)
	}
	for i, defect := range report.Broken {
		if defect.Number != want[i].Number || !strings.Contains(defect.What, want[i].What) {
			t.Errorf("found %v, want %v", defect, want[i])
		}
	}
}

const (
	misfit  = "does not fit behind the one before"
	missing = "missing"
	unknown = "no valid seal"
)

func TestAuditLogHolds(t *testing.T) {
	d := newLog(t)
	head := d.head()
	want := &registry.AuditReport{Events: 12, From: 1, To: 12, OK: true}
	for range 2 {
		for _, upTo := range []*auth.AuditHead{nil, &head} {
			if diff := cmp.Diff(want, d.verify(upTo)); diff != "" {
				t.Error(diff)
			}
		}
		d.happen(3)
		want.Events, want.To = 15, 15
	}
	if _, err := d.VerifyAudit(t.Context(), officer("keys:read"), nil); !errors.Is(err, fault.InsufficientScope) {
		t.Errorf("without scope: %v", err)
	}
}

func TestAuditLogOfMorePages(t *testing.T) {
	d := newLog(t)
	d.must(d.store.Update(t.Context(), func(tx auth.Tx) error {
		for range 2100 {
			event := auth.AuditEvent{ID: auth.NewEventID(time.Now()), At: time.Now(), Action: "test"}
			if err := tx.Audit().Record(t.Context(), event); err != nil {
				return err
			}
		}
		return nil
	}))
	if report := d.verify(nil); !report.OK || report.Events != 2112 {
		t.Errorf("report is %+v", report)
	}
	d.tamper("UPDATE audit_events SET changes = 'x' WHERE number IN (1000, 1001, 2001)")
	found(t, d.verify(nil), registry.AuditDefect{Number: 1000, What: misfit}, registry.AuditDefect{Number: 1001, What: misfit},
		registry.AuditDefect{Number: 2001, What: misfit})
	d.tamper("UPDATE audit_events SET action = 'nothing'")
	if report := d.verify(nil); len(report.Broken) != registry.MaxAuditDefects || report.Events != 2112 {
		t.Errorf("%d events, %d defects", report.Events, len(report.Broken))
	}
}

func TestAuditLogChangedInAnyField(t *testing.T) {
	d := newLog(t)
	for _, column := range []string{
		"id = zeroblob(16)", "at = at + 1", "actor_client = zeroblob(16)", "actor_credential = randomblob(16)", "actor_name = 'somebody else'",
		"source = ''", "request = 'r-8'", "action = 'client.update'", "target = 'none'", "changes = '{}'",
	} {
		t.Run(column, func(t *testing.T) {
			d := newLog(t)
			d.tamper("UPDATE audit_events SET " + column + " WHERE number = 5")
			found(t, d.verify(nil), registry.AuditDefect{Number: 5, What: misfit})
		})
	}
	found(t, d.verify(nil))
}

func TestAuditLogTamperedWith(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   string
		want []registry.AuditDefect
	}{
		{"one removed", "DELETE FROM audit_events WHERE number = 5", []registry.AuditDefect{{5, "the event is missing"}}},
		{"some removed", "DELETE FROM audit_events WHERE number BETWEEN 5 AND 7", []registry.AuditDefect{{5, "the events 5 to 7 are missing"}}},
		{
			"one removed and a later one changed", "DELETE FROM audit_events WHERE number = 5; UPDATE audit_events SET action = 'x' WHERE number = 8",
			[]registry.AuditDefect{{5, missing}, {8, misfit}},
		},
		{"the first removed", "DELETE FROM audit_events WHERE number = 1", []registry.AuditDefect{{1, missing}}},
		{"the end removed", "DELETE FROM audit_events WHERE number > 10", []registry.AuditDefect{{11, "the events 11 to 12 are missing"}}},
		{"all removed", "DELETE FROM audit_events", []registry.AuditDefect{{1, "the events 1 to 12 are missing"}}},
		{
			"two swapped", "UPDATE audit_events SET number = 99 WHERE number = 5; UPDATE audit_events SET number = 5 WHERE number = 6; UPDATE audit_events SET number = 6 WHERE number = 99",
			[]registry.AuditDefect{{5, misfit}, {6, misfit}, {7, misfit}},
		},
		{
			"one removed and the rest moved up", "DELETE FROM audit_events WHERE number = 10; UPDATE audit_events SET number = 10 WHERE number = 11; UPDATE audit_events SET number = 11 WHERE number = 12; " +
				"UPDATE audit_head SET number = 11", []registry.AuditDefect{{10, misfit}, {11, misfit}},
		},
		{"chain value changed", "UPDATE audit_events SET chain = randomblob(32) WHERE number = 5", []registry.AuditDefect{{5, misfit}, {6, misfit}}},
		{"chain value emptied", "UPDATE audit_events SET chain = zeroblob(32) WHERE number = 12", []registry.AuditDefect{{12, misfit}, {12, "head does not fit"}}},
		{
			"one put in at the end", "INSERT INTO audit_events SELECT 13, randomblob(16), at, actor_client, actor_credential, actor_name, source, request, action, target, target_id, changes, chain " +
				"FROM audit_events WHERE number = 12; UPDATE audit_head SET number = 13", []registry.AuditDefect{{13, misfit}},
		},
		{"head set back", "UPDATE audit_head SET (number, chain) = (SELECT number, chain FROM audit_events WHERE number = 10)", []registry.AuditDefect{{11, "set back"}}},
		{"head changed", "UPDATE audit_head SET chain = randomblob(32)", []registry.AuditDefect{{12, "head does not fit"}}},
		{"head moved on", "UPDATE audit_head SET number = 14", []registry.AuditDefect{{13, "the events 13 to 14 are missing"}}},
		{
			"a false checkpoint", "UPDATE audit_floor SET (number, chain) = (SELECT number, chain FROM audit_events WHERE number = 5); DELETE FROM audit_events WHERE number <= 5",
			[]registry.AuditDefect{{5, unknown}},
		},
		{
			"a checkpoint as if the chain began there", "UPDATE audit_floor SET number = 5; DELETE FROM audit_events WHERE number <= 5",
			[]registry.AuditDefect{{6, misfit}},
		},
		{
			"a false checkpoint and nothing removed", "UPDATE audit_floor SET (number, chain) = (SELECT number, chain FROM audit_events WHERE number = 2)",
			[]registry.AuditDefect{{2, unknown}, {1, "although the checkpoint 2 says"}, {2, "although the checkpoint 2 says"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newLog(t)
			d.tamper(tt.do)
			found(t, d.verify(nil), tt.want...)
		})
	}
}

func TestAuditLogSetBackIsFoundByAnExportedHead(t *testing.T) {
	const back = "DELETE FROM audit_events WHERE number > 10; UPDATE audit_head SET (number, chain) = (SELECT number, chain FROM audit_events WHERE number = 10)"
	d := newLog(t)
	head := d.head()
	d.tamper(back)
	found(t, d.verify(nil))
	found(t, d.verify(&head), registry.AuditDefect{Number: 11, What: "event 12: the end of the log was cut off"})
	d.happen(1) // the log goes on from there
	found(t, d.verify(&head), registry.AuditDefect{Number: 12, What: "cut off"})
	d.happen(5)
	found(t, d.verify(nil))
	found(t, d.verify(&head), registry.AuditDefect{Number: 12, What: "not the one that the given head names"})
}

func TestExportedHeadThatIsFalse(t *testing.T) {
	d := newLog(t)
	head := d.head()
	older := head
	older.Number = 9
	found(t, d.verify(&older), registry.AuditDefect{Number: 9, What: unknown})
	other := newLog(t).head()
	found(t, d.verify(&other), registry.AuditDefect{Number: 12, What: unknown})
	// It is no checkpoint either, for who would cut the log there.
	db, err := sql.Open("sqlite", "file:"+d.path)
	d.must(err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "UPDATE audit_floor SET number = ?, chain = ?, seal = ?", head.Number, head.Chain[:], head.Seal[:])
	d.must(err)
	d.tamper("DELETE FROM audit_events WHERE number <= 12")
	found(t, d.verify(nil), registry.AuditDefect{Number: 12, What: unknown})
}

func TestAuditLogAfterRetention(t *testing.T) {
	d := newLog(t)
	before := d.head()
	removed, err := d.store.Maintain(t.Context(), time.Now().Add(48*time.Hour), 24*time.Hour)
	if err != nil || removed.EventsRemoved != 12 {
		t.Fatal(removed, err)
	}
	if diff := cmp.Diff(&registry.AuditReport{From: 13, To: 12, OK: true}, d.verify(&before)); diff != "" {
		t.Error(diff)
	}
	d.happen(4)
	older := d.head()
	d.happen(1)
	if diff := cmp.Diff(&registry.AuditReport{Events: 5, From: 13, To: 17, OK: true}, d.verify(&older)); diff != "" {
		t.Error(diff)
	}
	d.tamper("DELETE FROM audit_events WHERE number = 13")
	found(t, d.verify(&before), registry.AuditDefect{Number: 13, What: missing})
	if _, err := d.store.Maintain(t.Context(), time.Now().Add(96*time.Hour), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for head, noted := range map[*auth.AuditHead]bool{&older: true, nil: false} {
		if got := d.verify(head); !got.OK || (got.Note != "") != noted {
			t.Errorf("%+v", got)
		}
	}
}

// A log from before there was a chain is let be: it cannot be checked, and begins nothing.
func TestAuditLogFromBeforeTheChain(t *testing.T) {
	d := newLog(t)
	d.tamper("UPDATE audit_events SET chain = zeroblob(32); UPDATE audit_head SET chain = zeroblob(32); UPDATE audit_floor SET number = 12")
	d.happen(2)
	if diff := cmp.Diff(&registry.AuditReport{Events: 2, From: 13, To: 14, OK: true}, d.verify(nil)); diff != "" {
		t.Error(diff)
	}
}

func TestAuditLogUnderANewerKey(t *testing.T) {
	d := newLog(t)
	head := d.head()
	var opened map[uint32][]byte
	d.view(func(tx auth.Tx) error {
		sealed, err := tx.Keys().SealedKeys(t.Context())
		if err == nil {
			opened, err = keys.OpenSealed(sealed, auth.PurposeAudit, d.Master)
		}
		return err
	})
	opened[2] = []byte("the next audit key")
	both := auth.NewAuditKeys(opened)
	d.AuditKeys = func() *auth.AuditKeys { return both }
	d.store.Chain(both)
	d.happen(3)
	if diff := cmp.Diff(&registry.AuditReport{Events: 15, From: 1, To: 15, OK: true}, d.verify(&head)); diff != "" {
		t.Error(diff)
	}
}

func TestAuditReads(t *testing.T) {
	d, ctx := newLog(t), t.Context()
	all, err := d.Events(ctx, officer("audit:read"), auth.AuditQuery{Action: "tokens.revoke", After: 3, Limit: 4})
	if err != nil || len(all) != 4 || all[0].Number != 4 {
		t.Fatal(all, err)
	}
	one, err := d.Event(ctx, officer("audit:read"), all[0].ID)
	if diff := cmp.Diff(all[0], one); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := d.Event(ctx, auth.Actor{}, auth.NewEventID(time.Now())); !errors.Is(err, fault.NotFound) {
		t.Errorf("unknown event: %v", err)
	}
	c := d.client("orders")
	d.must(d.store.RecordFailures(ctx, []auth.Failure{
		{At: time.Now(), Client: c.ID, Reason: "wrong_secret", Source: "192.0.2.1", Request: "r", Count: 3}, {At: time.Now(), Reason: "unknown_client", Count: 1},
	}))
	for _, tt := range []struct {
		client *auth.ClientID
		want   int
	}{{nil, 2}, {&c.ID, 1}, {new(auth.ClientID), 1}} {
		if failures, err := d.Failures(ctx, officer("audit:read"), tt.client, 10); err != nil || len(failures) != tt.want {
			t.Errorf("failures of %v are %+v (%v), want %d", tt.client, failures, err, tt.want)
		}
	}
}
