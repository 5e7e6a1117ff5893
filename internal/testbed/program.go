package testbed

import (
	"os/exec"
	"testing"
)

// Program is a process of a test's own, such as a binary under test. Its methods may be called by any number of goroutines.
type Program struct{ proc *process }

// FindProgram returns the path of an executable, which may be where only root's PATH leads.
func FindProgram(tb testing.TB, name string) string {
	tb.Helper()
	path, err := program(name)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// StartProgram starts cmd, which must not have a SysProcAttr. It is killed when the test ends, or when the test's process does.
func StartProgram(tb testing.TB, cmd *exec.Cmd) *Program {
	tb.Helper()
	proc, err := spawn(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(proc.kill)
	return &Program{proc}
}

// PID returns the process id.
func (p *Program) PID() int { return p.proc.cmd.Process.Pid }

// Gone returns a channel that is closed once the process has ended and was waited for.
func (p *Program) Gone() <-chan struct{} { return p.proc.gone }
