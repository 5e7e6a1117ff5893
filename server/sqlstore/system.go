package sqlstore

import (
	"context"
	"strings"
)

// System returns the name of the database's software: sqlite, mysql or mariadb, as the semantic conventions of OpenTelemetry have it.
func (s *Store) System(ctx context.Context) (string, error) {
	if s.dialect.name == "sqlite" {
		return s.dialect.name, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var version string
	if err := s.read.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return "", s.failed("read the database's version", err)
	}
	if strings.Contains(version, "MariaDB") {
		return "mariadb", nil
	}
	return s.dialect.name, nil
}
