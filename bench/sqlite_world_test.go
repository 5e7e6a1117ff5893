package bench

import (
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	sqliteClients = 1000
	// insertedAtOnce is how many tokens the store takes at most.
	insertedAtOnce = 3600
)

// sqliteWorld is our server on a full and on an empty table of tokens, each in a file of its own.
type sqliteWorld struct{ *rowsWorld }

func newSQLiteWorld(b *testing.B, count int) *sqliteWorld {
	b.Helper()
	w := &sqliteWorld{&rowsWorld{scene: newScene(b), count: count, clients: newCredentials(sqliteClients)}}
	w.began = time.Now()
	w.empty, w.full = w.keeper(), w.keeper()
	w.fill()
	w.empty.run()
	w.full.run()
	return w
}

// keeper makes a file with all clients. What expired stays until somebody gives up the lease.
func (w *sqliteWorld) keeper() keeper {
	w.Helper()
	own := &scene{B: w.B, folder: w.TempDir(), binary: w.countersign()}
	k := keeper{issuer: &issuer{scene: own, database: "sqlite:" + filepath.Join(own.folder, "server.db"), key: own.folder + "/master.key"}}
	k.seed()
	k.populate(w.clients)
	var err error
	k.db, err = sql.Open("sqlite", "file:"+k.file()+"?_busy_timeout=10000")
	w.check(err)
	w.Cleanup(func() { _ = k.db.Close() })
	k.lease(time.Now().Add(24 * time.Hour))
	return k
}

func (k *keeper) file() string { return strings.TrimPrefix(k.database, "sqlite:") }

// store opens the database as a server does.
func (k *keeper) store() *sqlstore.Store {
	k.Helper()
	store, err := sqlstore.Open(k.Context(), sqlstore.Config{URL: k.database, Timeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	k.check(err)
	return store
}

// stop ends the server, and returns when it has given back the file.
func (k *keeper) stop() {
	k.Helper()
	k.check(syscall.Kill(k.server.PID(), syscall.SIGTERM))
	<-k.server.Gone()
}

// revision is that of a token that is issued now.
func (k *keeper) revision() (revision uint64) {
	k.Helper()
	k.check(k.db.QueryRowContext(k.Context(), "SELECT sequence FROM change_counter WHERE id = 1").Scan(&revision))
	return revision
}

// fill makes all tokens, by the server's own writer of rows: those that expired first.
func (w *sqliteWorld) fill() {
	w.Helper()
	before := w.fileBytes()
	store := w.full.store()
	defer store.Close()
	revision := w.full.revision()
	var batch []*auth.Token
	flush := func() error {
		err := store.InsertTokens(w.Context(), batch, false)
		batch = batch[:0]
		return err
	}
	hours := w.plan()
	for _, live := range []bool{false, true} {
		for _, h := range hours {
			if h.live != live {
				continue
			}
			w.check(h.each(w.Context(), func(t *auth.Token) error {
				t.Revision = revision
				if batch = append(batch, t); len(batch) < insertedAtOnce {
					return nil
				}
				return flush()
			}))
		}
	}
	w.check(flush())
	w.filled(hours)
	w.perRow = float64(w.fileBytes()-before) / float64(2*w.count)
}

// fileBytes is what the database takes, once its write-ahead log is in the file.
func (w *sqliteWorld) fileBytes() int64 {
	w.Helper()
	var busy, pages, moved int
	w.check(w.full.db.QueryRowContext(w.Context(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved))
	file, err := os.Stat(w.full.file())
	w.check(err)
	return file.Size()
}

// expired is how many expired tokens are left.
func (w *sqliteWorld) expired() (count int) {
	w.Helper()
	from := auth.FirstTokenID(auth.Bucket(w.began))
	w.check(w.full.db.QueryRowContext(w.Context(), "SELECT COUNT(*) FROM tokens WHERE jti < ?", from[:]).Scan(&count))
	return count
}

// proveLive checks that the live tokens that were made are left, all of them.
func (w *sqliteWorld) proveLive(b *testing.B) {
	b.Helper()
	from := auth.FirstTokenID(auth.Bucket(w.began))
	rows, err := w.full.db.QueryContext(b.Context(), "SELECT jti, client FROM tokens WHERE jti >= ? AND issued < ?", from[:], w.began.Truncate(time.Second).UnixMicro())
	w.check(err)
	defer rows.Close()
	var got checksum
	var token, client sql.RawBytes
	for rows.Next() {
		w.check(rows.Scan(&token, &client))
		got.add(token, client)
	}
	w.check(rows.Err())
	if got != w.made {
		b.Errorf("%+v are left, %+v live ones were made", got, w.made)
	}
}

func (w *sqliteWorld) versions() map[string]string {
	w.Helper()
	var version string
	w.check(w.full.db.QueryRowContext(w.Context(), "SELECT sqlite_version()").Scan(&version))
	return map[string]string{"SQLite": version}
}
