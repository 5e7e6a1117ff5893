package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/countersign/countersign/migrations"
)

// migrationWait bounds the wait for another instance that migrates.
const migrationWait = 5 * time.Minute

// Migrate brings the schema to the level of this binary, and does nothing if it is there already or further. Any number of
// instances may call it at once: one does the work and the others wait for it. It refuses a database that needs a newer binary.
func (s *Store) Migrate(ctx context.Context) error {
	status, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := status.checkNewer(); err != nil {
		return err
	}
	if status.Database >= status.Binary && s.ready(ctx) == nil {
		return s.dialect.prepare(ctx, s)
	}
	ctx, cancel := context.WithTimeout(ctx, migrationWait)
	defer cancel()
	unlock, err := s.dialect.lock(ctx, s)
	if err != nil {
		return fmt.Errorf("wait for another instance that migrates the database: %w", err)
	}
	defer unlock()
	if err := s.dialect.prepare(ctx, s); err != nil {
		return err
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	if err := s.addCounter(ctx); err != nil {
		return err
	}
	if s.dialect.partitions {
		return s.makePartitions(ctx, time.Now(), partitionsAtOnce, func(time.Duration) error { return nil })
	}
	return nil
}

// ready returns nil if the last step of the setup was done.
func (s *Store) ready(ctx context.Context) error {
	return s.view(ctx, func(t *tx) error {
		_, err := t.Position(ctx)
		return err
	})
}

func (s *Store) up(ctx context.Context) error {
	files, err := migrations.FS(s.dialect.name)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	provider, err := goose.NewProvider(s.dialect.goose, s.setup, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return s.failed("migrate the database", err)
	}
	for _, m := range done {
		s.log.InfoContext(ctx, "schema migrated", "level", m.Source.Version, "duration_ms", m.Duration.Milliseconds())
	}
	return nil
}

// newGeneration returns a number that no other change log has.
func newGeneration() uint64 {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand
	return binary.BigEndian.Uint64(random[:])>>1 | 1
}

// addCounter begins the change log of a new database, with a generation that no other database has.
func (s *Store) addCounter(ctx context.Context) error {
	_, err := s.setup.ExecContext(ctx, "INSERT INTO change_counter (id, generation, sequence, decisive, floor) "+
		"SELECT 1, ?, 0, 0, 0 FROM schema_info WHERE NOT EXISTS (SELECT 1 FROM change_counter)", newGeneration())
	if err != nil {
		return s.failed("begin the change log", err)
	}
	return nil
}
