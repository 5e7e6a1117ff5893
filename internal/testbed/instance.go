package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startPatience = 60 * time.Second // many packages may be starting servers on few cores
	stopPatience  = 30 * time.Second
)

// engine is what differs between kinds of servers.
type engine struct {
	program string
	// args are the arguments for a server on port of 127.0.0.1 with its data in dir.
	args func(dir string, port int) []string
	// probe returns nil once the server with this data folder and process id answers at addr.
	// Somebody else may have taken the port, so an answer alone proves nothing.
	probe func(ctx context.Context, addr, dir string, pid int) error
	// user is who runs the program; nil: whoever runs the tests.
	user *syscall.Credential
}

// instance is a server process with what outlives the process: its port and its folder.
type instance struct {
	engine
	dir  string
	port int
	proc *process // nil while stopped by us
	// release gives up the port, which nobody else is given while the server is down.
	release func()
}

// errEnded says that a server ended while it was starting.
var errEnded = errors.New("ended while starting")

// launch starts an instance for the first time, on a port of its choice.
func launch(e engine, dir string) (*instance, error) {
	for attempt := 1; ; attempt++ {
		port, release, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		s := &instance{engine: e, dir: dir, port: port, release: release}
		err = s.start()
		if err == nil {
			return s, nil
		}
		release()
		// Another process may have taken the port before the server had it.
		if attempt == 3 || !errors.Is(err, errEnded) {
			return nil, err
		}
	}
}

// start runs the process and returns when it answers.
func (s *instance) start() error {
	path, err := program(s.program)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", s.program, err)
	}
	cmd := command(path, s.args(s.dir, s.port)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	proc, err := spawn(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	s.proc = proc
	if err = s.awaitAnswer(); err != nil {
		s.kill()
		return fmt.Errorf("start %s: %w\n%s", s.program, err, s.logTail())
	}
	return nil
}

func (s *instance) awaitAnswer() error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.probe(ctx, s.addr(), s.dir, s.proc.cmd.Process.Pid)
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.gone:
			return fmt.Errorf("%w with %v", errEnded, s.proc.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v: %w", startPatience, err)
		case <-again.C:
		}
	}
}

func (s *instance) running() bool { return s.proc != nil && s.proc.alive() }

// kill does nothing if the process is not running.
func (s *instance) kill() {
	if s.proc != nil {
		s.proc.kill()
		s.proc = nil
	}
}

func (s *instance) stop() error {
	err := s.proc.stop(stopPatience)
	s.proc = nil
	return err
}

func (s *instance) addr() string { return loopback(s.port) }

func (s *instance) logPath() string { return filepath.Join(s.dir, "testbed.log") }

// logTail returns the end of what the process wrote, for people to read.
func (s *instance) logTail() string {
	const most = 4096
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-most):])
}
