package e2e

import (
	"bytes"
	"fmt"
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

	"github.com/countersign/countersign/internal/testbed"
)

const (
	startWithin = 30 * time.Second
	endWithin   = 20 * time.Second
	// maxShown is how much of a program's output a failed test shows, in bytes.
	maxShown = 4 << 10
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
// environment it gets what is no setting of Countersign, and environ. The profiles of the command line are in folder, so that no user's
// are touched.
func startProgram(t *testing.T, folder string, environ []string, args ...string) *program {
	t.Helper()
	return startCommand(t, folder, environ, exec.Command(binary(), args...))
}

// startCommand is startProgram for a command that is not the binary itself.
func startCommand(t *testing.T, folder string, environ []string, command *exec.Cmd) *program {
	t.Helper()
	p := &program{command: command, out: &output{}, ended: make(chan struct{})}
	p.command.Dir = folder
	p.command.Env = append(outerEnvironment(folder), environ...)
	p.command.Stdout, p.command.Stderr = p.out, p.out
	p.command.WaitDelay = endWithin // a child that has our pipe and does not end must not block the test for good
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	printed.add(t.Name(), command.Args[1:], p.out)
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			text := p.out.String()
			t.Logf("%v printed:\n%s", command.Args[1:], text[max(0, len(text)-maxShown):])
		}
	})
	return p
}

// outerEnvironment is the environment of the tests without what is a setting of Countersign, with the user's configuration in folder.
func outerEnvironment(folder string) (environ []string) {
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "COUNTERSIGN_") && !strings.HasPrefix(entry, "XDG_CONFIG_HOME=") {
			environ = append(environ, entry)
		}
	}
	return append(environ, "XDG_CONFIG_HOME="+filepath.Join(folder, configFolder))
}

// configFolder is where, in a program's folder, its user's configuration is.
const configFolder = "user-config"

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

// alive reports whether the process exists and is no zombie. One whose first thread has ended holds its ports while others have not.
func alive(pid int) bool {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // none of a process that is gone
	state := processState(pid)
	return state != "" && (state != "Z" || len(threads) > 1)
}

// processFields returns the fields of /proc/PID/stat that follow the program's name, the state first.
func processFields(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}
