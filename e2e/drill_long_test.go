//go:build long

package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// Every drill, with the whole outage.
func TestEveryDrill(t *testing.T) {
	for name, backend := range map[string]func(*testing.T) (names, flags []string){
		"SQLite": func(*testing.T) ([]string, []string) { return []string{"database-down"}, nil },
		"MariaDB and Redis": func(t *testing.T) ([]string, []string) {
			t.Helper()
			return []string{"database-down", "token-store-down"},
				[]string{"--mysql-file", secretFile(t, testbed.MariaDB(t).New(t)), "--redis", testbed.StartRedis(t).URL()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			names, flags := backend(t)
			startUp(t, append(flags, "--drills")...).passes(t, append(names, "steady", "auth-one-killed", "auth-all-killed", "hung-auth",
				"gateway-killed", "upstream-partitioned", "signing-key-rotation", "client-secret-rotation", "revocation"), "--for", "10s")
		})
	}
}

// A rotation on schedule: the next key begins to sign while tokens are asked for and judged. Only the day that it is published ahead is
// left out, in the database, where no drill may do so.
func TestDrillWatchesRotation(t *testing.T) {
	database := testbed.MariaDB(t).New(t)
	s := startUp(t, "--mysql-file", secretFile(t, database))
	o := newOffice(t, s)
	o.call(http.StatusCreated, http.MethodPost, "/keys/rotate", `{"alg":"EdDSA"}`)
	soon := time.Now().Add(15 * time.Second)
	if _, err := testbed.OpenMySQL(t, database).ExecContext(t.Context(),
		"UPDATE signing_keys SET active_at = ? WHERE algorithm = 'EdDSA' AND active_at > ?", soon.UnixMicro(), soon.UnixMicro()); err != nil {
		t.Fatal(err)
	}
	o.call(http.StatusCreated, http.MethodPost, "/keys/rotate", `{"alg":"PS256"}`) // the news by which servers read their keys again
	s.passes(t, []string{"signing-key-rotation"}, "--for", "20s")
}
