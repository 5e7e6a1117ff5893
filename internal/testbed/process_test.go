package testbed_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/internal/testbed"
)

// roleVariable makes the test binary run one of the roles instead of its tests.
const roleVariable = "TESTBED_TEST_ROLE"

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(roleVariable); ok {
		roles()[role](program{})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func roles() map[string]func(tb testing.TB) {
	return map[string]func(tb testing.TB){
		"need mariadb": func(tb testing.TB) { testbed.MariaDB(tb) },
		"need redis":   func(tb testing.TB) { testbed.StartRedis(tb) },
		"serve": func(tb testing.TB) {
			for _, url := range []string{
				testbed.MariaDB(tb).AdminURL(), testbed.StartMariaDB(tb).URL(),
				testbed.Redis(tb).URL(), testbed.StartRedis(tb).URL(),
			} {
				fmt.Fprintln(os.Stdout, url)
			}
			fmt.Fprintln(os.Stdout, "ready")
			io.Copy(io.Discard, os.Stdin)
		},
	}
}

// program is a testing.TB outside of any test.
type program struct{ testing.TB }

func (program) Helper()                  {}
func (program) Cleanup(func())           {}
func (program) Context() context.Context { return context.Background() }
func (program) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}
func (p program) Fatalf(format string, args ...any) { p.Fatal(fmt.Sprintf(format, args...)) }

// roleCommand returns a command that knows of no shared servers.
func roleCommand(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, testbed.MariaDBVariable+"=") || strings.HasPrefix(v, testbed.RedisVariable+"=")
	})
	cmd.Env = append(append(cmd.Env, roleVariable+"="+role), env...)
	return cmd
}

func TestServersEndWithTheProcess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(cmd *exec.Cmd, stdin io.Closer) error
	}{
		{name: "killed", end: func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Kill() }},
		{name: "exits", end: func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			cmd := roleCommand(t, "serve", "TMPDIR="+tmp)
			cmd.Stderr = t.Output()
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			addrs := startUntilReady(t, cmd)
			if len(addrs) != 4 {
				t.Fatalf("%d servers, want 4", len(addrs))
			}
			for _, addr := range addrs {
				dial(t, addr)
			}
			if err := tt.end(cmd, stdin); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			testbed.Wait(t, 10*time.Second, func() error {
				for _, addr := range addrs {
					if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr); err == nil {
						conn.Close()
						return fmt.Errorf("the server at %s still runs", addr)
					}
				}
				left, err := os.ReadDir(tmp)
				if err == nil && len(left) > 0 {
					return fmt.Errorf("%v is still there", left)
				}
				return err
			})
		})
	}
}

// startUntilReady returns the hosts and ports of the URLs that cmd prints before the line "ready".
func startUntilReady(t *testing.T, cmd *exec.Cmd) (addrs []string) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == "ready" {
			return addrs
		}
		addrs = append(addrs, addrOf(lines.Text()))
	}
	t.Fatalf("not ready: %v", cmd.Wait())
	return nil
}

// addrOf returns host:port of a URL.
func addrOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	rest = rest[strings.Index(rest, "@")+1:]
	addr, _, _ := strings.Cut(rest, "/")
	return addr
}

// TestServersOutliveTheThread: the kernel ties a child's life to the thread that made it.
func TestServersOutliveTheThread(t *testing.T) {
	t.Parallel()
	var clients []*redis.Client
	for range 4 {
		started := make(chan *testbed.Server)
		go func() {
			runtime.LockOSThread() // and never unlocks it, which ends the thread with the goroutine
			started <- testbed.StartRedis(t)
		}()
		clients = append(clients, openRedis(t, (<-started).URL()))
	}
	for end := time.Now().Add(silence); time.Now().Before(end); {
		for _, client := range clients {
			if err := client.Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestMissingServersAreNamed(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"need mariadb", "need redis"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			cmd := roleCommand(t, role, "PATH=/nonexistent", "TMPDIR="+t.TempDir())
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("got %v, want a failure", err)
			}
			for _, want := range []string{"mariadb-server", "redis-server", "make test"} {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("the message does not name %s: %s", want, &stderr)
				}
			}
		})
	}
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	given := map[int]bool{}
	for range 300 { // of so many, some would be equal
		port := testbed.FreePort(t)
		if port < 20000 || port > 32767 {
			t.Errorf("port %d is one that the kernel gives to outgoing connections", port)
		}
		if given[port] {
			t.Errorf("port %d is given twice", port)
		}
		given[port] = true
	}
}

func TestFreePortsAreFree(t *testing.T) {
	t.Parallel()
	const each = 50
	given := map[int]bool{}
	for range 10 {
		first := testbed.FreePorts(t, each)
		for port := first; port < first+each; port++ {
			if given[port] {
				t.Errorf("port %d is given twice", port)
			}
			given[port] = true
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Errorf("port %d: %v", port, err)
			} else if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A program is ended with its own children, which nobody else would end.
func TestProgramsEndWithTheirChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	var child int
	t.Run("runs", func(t *testing.T) {
		testbed.StartProgram(t, exec.Command("sh", "-c", "sleep 300 & echo $! > '"+file+".new' && mv '"+file+".new' '"+file+"'; wait"))
		testbed.Wait(t, 10*time.Second, func() error {
			text, err := os.ReadFile(file)
			if err == nil {
				child, err = strconv.Atoi(strings.TrimSpace(string(text)))
			}
			return err
		})
	})
	testbed.Wait(t, 10*time.Second, func() error {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("process %d outlives its parent", child)
		}
		return nil
	})
}
