package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	startWithin = 30 * time.Second
	endWithin   = 20 * time.Second
)

// program is one run of the binary.
type program struct {
	command *exec.Cmd
	out     *output
	ended   chan struct{} // closed when the process is gone
}

// output collects what a process prints. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startProgram runs the binary with these arguments in folder. If it still runs when the test ends it is killed. Of the
// environment it gets what is no setting of Countersign, and environ.
func startProgram(t *testing.T, folder string, environ []string, args ...string) *program {
	t.Helper()
	p := &program{out: &output{}, ended: make(chan struct{})}
	p.command = exec.Command(binary(), args...) //nolint:gosec,noctx // the program under test; ended below
	p.command.Dir = folder
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "COUNTERSIGN_") {
			p.command.Env = append(p.command.Env, entry)
		}
	}
	p.command.Env = append(p.command.Env, environ...)
	p.command.Stdout, p.command.Stderr = p.out, p.out
	p.command.WaitDelay = endWithin // a child that has our pipe and does not end must not block the test for good
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%v printed:\n%s", args, p.out)
		}
	})
	return p
}

// PID returns the process id.
func (p *program) PID() int { return p.command.Process.Pid }

// Signal sends a signal to the process.
func (p *program) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		t.Fatalf("send %v: %v", s, err)
	}
}

// Exit waits until the process has ended and returns its exit code, -1 if a signal ended it.
func (p *program) Exit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("the process has not ended within %v; it printed:\n%s", within, p.out)
		return 0
	}
}

// await waits until the output matches, and returns the first group of pattern. It fails at once when the process ends.
func (p *program) await(t *testing.T, pattern *regexp.Regexp) (found string) {
	t.Helper()
	var gone bool
	testbed.Wait(t, startWithin, func() error {
		if match := pattern.FindStringSubmatch(p.out.String()); match != nil {
			found = match[len(match)-1]
			return nil
		}
		select {
		case <-p.ended:
			gone = true
			return nil
		default:
			return fmt.Errorf("%q is not printed", pattern)
		}
	})
	if gone {
		t.Fatalf("ended before it printed %q; it printed:\n%s", pattern, p.out)
	}
	return found
}

// system is a running `countersign up`.
type system struct {
	*program

	Folder    string // the data folder
	PortBase  int
	Issuer    string
	AdminURL  string
	Bootstrap up.Bootstrap
}

// startUp runs `countersign up` in a new data folder on free ports and returns when it is ready. When the test ends it is
// stopped by SIGTERM, and must end cleanly.
func startUp(t *testing.T, flags ...string) *system {
	t.Helper()
	return startUpIn(t, filepath.Join(t.TempDir(), "data"), freeBase(t), flags...)
}

// startUpIn is startUp in a data folder that may exist.
func startUpIn(t *testing.T, folder string, base int, flags ...string) *system {
	t.Helper()
	args := append([]string{"up", "--data-dir", folder, "--port-base", strconv.Itoa(base)}, flags...)
	s := &system{program: startProgram(t, filepath.Dir(folder), nil, args...), Folder: folder, PortBase: base}
	s.Issuer = s.await(t, regexp.MustCompile(`(?m)^countersign: ready (http\S+)$`))
	text, err := os.ReadFile(filepath.Join(folder, "bootstrap.json"))
	if err == nil {
		err = json.Unmarshal(text, &s.Bootstrap)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.AdminURL = s.Bootstrap.AdminURL
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// Stop ends the system by SIGTERM, if it still runs, and checks that nothing is left behind.
func (s *system) Stop(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	children := childrenOf(t, s.PID())
	s.Signal(t, syscall.SIGTERM)
	if code := s.Exit(t, endWithin); code != 0 {
		t.Errorf("up ended with exit code %d", code)
	}
	for _, child := range children {
		if alive(child) {
			t.Errorf("process %d outlives its parent", child)
		}
	}
	err := filepath.WalkDir(s.Folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !keptFile(s.Folder, path) {
			t.Errorf("up left %s behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// keptFile reports whether the file belongs in a data folder when nothing runs.
func keptFile(folder, path string) bool {
	name, err := filepath.Rel(folder, path)
	if err != nil {
		return false
	}
	for _, pattern := range []string{"lock", "bootstrap.json", "master.key", "countersign.db", "countersign.db-migration", "curl/[a-z]*", "logs/[a-z]*.log", "logs/[a-z]*.log.1"} {
		if matched, _ := filepath.Match(pattern, name); matched && strings.Count(name, ".") <= strings.Count(pattern, ".") {
			return true
		}
	}
	return false
}

// client returns the credentials of a bootstrap client.
func (s *system) client(name string) credential {
	c := s.Bootstrap.Clients[name]
	return credential{ID: c.ClientID, Secret: c.ClientSecret}
}

// Tell runs `countersign up COMMAND`, such as "stop", "auth-1", and returns what it printed.
func (s *system) Tell(t *testing.T, command ...string) string {
	t.Helper()
	args := append(append([]string{"up"}, command...), "--data-dir", s.Folder)
	p := startProgram(t, t.TempDir(), nil, args...)
	if code := p.Exit(t, endWithin); code != 0 {
		t.Fatalf("up %v: exit code %d: %s", command, code, p.out)
	}
	return p.out.String()
}

// freeBase returns a value for --port-base.
func freeBase(t *testing.T) int {
	t.Helper()
	for {
		base := testbed.FreePort(t)
		if ports, err := up.PortsFrom(base); err == nil && ports.Free(t.Context()) == nil {
			return base
		}
	}
}

// serverProcess is a `countersign server`. Its methods end the test on a failure.
type serverProcess struct {
	*program

	Issuer   string
	URL      string // where it listens itself; equal to Issuer unless the settings name another
	AdminURL string
	folder   string
	environ  []string
}

// startServer runs `countersign server` on free ports and returns when it is ready. Each setting is "name=value", such as
// "database=sqlite:/tmp/x.db", "token-store=redis://…" or "master-key-file=…"; they reach it as environment variables, so that
// no password is in its argv. When the test ends it is stopped by SIGTERM, if it still runs, and must end with code 0.
func startServer(t *testing.T, settings ...string) *serverProcess {
	t.Helper()
	public, admin := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	s := &serverProcess{URL: "http://" + public, Issuer: "http://" + public, AdminURL: "http://" + admin, folder: t.TempDir()}
	s.environ = []string{"COUNTERSIGN_LISTEN=" + public, "COUNTERSIGN_ADMIN_LISTEN=" + admin}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		s.environ = append(s.environ, "COUNTERSIGN_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
		if name == "issuer" {
			s.Issuer = value
		}
	}
	s.Start(t)
	return s
}

// Start runs the server, again after Kill or Stop, on the same ports, and waits until it is ready.
func (s *serverProcess) Start(t *testing.T) {
	t.Helper()
	p := startProgram(t, s.folder, s.environ, "server")
	s.program = p
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			s.Stop(t)
		}
	})
	var gone bool
	testbed.Wait(t, startWithin, func() error {
		select {
		case <-p.ended:
			gone = true
			return nil
		default:
			return s.Ready(t.Context())
		}
	})
	if gone {
		t.Fatalf("the server ended before it was ready; it printed:\n%s", p.out)
	}
}

// Ready returns nil if the server says that it is ready.
func (s *serverProcess) Ready(ctx context.Context) error {
	got, err := get(ctx, s.AdminURL+"/readyz")
	if err != nil {
		return err
	}
	if got.Status != http.StatusOK {
		return fmt.Errorf("not ready: %d %s", got.Status, got.Body)
	}
	return nil
}

// Kill ends the server as a crash does (SIGKILL) and waits until it is gone.
func (s *serverProcess) Kill(t *testing.T) {
	t.Helper()
	s.Signal(t, syscall.SIGKILL)
	s.Exit(t, endWithin)
}

// Stop ends the server as an operator does (SIGTERM) and waits until it is gone. A paused one goes on first.
func (s *serverProcess) Stop(t *testing.T) {
	t.Helper()
	s.Signal(t, syscall.SIGCONT)
	s.Signal(t, syscall.SIGTERM)
	if code := s.Exit(t, endWithin); code != 0 {
		t.Errorf("the server ended with exit code %d", code)
	}
}

// Pause hangs the server (SIGSTOP); Resume lets it go on.
func (s *serverProcess) Pause(t *testing.T) {
	t.Helper()
	s.Signal(t, syscall.SIGSTOP)
	testbed.Wait(t, endWithin, func() error {
		if state := processState(s.PID()); state != "T" {
			return fmt.Errorf("the server's state is %s", state)
		}
		return nil
	})
}

// Resume lets a paused server go on.
func (s *serverProcess) Resume(t *testing.T) {
	t.Helper()
	s.Signal(t, syscall.SIGCONT)
}

// The APIs that seedClients makes.
const (
	jwtAPI    = "https://orders.test.internal"
	opaqueAPI = "https://inventory.test.internal"
)

// seeded is a database with APIs and clients.
type seeded struct {
	Database      string
	MasterKeyFile string
	Caller        credential // granted "read write" on both APIs; the default resource is jwtAPI
	Server        credential // serves both APIs: may introspect their tokens and read the feed
	Stranger      credential // nothing granted, nothing served
	Operator      credential // granted all of urn:countersign:server: introspect:all, revoke:all, revocations:read
	// Registry makes further changes, as the admin API would.
	Registry *auth.Registry
	Actor    auth.Actor
}

// Settings returns what startServer needs to run on the database, and then more.
func (s *seeded) Settings(more ...string) []string {
	return append([]string{"database=" + s.Database, "master-key-file=" + s.MasterKeyFile}, more...)
}

// seedClients brings the schema up to date and makes APIs and clients. masterKeyFile is made if it does not exist.
func seedClients(t *testing.T, databaseURL, masterKeyFile string) *seeded {
	t.Helper()
	ctx := t.Context()
	master, err := seal.CreateKeyFile(masterKeyFile)
	if errors.Is(err, fs.ErrExist) {
		master, err = seal.ReadKeyFile(masterKeyFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: databaseURL, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	registry, err := seed.System(ctx, store, master, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for identifier, format := range map[string]auth.Format{jwtAPI: auth.JWT, opaqueAPI: auth.Opaque} {
		if err := seed.API(ctx, registry, auth.API{
			Identifier: identifier, Name: string(format), Format: format,
			Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	s := &seeded{Database: databaseURL, MasterKeyFile: masterKeyFile, Registry: registry, Actor: auth.Actor{Name: "test"}}
	s.Caller = s.Client(t, "caller", []string{jwtAPI, opaqueAPI}, nil)
	s.Server = s.Client(t, "server", nil, []string{jwtAPI, opaqueAPI})
	s.Stranger = s.Client(t, "stranger", nil, nil)
	s.Operator = s.Client(t, "operator", []string{auth.ServerAPI}, nil)
	return s
}

// Client makes a client that is granted all scopes of the APIs that it calls. The first is its default resource.
func (s *seeded) Client(t *testing.T, name string, calls, serves []string) credential {
	t.Helper()
	ctx := t.Context()
	made, err := s.Registry.CreateClient(ctx, s.Actor, auth.Client{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.Registry.AddSecret(ctx, s.Actor, made.ID, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, identifier := range calls {
		api := s.API(t, identifier)
		if err := s.Registry.PutGrant(ctx, s.Actor, made.ID, api.ID, api.ScopeNames()); err != nil {
			t.Fatal(err)
		}
	}
	for _, identifier := range serves {
		if err := s.Registry.SetServer(ctx, s.Actor, s.API(t, identifier).ID, made.ID, true); err != nil {
			t.Fatal(err)
		}
	}
	return credential{ID: made.ID.String(), Secret: secret.Reveal()}
}

// API returns a stored API.
func (s *seeded) API(t *testing.T, identifier string) (api *auth.API) {
	t.Helper()
	err := s.Registry.Store.View(t.Context(), func(tx auth.Tx) (err error) {
		api, err = tx.APIs().APIByIdentifier(t.Context(), identifier)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// credential is a client's id and secret.
type credential struct{ ID, Secret string }

// answer is an HTTP response.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
	JSON   map[string]any // of the body, if it is a JSON object
}

// Text returns a member of the JSON body that is a string, "" if there is none.
func (a answer) Text(name string) string {
	text, _ := a.JSON[name].(string)
	return text
}

// post sends a form, authenticated by client_secret_basic unless the credential is empty. It is for any goroutine.
func post(ctx context.Context, endpoint string, c credential, form url.Values) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != (credential{}) {
		request.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return do(request)
}

func get(ctx context.Context, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	return do(request)
}

func do(request *http.Request) (answer, error) {
	client := http.Client{Timeout: endWithin}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, err
	}
	got := answer{Status: response.StatusCode, Header: response.Header, Body: body}
	_ = json.Unmarshal(body, &got.JSON) // not every body is an object
	return got, nil
}

// askToken asks for a token by client_credentials and form, which may be nil. It is for any goroutine.
func askToken(ctx context.Context, issuer string, c credential, form url.Values) (answer, error) {
	all := url.Values{"grant_type": {"client_credentials"}}
	for name, values := range form {
		all[name] = values
	}
	return post(ctx, issuer+"/oauth2/token", c, all)
}

// token returns an access token; anything but 200 ends the test.
func token(t *testing.T, issuer string, c credential, form url.Values) string {
	t.Helper()
	got, err := askToken(t.Context(), issuer, c, form)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK || got.Text("access_token") == "" {
		t.Fatalf("token: %d %s", got.Status, got.Body)
	}
	return got.Text("access_token")
}

// introspect returns the answer of the introspection endpoint; anything but 200 ends the test.
func introspect(t *testing.T, issuer string, c credential, token string) answer {
	t.Helper()
	return postForToken(t, issuer+"/oauth2/introspect", c, token)
}

// active reports whether introspection says that the token is active.
func active(t *testing.T, issuer string, c credential, token string) bool {
	t.Helper()
	return introspect(t, issuer, c, token).JSON["active"] == true
}

// revoke revokes a token; anything but 200 ends the test.
func revoke(t *testing.T, issuer string, c credential, token string) {
	t.Helper()
	postForToken(t, issuer+"/oauth2/revoke", c, token)
}

func postForToken(t *testing.T, endpoint string, c credential, token string) answer {
	t.Helper()
	got, err := post(t.Context(), endpoint, c, url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", endpoint, got.Status, got.Body)
	}
	return got
}

// childrenOf returns the ids of a process's children.
func childrenOf(t *testing.T, parent int) (children []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields := processFields(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

// processState returns the letter by which /proc names a process's state, "" if it is gone.
func processState(pid int) string {
	fields := processFields(pid)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// alive reports whether the process exists and is no zombie.
func alive(pid int) bool {
	state := processState(pid)
	return state != "" && state != "Z"
}

// processFields returns the fields of /proc/PID/stat that follow the program's name, the state first.
func processFields(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// portOf returns the port of a URL.
func portOf(t *testing.T, address string) int {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(parsed.Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
