package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// patience is how long a call may take when the database does not answer: the timeout of 2 s, and what the machine takes.
const patience = 3500 * time.Millisecond

func unused(t *testing.T) string { return strconv.Itoa(testbed.FreePort(t)) }

// proxied returns a store that reaches its database by a network that can be broken.
func proxied(t *testing.T) (*sqlstore.Store, *testbed.Proxy, string) {
	direct := testbed.MariaDB(t).New(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	proxy := testbed.StartProxy(t, u.Host)
	u.Host = proxy.Addr()
	return migrated(t, u.String()), proxy, direct
}

func calls(s *sqlstore.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Ping":   s.Ping,
		"Status": func(ctx context.Context) error { _, err := s.Status(ctx); return err },
		"Update": func(ctx context.Context) error { return s.Update(ctx, func(auth.Tx) error { return nil }) },
		"View": func(ctx context.Context) error {
			return s.View(ctx, func(tx auth.Tx) error { _, err := tx.Changes().Position(ctx); return err })
		},
		"InsertTokens": func(ctx context.Context) error { return s.InsertTokens(ctx, []*auth.Token{freshToken()}, false) },
		"retry":        func(ctx context.Context) error { return s.InsertTokens(ctx, []*auth.Token{freshToken()}, true) },
		"Token": func(ctx context.Context) error {
			_, err := s.Token(ctx, auth.TokenID{})
			if errors.Is(err, fault.NotFound) {
				return nil
			}
			return err
		},
		"Revoke": func(ctx context.Context) error { _, err := s.Revoke(ctx, []auth.Revocation{revocation()}); return err },
		"Maintain": func(ctx context.Context) error {
			_, err := s.Maintain(ctx, time.Now(), auth.AuditRetention)
			return err
		},
	}
}

func TestLostDatabase(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testbed.Proxy){
		"black hole": (*testbed.Proxy).BlackHole,
		"half open":  func(p *testbed.Proxy) { p.HalfOpen(testbed.ToClient) },
		"refused":    (*testbed.Proxy).Refuse,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, proxy, _ := proxied(t)
			const each = 6 // more calls than connections
			all := func(check func(name string, took time.Duration, err error)) {
				var running sync.WaitGroup
				for name, call := range calls(s) {
					for range each {
						running.Go(func() {
							began := time.Now()
							err := call(t.Context())
							check(name, time.Since(began), err)
						})
					}
				}
				running.Wait()
			}
			all(func(name string, _ time.Duration, err error) {
				if err != nil {
					t.Errorf("%s before: %v", name, err)
				}
			})
			lose(proxy)
			all(func(name string, took time.Duration, err error) {
				if found := fault.From(err); found == nil || found.Code != fault.Unavailable {
					t.Errorf("%s: got %v, want fault.Unavailable", name, err)
				}
				if took > patience {
					t.Errorf("%s took %s", name, took)
				}
			})
			proxy.Pass()
			// Dials that began before may fail a call or two of the first round.
			for round, failed := 1, int64(1); failed > 0 && round <= 5; round++ {
				var failures atomic.Int64
				all(func(name string, _ time.Duration, err error) {
					if err != nil {
						failures.Add(1)
					}
					if err != nil && round == 5 {
						t.Errorf("%s afterwards: %v", name, err)
					}
				})
				failed = failures.Load()
			}
		})
	}
}

// TestLostCommit loses the answer to a COMMIT. The server has committed.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	s, proxy, direct := proxied(t)
	err := s.Update(t.Context(), func(tx auth.Tx) error {
		defer proxy.HalfOpen(testbed.ToClient)
		return tx.Changes().Append(t.Context(), auth.Change{Kind: auth.RevokeAll})
	})
	if !errors.Is(err, auth.ErrOutcomeUnknown) || fault.From(err).Code != fault.Unavailable {
		t.Errorf("Update: got %v, want fault.Unavailable of unknown outcome", err)
	}
	var sequence int
	if err := raw(t, direct).QueryRow("SELECT sequence FROM change_counter").Scan(&sequence); err != nil || sequence != 1 {
		t.Errorf("sequence is %d, %v", sequence, err)
	}
	proxy.Pass()
	if err := s.Update(t.Context(), func(auth.Tx) error { proxy.Refuse(); return nil }); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Update without a database: %v", err)
	}
	if err := s.Update(t.Context(), func(auth.Tx) error { return nil }); errors.Is(err, auth.ErrOutcomeUnknown) {
		t.Errorf("an update that could not begin: %v", err)
	}
}

// TestCancelledInsert gives up an INSERT that waits for a lock. It goes on in the server, and is met by the retry.
func TestCancelledInsert(t *testing.T) {
	t.Parallel()
	direct := testbed.MariaDB(t).New(t)
	s, db, token := migrated(t, direct), raw(t, direct), freshToken()
	other, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec("INSERT INTO tokens VALUES (?, '', '', '', '', 0, 0, 0, NULL, NULL, NULL)", token.ID[:]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	go func() { failed <- s.InsertTokens(ctx, []*auth.Token{token, freshToken()}, false) }()
	testbed.Wait(t, 10*time.Second, func() error {
		waiting, query := 0, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO tokens (jti%'"
		if err := db.QueryRow(query).Scan(&waiting); err != nil || waiting == 0 {
			return fmt.Errorf("%d inserts wait: %w", waiting, err)
		}
		return nil
	})
	cancel()
	if err := <-failed; !errors.Is(err, auth.ErrOutcomeUnknown) || fault.From(err).Code != fault.Unavailable {
		t.Errorf("InsertTokens: got %v, want fault.Unavailable of unknown outcome", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertTokens(t.Context(), []*auth.Token{token}, true); err != nil {
		t.Errorf("retry: %v", err)
	}
	if _, err := s.Token(t.Context(), token.ID); err != nil {
		t.Errorf("Token: %v", err)
	}
}

// TestLockedSQLite: another process holds the write lock.
func TestLockedSQLite(t *testing.T) {
	t.Parallel()
	where := databases()["sqlite"](t)
	s, db := migrated(t, where), raw(t, where)
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, name := range []string{"Update", "InsertTokens", "Revoke", "Maintain"} {
		running.Go(func() {
			began := time.Now()
			err := calls(s)[name](t.Context())
			if !errors.Is(err, fault.Unavailable) || errors.Is(err, auth.ErrOutcomeUnknown) || time.Since(began) > patience {
				t.Errorf("%s: got %v after %s, want fault.Unavailable", name, err, time.Since(began))
			}
		})
	}
	running.Wait()
	if err := calls(s)["View"](t.Context()); err != nil {
		t.Errorf("a view does not wait for writers: %v", err)
	}
	if _, err := held.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// TestWithoutRights maintains as a user that may not change the schema.
func TestWithoutRights(t *testing.T) {
	server := testbed.MariaDB(t)
	owner := server.New(t)
	o, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	name := o.User.Username() + "_w"
	execute(t, testbed.OpenMySQL(t, server.AdminURL()),
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'w'", name),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO '%s'@'%%'", o.User.Username(), name))
	t.Cleanup(func() {
		_, err := testbed.OpenMySQL(t, server.AdminURL()).Exec(fmt.Sprintf("DROP USER '%s'@'%%'", name))
		if err != nil {
			t.Error(err)
		}
	})
	migrated(t, owner)
	o.User = url.UserPassword(name, "w")
	s, token := open(t, o.String()), freshToken()
	if err := s.InsertTokens(t.Context(), []*auth.Token{token}, false); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Maintain(t.Context(), time.Now(), auth.AuditRetention); err != nil || m.TokensRemoved != 0 || m.Headroom < 2*auth.MaxLifetime {
		t.Errorf("Maintain while the owner's partitions last: %+v, %v", m, err)
	}
	m, err := s.Maintain(t.Context(), time.Now().Add(4*time.Hour), auth.AuditRetention)
	if want := (auth.Maintenance{Held: true, TokensRemoved: 1}); err != nil || m != want {
		t.Errorf("Maintain: %+v, %v, want %+v", m, err, want)
	}
	if _, err := s.Token(t.Context(), token.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("Token: %v, want fault.NotFound", err)
	}
}

// TestNeglectedPartitions: tokens that came when no partition was left are moved into one once there is.
func TestNeglectedPartitions(t *testing.T) {
	t.Parallel()
	s := migrated(t, testbed.MariaDB(t).New(t))
	late := time.Now().Add(96 * time.Hour)
	token := freshToken()
	token.Issued, token.Expires = late.Truncate(time.Second).UTC(), late.Add(time.Hour).Truncate(time.Second).UTC()
	token.ID = auth.NewTokenID(token.Issued, token.Expires)
	if err := s.InsertTokens(t.Context(), []*auth.Token{token}, false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Time
		want error
	}{{time.Now(), nil}, {late, nil}, {late.Add(3 * time.Hour), fault.NotFound}} {
		m, err := s.Maintain(t.Context(), tt.at, auth.AuditRetention)
		if err != nil || m.Headroom < 2*auth.MaxLifetime {
			t.Errorf("Maintain at %s: %+v, %v", tt.at, m, err)
		}
		if _, err := s.Token(t.Context(), token.ID); !errors.Is(err, tt.want) {
			t.Errorf("token at %s: %v, want %v", tt.at, err, tt.want)
		}
	}
}
