package sqlstore_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/countersign/countersign/migrations"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// atLevel1 makes a database as the first version did.
func atLevel1(t *testing.T, url string) *sql.DB {
	t.Helper()
	dialect, kind := "mysql", goose.DialectMySQL
	if strings.HasPrefix(url, "sqlite:") {
		dialect, kind = "sqlite", goose.DialectSQLite3
	}
	files, err := migrations.FS(dialect)
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, url)
	provider, err := goose.NewProvider(kind, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestUpgradeFromLevel1(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db, at := atLevel1(t, url), time.Now()
		insert := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		long := strings.Repeat("ü", 200)
		names := []string{"orders", "orders", "single", "orders", long, long}
		labels := []string{`{"role":"caller","q\"\\ <\u0026>":"\"\\\u003c\u0026"}`, `{"role":"caller"}`, "null", "{}", `{"ключ":"значение"}`, `{"role":""}`}
		ids := make([]auth.ClientID, len(names))
		for i := range ids {
			ids[i] = auth.NewClientID(at.Add(time.Duration(i-10) * time.Second))
			insert("INSERT INTO clients (id, revision, name, description, owner, labels, status, auth_method, created, updated) "+
				"VALUES (?, 1, ?, '', 'team', ?, 'active', 'client_secret_basic', 0, 0)", ids[i][:], names[i], labels[i])
		}
		events := make([]auth.EventID, 3)
		for i := range events {
			events[i] = auth.NewEventID(at.Add(time.Duration(i-10) * time.Second))
		}
		for i := range events { // they are numbered by age, in whatever order they were written
			e := events[(i+1)%len(events)]
			insert("INSERT INTO audit_events (id, at, actor_client, actor_credential, actor_name, source, request, action, target, changes) "+
				"VALUES (?, ?, ?, ?, 'tester', '', '', 'client.create', 'cl_a/b', '{}')", e[:], at.Add(-time.Hour).UnixMicro(), make([]byte, 16), make([]byte, 16))
		}
		s := migrated(t, url)
		wantUpgradedClients(t, s, ids, names)
		wantUpgradedEvents(t, s, events)
	})
}

func read(t *testing.T, s *sqlstore.Store, do func(ctx context.Context, tx auth.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), func(tx auth.Tx) error { return do(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func wantUpgradedClients(t *testing.T, s *sqlstore.Store, ids []auth.ClientID, names []string) {
	t.Helper()
	for _, tt := range []struct {
		label, value string
		want         []int
	}{
		{"role", "", []int{0, 1, 5}}, {"role", "caller", []int{0, 1}}, {`q"\ <&>`, `"\<&`, []int{0}}, {"ключ", "значение", []int{4}}, {"", "", []int{0, 1, 2, 3, 4, 5}},
	} {
		read(t, s, func(ctx context.Context, tx auth.Tx) error {
			found, err := tx.Clients().ListClients(ctx, auth.ClientQuery{Label: tt.label, LabelValue: tt.value, Limit: 10})
			var got, want []auth.ClientID
			for _, c := range found {
				got = append(got, c.ID)
			}
			for _, i := range tt.want {
				want = append(want, ids[i])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("clients with the label %q (-want +got):\n%s", tt.label, diff)
			}
			return err
		})
	}
	read(t, s, func(ctx context.Context, tx auth.Tx) error {
		seen := make(map[string]bool)
		for i, id := range ids {
			c, err := tx.Clients().Client(ctx, id)
			if err != nil {
				return err
			}
			first := !seen[names[i]]
			seen[names[i]] = true
			if first && (c.Name != names[i] || c.Revision != 1) || !first && (c.Name == names[i] || c.Revision != 2 || !strings.HasPrefix(names[i], c.Name[:6])) {
				t.Errorf("client %d was %q and is %q, revision %d", i, names[i], c.Name, c.Revision)
			}
			if err := c.Validate(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			if _, err := tx.Clients().ClientByName(ctx, c.Name); err != nil {
				t.Errorf("client %d by name: %v", i, err)
			}
		}
		return nil
	})
}

// wantUpgradedEvents wants events that are numbered and not chained, and a chain behind them.
func wantUpgradedEvents(t *testing.T, s *sqlstore.Store, ids []auth.EventID) {
	t.Helper()
	event := auth.AuditEvent{ID: auth.NewEventID(time.Now()), At: time.Now().UTC().Truncate(time.Microsecond)}
	if err := s.Update(t.Context(), func(tx auth.Tx) error { return tx.Audit().Record(t.Context(), event) }); err != nil {
		t.Fatal(err)
	}
	check := func(old int) {
		t.Helper()
		read(t, s, func(ctx context.Context, tx auth.Tx) error {
			floor, err := tx.Audit().AuditFloor(ctx)
			if err != nil {
				return err
			}
			if floor.Number != uint64(len(ids)) || floor.Chain != [32]byte{} || !auditKeys().FloorSealed(&floor) {
				t.Errorf("floor: %+v", floor)
			}
			all, err := tx.Audit().ListEvents(ctx, auth.AuditQuery{Limit: 10})
			if err != nil {
				return err
			}
			if len(all) != old+1 || all[old].ID != event.ID || all[old].Number != floor.Number+1 || !auditKeys().Linked(floor.Chain, all[old]) {
				t.Errorf("events: %+v", all)
			}
			for i, e := range all[:old] {
				if e.ID != ids[i] || e.Number != uint64(i)+1 || e.Chain != [32]byte{} {
					t.Errorf("event %d: %+v", i, e)
				}
			}
			of, err := tx.Audit().ListEvents(ctx, auth.AuditQuery{Target: "cl_a", Limit: 10})
			if len(of) != old {
				t.Errorf("%d events of the target, want %d", len(of), old)
			}
			return err
		})
	}
	check(len(ids))
	// What was never chained goes without moving the checkpoint.
	if m, err := s.Maintain(t.Context(), time.Now(), 30*time.Minute); err != nil || m.EventsRemoved != int64(len(ids)) {
		t.Errorf("Maintain: %+v, %v", m, err)
	}
	check(0)
}

// TestNotChained: a store that does not know the keys of the audit log changes nothing.
func TestNotChained(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		migrated(t, url)
		s := open(t, url)
		for name, call := range map[string]func() error{
			"Record": func() error {
				return s.Update(t.Context(), func(tx auth.Tx) error { return tx.Audit().Record(t.Context(), auth.AuditEvent{}) })
			},
			"Revoke": func() error { _, err := s.Revoke(t.Context(), []auth.Revocation{revocation()}); return err },
			"AuditHead": func() error {
				return s.View(t.Context(), func(tx auth.Tx) error { _, err := tx.Audit().AuditHead(t.Context()); return err })
			},
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), "audit log") {
				t.Errorf("%s: %v", name, err)
			}
		}
		read(t, s, func(ctx context.Context, tx auth.Tx) error {
			p, err := tx.Changes().Position(ctx)
			if p.Sequence != 0 {
				t.Errorf("sequence is %d", p.Sequence)
			}
			return err
		})
	})
}
