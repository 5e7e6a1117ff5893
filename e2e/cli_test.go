package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// TestScripts runs the command lines of testdata/script. Beside testscript's own commands they have
//
//	fails CODE COMMAND...   the binary ends with this exit code
//	mode OCTAL FILE...      the files have this mode
//	serve                   a server runs in the current folder until it listens
//	width N                 no line of the last output is longer than N characters
//
// and $PORT1, $PORT2 are free ports, $VERSION is the binary's.
func TestScripts(t *testing.T) {
	t.Parallel()
	ports := []string{strconv.Itoa(testbed.FreePort(t)), strconv.Itoa(testbed.FreePort(t))}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary())+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("PORT1", ports[0])
			env.Setenv("PORT2", ports[1])
			env.Setenv("VERSION", testVersion)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": scriptFails, "mode": scriptMode, "serve": scriptServe, "width": scriptWidth,
		},
		RequireExplicitExec: true,
	})
}

func scriptFails(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: fails CODE COMMAND...")
	}
	if err := ts.Exec(args[1], args[2:]...); err == nil {
		ts.Fatalf("succeeded, exit code %s is wanted", args[0])
	} else if got := regexp.MustCompile(`\d+$`).FindString(err.Error()); got != args[0] {
		ts.Fatalf("%v, exit code %s is wanted", err, args[0])
	}
}

func scriptMode(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL FILE...")
	}
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

func scriptServe(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) > 0 {
		ts.Fatalf("usage: serve")
	}
	server := exec.Command(binary(), "server", "--listen", up.Address(portOf(ts, "PORT1")), "--admin-listen", up.Address(portOf(ts, "PORT2")))
	server.Dir = ts.MkAbs(".")
	log, err := server.StderrPipe()
	ts.Check(err)
	ts.Check(server.Start())
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		ts.Logf("%s", lines.Text())
		if strings.Contains(lines.Text(), `"listening"`) {
			_ = server.Process.Signal(syscall.SIGTERM)
		}
	}
	ts.Check(errors.Join(lines.Err(), server.Wait()))
}

func portOf(ts *testscript.TestScript, name string) int {
	port, err := strconv.Atoi(ts.Getenv(name))
	ts.Check(err)
	return port
}

func scriptWidth(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: width N")
	}
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	for line := range strings.SplitSeq(ts.ReadFile("stdout"), "\n") {
		if len([]rune(line)) > limit {
			ts.Fatalf("%d characters: %s", len([]rune(line)), line)
		}
	}
}

// TestServerWithAnotherMasterKey starts a server on a database whose keys were sealed anew meanwhile.
func TestMasterKeyRotation(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	oldKey, newKey := filepath.Join(folder, "master.key"), filepath.Join(folder, "master.key.new")
	clients := seedClients(t, "sqlite:"+filepath.Join(folder, "countersign.db"), oldKey)
	server := startServer(t, clients.Settings()...)
	before := token(t, server.Issuer, clients.Caller, nil)

	rotate := startProgram(t, folder, nil, "master-key", "rotate")
	if code := rotate.Exit(t, endWithin); code != 0 {
		t.Fatalf("exit code %d: %s", code, rotate.out)
	}
	token(t, server.Issuer, clients.Caller, nil) // it goes on with the keys that it holds
	server.Stop(t)

	refused := startProgram(t, folder, []string{
		"COUNTERSIGN_LISTEN=" + up.Address(testbed.FreePort(t)), "COUNTERSIGN_ADMIN_LISTEN=" + up.Address(testbed.FreePort(t)),
	}, "server")
	if code := refused.Exit(t, endWithin); code != 1 || !strings.Contains(refused.out.String(), "the master key is not the one of this database") {
		t.Errorf("with the old key: exit code %d: %s", code, refused.out)
	}
	server.environ = append(server.environ, "COUNTERSIGN_MASTER_KEY_FILE="+newKey)
	server.Start(t)
	if !active(t, server.Issuer, clients.Server, before) {
		t.Error("a token from before the rotation is not active")
	}
}
