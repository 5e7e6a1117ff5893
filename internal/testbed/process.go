package testbed

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastingThread runs functions on one thread that lives as long as the process. Pdeathsig fires
// when the thread that made a child ends, and Go ends threads whenever it likes.
//
//nolint:gochecknoglobals // one thread serves the whole process, as the kernel ties the signal to it
var lastingThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// process is a child that dies with us.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed once the child has been waited for
}

// spawn starts cmd in a process group of its own, so that Ctrl-C at a terminal reaches us alone. Of a SysProcAttr it keeps the credential.
func spawn(cmd *exec.Cmd) (*process, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if cmd.SysProcAttr != nil {
		attr.Credential = cmd.SysProcAttr.Credential
	}
	cmd.SysProcAttr = attr
	started := make(chan error)
	lastingThread() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// kill ends the child at once, with the children of its own that it could not end any more, and waits for it.
func (p *process) kill() {
	if p.alive() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails only if they are gone already
	}
	<-p.gone
}

// stop asks the child to end and kills it when it has not after patience.
func (p *process) stop(patience time.Duration) error {
	// A paused child acts on SIGTERM only once it runs again.
	err := errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Process.Signal(syscall.SIGCONT))
	if err != nil {
		p.kill()
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("stop %s: killed, as it had not ended after %v", p.cmd.Path, patience)
	}
}

// pause returns once every thread of the child has stopped.
func (p *process) pause() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", p.cmd.Path, err)
	}
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait until %s has stopped: %w", p.cmd.Path, err)
		}
		return nil
	}
}

func (p *process) resume() error {
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume %s: %w", p.cmd.Path, err)
	}
	return nil
}

// command is exec.Command for a child that no context ends: its owner does.
func command(path string, args ...string) *exec.Cmd {
	return exec.CommandContext(context.Background(), path, args...) //nolint:gosec // the tests choose what runs
}
