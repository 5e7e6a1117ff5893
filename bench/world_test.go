package bench

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	jwtAPI    = "https://jwt.bench"
	opaqueAPI = "https://opaque.bench"
)

// world is a durable MariaDB with our server and the limit on it, each with a schema of its own.
type world struct {
	*testing.B
	folder   string
	database *testbed.Server
	caller   seed.Credential // has a grant for both APIs, and serves them
	server   program
	limit    program
}

// program is a process that answers at an address.
type program struct {
	*testbed.Program
	address string
}

func newWorld(b *testing.B) *world {
	b.Helper()
	w := &world{B: b, folder: b.TempDir()}
	// The redo log is made as large as one in production, so that no side has to wait for its checkpoints.
	w.database = testbed.StartMariaDB(b, "--innodb-log-file-size=1G", "--innodb-buffer-pool-size=512M")
	w.startServer()
	w.startLimit()
	return w
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// build makes a program of this module as `make build` does.
func (w *world) build(name, from string) string {
	w.Helper()
	path := filepath.Join(w.folder, name)
	flags := "-X main.version=" + revision(w.Context())
	output, err := exec.CommandContext(w.Context(), "go", "build", "-trimpath", "-ldflags", flags, "-o", path, from).CombinedOutput()
	if err != nil {
		w.Fatalf("build %s: %v\n%s", from, err, output)
	}
	return path
}

func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// start runs a program until the end of the benchmark, and returns when it answers at its address.
func (w *world) start(name string, cmd *exec.Cmd, address string) program {
	w.Helper()
	log, err := os.Create(filepath.Join(w.folder, name+".log"))
	w.check(err)
	w.Cleanup(func() { _ = log.Close() })
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.folder, log, log
	p := program{testbed.StartProgram(w, cmd), address}
	testbed.Wait(w, 30*time.Second, func() error {
		select {
		case <-p.Gone():
			text, _ := os.ReadFile(log.Name())
			w.Fatalf("%s ended: %s", name, text)
		default:
		}
		r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+address+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := (&http.Client{Timeout: time.Second}).Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode >= http.StatusInternalServerError {
			return errors.New(answer.Status)
		}
		return nil
	})
	return p
}

// loopback returns an address on which nothing listens yet.
func (w *world) loopback() string { return fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(w)) }

// startServer runs our server with the settings that it has by default.
func (w *world) startServer() {
	w.Helper()
	key := filepath.Join(w.folder, "master.key")
	w.seed(key)
	address := w.loopback()
	cmd := exec.Command(w.build("countersign", ".."), "server", "--listen", address, "--admin-listen", "127.0.0.1:0",
		"--master-key-file", key)
	cmd.Env = []string{"COUNTERSIGN_DATABASE=" + w.database.URL()} // and nothing that the caller has set
	w.server = w.start("server", cmd, address)
}

// seed makes what the server is asked about, by the same operations as an operator does.
func (w *world) seed(keyFile string) {
	w.Helper()
	ctx := w.Context()
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: w.database.URL(), Logger: slog.New(slog.DiscardHandler)})
	w.check(err)
	defer store.Close()
	w.check(store.Migrate(ctx))
	master, err := seal.CreateKeyFile(keyFile)
	w.check(err)
	registry, err := seed.System(ctx, store, master, time.Now)
	w.check(err)
	scopes := []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}}
	for identifier, format := range map[string]auth.Format{jwtAPI: auth.JWT, opaqueAPI: auth.Opaque} {
		w.check(seed.API(ctx, registry, auth.API{Identifier: identifier, Name: identifier, Format: format, Scopes: scopes}))
		w.caller, err = seed.Client(ctx, registry, seed.Role{Name: "bench", Calls: identifier, Serves: identifier})
		w.check(err)
	}
}

// startLimit runs the limit on a schema of its own.
func (w *world) startLimit() {
	w.Helper()
	_, err := testbed.OpenMySQL(w, w.database.URL()).ExecContext(w.Context(), "CREATE DATABASE bare")
	w.check(err)
	u, err := url.Parse(w.database.URL())
	w.check(err)
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr, dsn.User, dsn.DBName = "tcp", u.Host, u.User.Username(), "bare"
	dsn.Passwd, _ = u.User.Password()
	address := w.loopback()
	cmd := exec.Command(w.build("limit", "./limit"))
	cmd.Env = []string{
		"LIMIT_LISTEN=" + address, "LIMIT_DATABASE=" + dsn.FormatDSN(),
		"LIMIT_CLIENT=" + w.caller.ID.String(), "LIMIT_SECRET=" + w.caller.Secret.Reveal(),
	}
	w.limit = w.start("limit", cmd, address)
}

// post returns a request of the caller.
func (w *world) post(p program, path string, form url.Values) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(w.caller.ID.String() + ":" + w.caller.Secret.Reveal()))
	return Post(path, p.address, "Basic "+credentials, form.Encode())
}

// tokens asks for n tokens, one after the other.
func (w *world) tokens(p program, request []byte, n int) []string {
	w.Helper()
	all := make([]string, 0, n)
	one := Load{Address: p.address, Connections: 1, Requests: [][]byte{request}, Count: n, Body: func(body []byte) error {
		var answer tokenAnswer
		err := json.Unmarshal(body, &answer)
		all = append(all, answer.AccessToken)
		return err
	}}
	_, err := one.Run(w.Context())
	w.check(err)
	return all
}

// tokenAnswer is what RFC 6749 §5.1 promises.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// issued checks a token answer.
func issued(jwt bool) func([]byte) error {
	return func(body []byte) error {
		var answer tokenAnswer
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if answer.AccessToken == "" || answer.TokenType != "Bearer" || answer.ExpiresIn != 3600 || answer.Scope != "read write" ||
			jwt != (strings.Count(answer.AccessToken, ".") == 2) {
			return errors.New("not the token that was asked for")
		}
		return nil
	}
}

// active checks an introspection answer.
func active(body []byte) error {
	var answer struct {
		Active   bool   `json:"active"`
		Scope    string `json:"scope"`
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if !answer.Active || answer.Scope != "read write" || answer.ClientID == "" {
		return errors.New("not the answer for an active token")
	}
	return nil
}
