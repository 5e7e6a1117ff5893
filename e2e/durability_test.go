package e2e

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// callers is how many ask for tokens at once in trials under load.
const callers = 32

// asking names the API and scope of a token request; an empty scope asks for all of the grant.
func asking(resource, scope string) url.Values {
	form := url.Values{"resource": {resource}}
	if scope != "" {
		form.Set("scope", scope)
	}
	return form
}

// load asks a server for tokens until it is stopped, JWTs and opaque ones in turn, and keeps those whose answer was read
// completely.
type load struct {
	t        *testing.T
	running  sync.WaitGroup
	end      context.CancelFunc
	mu       sync.Mutex
	received []string
}

func startLoad(t *testing.T, s *serverProcess, c credential) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, end: cancel}
	for range callers {
		l.running.Go(func() { l.run(ctx, s, c) })
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

func (l *load) run(ctx context.Context, s *serverProcess, c credential) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		got, err := askToken(ctx, s.URL, c, asking([]string{jwtAPI, opaqueAPI}[n%2], ""))
		if err == nil && got.Status == http.StatusOK {
			l.mu.Lock()
			l.received = append(l.received, got.Text("access_token"))
			l.mu.Unlock()
			continue
		}
		if err == nil && got.Status != http.StatusServiceUnavailable {
			l.t.Errorf("a failing storage made a verdict: %d %s", got.Status, got.Body)
		}
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// Await waits until more tokens than now were received.
func (l *load) Await(more int) {
	l.t.Helper()
	start := len(l.tokens())
	testbed.Wait(l.t, startWithin, func() error {
		if got := len(l.tokens()) - start; got < more {
			return fmt.Errorf("%d tokens of %d", got, more)
		}
		return nil
	})
}

func (l *load) tokens() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.received
}

// Stop returns what was received.
func (l *load) Stop() []string {
	l.end()
	l.running.Wait()
	hangUp()
	return l.tokens()
}

// hangUp closes connections that were dialled in vain: a server that drains waits five seconds for their first request
// (http.Server.Shutdown).
func hangUp() { new(http.Client).CloseIdleConnections() }

// idOf returns the jti of an access token.
func idOf(text string) (auth.TokenID, error) {
	if auth.LooksOpaque(text) {
		id, _, err := auth.ParseOpaque(text)
		return id, err
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return auth.TokenID{}, fmt.Errorf("%d parts of a JWT", len(parts))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return auth.TokenID{}, err
	}
	var claims struct {
		ID string `json:"jti"`
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return auth.TokenID{}, err
	}
	return auth.ParseTokenID(claims.ID)
}

// lost returns how many of the tokens have no row in the database.
func lost(t *testing.T, databaseURL string, tokens []string) (missing int) {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: databaseURL, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	seen := make(map[auth.TokenID]bool)
	for _, text := range tokens {
		id, err := idOf(text)
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Errorf("two tokens have the jti %s", id)
		}
		seen[id] = true
		switch row, err := store.Token(t.Context(), id); {
		case errors.Is(err, fault.NotFound):
			missing++
		case err != nil:
			t.Fatal(err)
		case row.ID != id:
			t.Errorf("asked for row %s, got %s", id, row.ID)
		}
	}
	return missing
}

// inEach calls each for every token, from several goroutines, and reports the errors.
func inEach(t *testing.T, tokens []string, each func(text string) error) {
	t.Helper()
	var running sync.WaitGroup
	work := make(chan string)
	for range 8 {
		running.Go(func() {
			for text := range work {
				if err := each(text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, text := range tokens {
		work <- text
	}
	close(work)
	running.Wait()
	hangUp()
}

// isActive returns an error unless introspection answers 200 and says want.
func isActive(ctx context.Context, s *serverProcess, c credential, text string, want bool) error {
	got, err := post(ctx, s.URL+"/oauth2/introspect", c, url.Values{"token": {text}})
	if err != nil {
		return err
	}
	if says, ok := got.JSON["active"].(bool); got.Status != http.StatusOK || !ok || says != want {
		return fmt.Errorf("introspection says %d %s, want active %v", got.Status, got.Body, want)
	}
	return nil
}

// crash is a way in which a running deployment falls over.
type crash struct {
	name string
	// strike kills what it kills, under load, and returns once all runs again.
	strike func(t *testing.T, w *crashWorld)
}

// crashWorld is a database, and during a trial the server on it.
type crashWorld struct {
	*seeded

	mariadb *testbed.Server // nil: SQLite
	server  *serverProcess
}

func newMariaDBWorld(t *testing.T) *crashWorld {
	t.Helper()
	w := &crashWorld{mariadb: testbed.StartMariaDB(t)}
	w.seeded = seedClients(t, w.mariadb.URL(), filepath.Join(t.TempDir(), "master.key"))
	return w
}

func newSQLiteWorld(t *testing.T) *crashWorld {
	t.Helper()
	return &crashWorld{seeded: seedClients(t, sqliteURL(t), filepath.Join(t.TempDir(), "master.key"))}
}

func sqliteURL(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "countersign.db")
}

func serverCrash() crash {
	return crash{"server", func(t *testing.T, w *crashWorld) {
		t.Helper()
		w.server.Kill(t)
		w.server.Start(t)
	}}
}

func mariadbCrashes() []crash {
	return []crash{
		serverCrash(),
		{"database", func(_ *testing.T, w *crashWorld) {
			w.mariadb.Kill()
			w.mariadb.Start()
		}},
		{"both", func(t *testing.T, w *crashWorld) {
			t.Helper()
			w.mariadb.Kill()
			w.server.Kill(t)
			w.mariadb.Start()
			w.server.Start(t)
		}},
	}
}

// trial kills something under load. Every token that somebody received must have its row, and be good still. The load goes on
// throughout, so that all must work again by itself.
func (w *crashWorld) trial(t *testing.T, c crash) {
	t.Helper()
	w.server = startServer(t, w.Settings()...)
	l := startLoad(t, w.server, w.Caller)
	l.Await(150)
	c.strike(t, w)
	l.Await(50)
	received := l.Stop()
	if n := lost(t, w.Database, received); n > 0 {
		t.Errorf("%d of %d tokens are lost", n, len(received))
	}
	testbed.Wait(t, startWithin, func() error { return w.server.Ready(t.Context()) })
	inEach(t, received, func(text string) error { return isActive(t.Context(), w.server, w.Server, text, true) })
	t.Logf("%d tokens received, none lost", len(received))
}

func TestNothingIssuedIsLost(t *testing.T) {
	t.Parallel()
	t.Run("mariadb", func(t *testing.T) {
		w := newMariaDBWorld(t)
		for _, c := range mariadbCrashes() {
			t.Run(c.name, func(t *testing.T) { w.trial(t, c) })
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		newSQLiteWorld(t).trial(t, serverCrash())
	})
}

// With a database that cannot commit, the binary answers nobody, and a binary that answers before the commit is found out: what
// it gave away is lost when everything is killed.
func TestAnswerBeforeCommitIsFoundOut(t *testing.T) {
	mariadb := testbed.StartMariaDB(t)
	seeded := seedClients(t, mariadb.URL(), filepath.Join(t.TempDir(), "master.key"))
	if received := frozenTrial(t, mariadb, seeded); len(received) != 0 {
		t.Errorf("%d tokens were given away without a commit", len(received))
	}
	t.Setenv(binaryVariable, buildHasty(t))
	received := frozenTrial(t, mariadb, seeded)
	if len(received) != callers {
		t.Errorf("the binary that does not wait gave away %d tokens, want %d: does it wait?", len(received), callers)
	}
	if n := lost(t, seeded.Database, received); n != len(received) {
		t.Errorf("%d of %d tokens are found to be lost", n, len(received))
	}
}

// frozenTrial asks for tokens while the database is frozen, kills everything, and returns the tokens that were received.
func frozenTrial(t *testing.T, mariadb *testbed.Server, seeded *seeded) (received []string) {
	t.Helper()
	s := startServer(t, seeded.Settings()...)
	mariadb.Pause()
	var mu sync.Mutex
	var asked sync.WaitGroup
	for n := range callers {
		asked.Go(func() {
			got, err := askToken(t.Context(), s.URL, seeded.Caller, asking([]string{jwtAPI, opaqueAPI}[n%2], ""))
			switch {
			case err != nil:
				t.Error(err)
			case got.Status == http.StatusOK:
				mu.Lock()
				received = append(received, got.Text("access_token"))
				mu.Unlock()
			case got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "":
				t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
			}
		})
	}
	asked.Wait()
	s.Kill(t)
	mariadb.Kill()
	mariadb.Start()
	return received
}

// buildHasty builds the binary with one line changed: it does not wait until a token's row is committed.
func buildHasty(t *testing.T) string {
	t.Helper()
	const waits, hasty = "written, err := w.tokens.wait(ctx, queued)", "written, err := queued.written, error(nil)"
	path, err := filepath.Abs("../server/issue/tokens.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), waits) != 1 {
		t.Fatalf("%s does not have the line %q, which this test changes", path, waits)
	}
	folder := t.TempDir()
	changed, overlay, program := filepath.Join(folder, "tokens.go"), filepath.Join(folder, "overlay.json"), filepath.Join(folder, "countersign")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	err = errors.Join(err,
		os.WriteFile(changed, []byte(strings.Replace(string(source), waits, hasty, 1)), 0o600),
		os.WriteFile(overlay, replace, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "..")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	return program
}

// Each batch costs the database at least one fsync of its redo log; where the database is told not to bother, the same look sees it.
func TestEveryBatchIsFlushed(t *testing.T) {
	w := newMariaDBWorld(t)
	server := startServer(t, w.Settings()...)
	db := testbed.OpenMySQL(t, w.mariadb.URL())
	fsyncs := func() (n int) {
		t.Helper()
		var name string
		err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_os_log_fsyncs'").Scan(&name, &n)
		if errors.Is(err, sql.ErrNoRows) { // MariaDB from 10.9 on counts only those of all its files together
			err = db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_data_fsyncs'").Scan(&name, &n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	measure := func() (flushed, batches int) {
		t.Helper()
		flushed, batches = -fsyncs(), -server.metric(t, `countersign_write_batch_size_count{writer="token"}`)
		for n := range 100 {
			token(t, server.URL, w.Caller, asking([]string{jwtAPI, opaqueAPI}[n%2], ""))
		}
		return flushed + fsyncs(), batches + server.metric(t, `countersign_write_batch_size_count{writer="token"}`)
	}
	if flushed, batches := measure(); batches < 100 || flushed < batches {
		t.Errorf("%d batches were flushed %d times", batches, flushed)
	} else {
		t.Logf("%d batches, %d fsyncs", batches, flushed)
	}
	if _, err := db.ExecContext(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 0"); err != nil {
		t.Fatal(err)
	}
	if flushed, batches := measure(); flushed >= batches {
		t.Errorf("without flushes there were %d of them for %d batches: they are not what is counted", flushed, batches)
	}
}

// metric returns a metric of the server, 0 if it is not there yet. name includes the labels.
func (s *serverProcess) metric(t *testing.T, name string) int {
	t.Helper()
	got, err := get(t.Context(), s.AdminURL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(got.Body)
	if found == nil {
		return 0
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(value)
}
