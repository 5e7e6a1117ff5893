package sqlstore_test

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// TestMaintainBesideDump: what reads the table of tokens for long keeps its partitions as they are, and is in nobody's way by that.
func TestMaintainBesideDump(t *testing.T) {
	t.Parallel()
	where := testbed.MariaDB(t).New(t)
	migrated(t, where)
	// A busy machine may see for more than a second that a change waits, which is what statements have by the usual timeout. A change that is
	// not ended waits for ten.
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: where, Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.Chain(auditKeys())
	token := freshToken()
	if err := s.InsertTokens(t.Context(), []*auth.Token{token}, false); err != nil {
		t.Fatal(err)
	}
	dump, err := testbed.OpenMySQL(t, where).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var read int
	if err := dump.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tokens").Scan(&read); err != nil || read != 1 {
		t.Fatalf("%d tokens, %v", read, err)
	}
	var over atomic.Bool
	var issuing sync.WaitGroup
	issuing.Go(func() {
		for !over.Load() {
			if err := s.InsertTokens(t.Context(), []*auth.Token{freshToken()}, false); err != nil {
				t.Errorf("InsertTokens beside a dump: %v", err)
				return
			}
		}
	})
	later := time.Now().Add(4 * time.Hour)
	m, err := s.Maintain(t.Context(), later, auth.AuditRetention)
	over.Store(true)
	issuing.Wait()
	if err != nil || !m.Held || m.TokensRemoved != 0 || m.Headroom < 2*auth.MaxLifetime-4*time.Hour {
		t.Errorf("Maintain beside a dump: %+v, %v", m, err)
	}
	if _, err := s.Token(t.Context(), token.ID); err != nil {
		t.Errorf("Token beside a dump: %v", err)
	}
	if err := dump.Rollback(); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Maintain(t.Context(), later, auth.AuditRetention); err != nil || m.TokensRemoved != -1 || m.Headroom < 2*auth.MaxLifetime {
		t.Errorf("Maintain after the dump: %+v, %v", m, err)
	}
	if _, err := s.Token(t.Context(), token.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("Token after the dump: %v, want fault.NotFound", err)
	}
}
