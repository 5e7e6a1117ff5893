package sqlstore

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
)

// dialect is what differs between the databases.
type dialect struct {
	name      string // of the folder of migrations
	goose     goose.Dialect
	forUpdate string // ends a SELECT that locks its rows
	now       string // the database's clock, in microseconds
	tables    string // counts the tables of a name
	// pinned selects a value of a column that leads an index, so that the index goes on to the next column. MariaDB takes "=" for a
	// reason to read all that has the value, and to pass over what the next column does not select.
	pinned func(column string) string
	// join joins a table that is read second.
	join string
	// orUpdate goes between an INSERT and the assignments to the row that it finds under the key; added is the value that it was to add.
	orUpdate func(key string) string
	added    func(column string) string
	// orIgnore begins an INSERT that passes over rows whose key exists.
	orIgnore string
	// partitions says that the tokens are partitioned by when they expire.
	partitions bool
	update     sql.TxOptions
	view       sql.TxOptions

	classify func(error) failure
	// refused reports whether a statement that was to commit certainly did not.
	refused func(error) bool
	// unusable reports whether a server answered that it serves nobody, or nobody who writes; nil where there is no server.
	unusable func(error) bool
	// busy reports whether a statement did nothing because another process writes; nil where the database makes it wait.
	busy func(error) bool
	// lock waits until no other instance changes the schema, and keeps others from it. The lock of a process that dies is released.
	lock func(context.Context, *Store) (unlock func(), err error)
	// prepare is done before the first migration, and again at every start.
	prepare func(context.Context, *Store) error
	// durability returns what would let a crash take what was committed.
	durability func(context.Context, *Store) ([]string, error)
	// facts returns what the database says of itself.
	facts func(context.Context, *Store) (Facts, error)
}

// failure is what a failure of a statement means.
type failure int

const (
	trouble   failure = iota // of the database: may pass
	conflict                 // with another transaction: the same again may do; certainly not committed
	duplicate                // the key exists
	orphan                   // what the row refers to does not exist
	unfit                    // the statement or a value is at fault, and always will be
	denied                   // the database user has no right to do this
)
