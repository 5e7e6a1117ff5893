package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

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
	return startUpAs(t, folder, base, nil, flags...)
}

// startUpAs is startUpIn with additions to the environment.
func startUpAs(t *testing.T, folder string, base int, environ []string, flags ...string) *system {
	t.Helper()
	args := append([]string{"up", "--data-dir", folder, "--port-base", strconv.Itoa(base)}, flags...)
	s := &system{program: startProgram(t, filepath.Dir(folder), environ, args...), Folder: folder, PortBase: base}
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
	for _, pattern := range []string{"lock", "bootstrap.json", "gateway-[12].yaml", "master.key", "countersign.db", "countersign.db-migration", "curl/[a-z]*", "secrets/[a-z]*", "logs/[a-z]*.log", "logs/[a-z]*.log.1"} {
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

// portsOfUp is how many ports from --port-base on `countersign up` keeps for itself.
const portsOfUp = 50

// freeBase returns a value for --port-base.
func freeBase(t *testing.T) int {
	t.Helper()
	return testbed.FreePorts(t, portsOfUp)
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
