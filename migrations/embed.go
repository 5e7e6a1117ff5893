// Package migrations holds the database schema: one folder of numbered SQL files per dialect, with the same numbers in both.
//
// A number is a schema level. A migration only expands, so that servers of the level before go on working beside it; one that
// does contract raises schema_info.min_compatible to the oldest level that still can work.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed mysql/*.sql sqlite/*.sql
var files embed.FS

// FS returns the migrations of a dialect, "mysql" or "sqlite".
func FS(dialect string) (fs.FS, error) { return fs.Sub(files, dialect) }
