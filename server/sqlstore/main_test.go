package sqlstore_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// The test binary runs itself to be another process that uses a database.
const (
	roleVariable = "SQLSTORE_TEST_ROLE"
	urlVariable  = "SQLSTORE_TEST_URL"
)

// rounds is how often a process writes.
const rounds = 40

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	if err := play(context.Background(), os.Getenv(roleVariable), os.Getenv(urlVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(ctx context.Context, role, url string) error {
	s, err := sqlstore.Open(ctx, sqlstore.Config{URL: url, Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Migrate(ctx); err != nil || role == "migrate" {
		return err
	}
	s.Chain(auditKeys())
	for range rounds {
		if err := write(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// write does one of each kind of write.
func write(ctx context.Context, s *sqlstore.Store) error {
	if err := s.InsertTokens(ctx, []*auth.Token{freshToken()}, false); err != nil {
		return err
	}
	if _, err := s.Revoke(ctx, []auth.Revocation{revocation()}); err != nil {
		return err
	}
	return s.Update(ctx, func(tx auth.Tx) error { return tx.Changes().Append(ctx, auth.Change{Kind: auth.RevokeToken}) })
}

func freshToken() *auth.Token {
	issued := time.Now().Truncate(time.Second).UTC()
	expires := issued.Add(time.Hour)
	return &auth.Token{ID: auth.NewTokenID(issued, expires), Issued: issued, Expires: expires}
}

func revocation() auth.Revocation {
	return auth.Revocation{Change: auth.Change{Kind: auth.RevokeToken}, Event: auth.AuditEvent{ID: auth.EventID(auth.NewClientID(time.Now()))}}
}

// processes runs n processes in a role at once and returns what they print.
func processes(t *testing.T, n int, role, url string) string {
	t.Helper()
	outputs := make([]bytes.Buffer, n)
	var running sync.WaitGroup
	for i := range outputs {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"="+role, urlVariable+"="+url)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		running.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, &outputs[i])
			}
		})
	}
	running.Wait()
	var all strings.Builder
	for i := range outputs {
		all.Write(outputs[i].Bytes())
	}
	return all.String()
}

func TestProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := migrated(t, url)
		processes(t, 3, "write", url)
		var changes []auth.Change
		if err := s.View(t.Context(), func(tx auth.Tx) (err error) {
			changes, err = tx.Changes().ChangesAfter(t.Context(), 0, 1000)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var tokens int
		if err := raw(t, url).QueryRow("SELECT COUNT(*) FROM tokens").Scan(&tokens); err != nil {
			t.Fatal(err)
		}
		if len(changes) != 3*2*rounds || tokens != 3*rounds {
			t.Errorf("%d changes and %d tokens, want %d and %d", len(changes), tokens, 3*2*rounds, 3*rounds)
		}
		for i, c := range changes {
			if c.Sequence != uint64(i)+1 {
				t.Fatalf("change %d has sequence %d", i+1, c.Sequence)
			}
		}
	})
}
