package sqlstore

import (
	"context"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/countersign/countersign/migrations"
)

// Status tells how the database's schema and this binary fit. A level is the number of a migration.
type Status struct {
	Binary        int64 // the newest level that this binary knows
	Database      int64 // the level of the database; 0 if it is empty
	MinCompatible int64 // the oldest level whose binaries can work with the database
}

// Check returns nil if this binary can work with the database as it is, or an error that says what to do.
func (s Status) Check() error {
	if err := s.checkNewer(); err != nil {
		return err
	}
	if s.Database < s.Binary {
		return fmt.Errorf("the database has schema level %d, and this version of Countersign needs level %d; run: countersign migrate up",
			s.Database, s.Binary)
	}
	return nil
}

func (s Status) checkNewer() error {
	if s.MinCompatible <= s.Binary {
		return nil
	}
	return fmt.Errorf("the database needs a version of Countersign that knows schema level %d, and this one knows level %d; "+
		"upgrade Countersign, or restore the backup from before the migration", s.MinCompatible, s.Binary)
}

// Status reads how the schema stands, and changes nothing.
func (s *Store) Status(ctx context.Context) (status Status, err error) {
	files, err := migrations.FS(s.dialect.name)
	if err != nil {
		return status, fmt.Errorf("read the migrations: %w", err)
	}
	sources, err := goose.NewProvider(s.dialect.goose, s.setup, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return status, fmt.Errorf("read the migrations: %w", err)
	}
	for _, m := range sources.ListSources() {
		status.Binary = max(status.Binary, m.Version)
	}
	return status, s.view(ctx, func(t *tx) error {
		if err := t.level(ctx, &status.Database, "goose_db_version", "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version"); err != nil {
			return err
		}
		return t.level(ctx, &status.MinCompatible, "schema_info", "SELECT COALESCE(MAX(min_compatible), 0) FROM schema_info")
	})
}

// level reads a level if the table that holds it exists.
func (t *tx) level(ctx context.Context, into *int64, table, query string) error {
	var tables int
	if err := t.QueryRowContext(ctx, t.s.dialect.tables, table).Scan(&tables); err != nil {
		return t.s.failed("look for the schema", err)
	}
	if tables == 0 {
		return nil
	}
	if err := t.QueryRowContext(ctx, query).Scan(into); err != nil {
		return t.s.failed("read the schema level", err)
	}
	return nil
}
