package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// At a terminal the command line asks, and does only what is answered with yes.
func TestQuestionAtTerminal(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	folder := s.command.Dir // where the profile is
	for _, tt := range []struct {
		name, answer string
		code         int
	}{{"no", "n\n", 2}, {"end-of-input", "\x04", 2}, {"yes", "y\n", 0}} {
		name := "asked-" + tt.name
		made := startProgram(t, folder, nil, "client", "create", name)
		if code := made.Exit(t, endWithin); code != 0 {
			t.Fatalf("exit code %d: %s", code, made.out)
		}
		code, printed := atTerminal(t, folder, tt.answer, "client", "delete", name)
		if code != tt.code || !strings.Contains(printed, `Delete client "`+name+`"`) || !strings.Contains(printed, "? [y/N] ") {
			t.Errorf("%s: exit code %d, want %d; printed:\n%s", tt.name, code, tt.code, printed)
		}
		shown := startProgram(t, folder, nil, "client", "show", name)
		if gone := shown.Exit(t, endWithin) == 3; gone != (tt.code == 0) {
			t.Errorf("%s: deleted is %v", tt.name, gone)
		}
	}
}

// atTerminal runs the binary at a terminal of its own, types answer at its first question, and returns what the terminal showed.
func atTerminal(t *testing.T, folder, answer string, args ...string) (code int, printed string) {
	t.Helper()
	master, terminal := openTerminal(t)
	command := exec.CommandContext(t.Context(), binary(), args...)
	command.Dir, command.Env = folder, outerEnvironment(folder)
	command.Stdin, command.Stdout, command.Stderr = terminal, terminal, terminal
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	shown := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 1024)
		for answered := false; ; {
			n, err := master.Read(buffer)
			all.Write(buffer[:n])
			if !answered && strings.Contains(all.String(), "[y/N] ") {
				answered = true
				_, _ = io.WriteString(master, answer)
			}
			if err != nil { // EIO: the program has gone
				shown <- all.String()
				return
			}
		}
	}()
	select {
	case printed = <-shown:
	case <-time.After(endWithin):
		_ = command.Process.Kill()
		t.Errorf("nothing was asked in %v; the terminal showed:\n%s", endWithin, <-shown)
	}
	_ = command.Wait()
	return command.ProcessState.ExitCode(), printed
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(filepath.Join("/dev/pts", fmt.Sprint(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}
