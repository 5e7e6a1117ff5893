package testbed

import (
	"os"
	"testing"
)

// Server is a server that belongs to one test, which may do to it what happens to servers. It
// keeps its address and its data folder until the test ends. Its methods act on the process that
// was started here and nothing else; they are not safe for concurrent use, but for Addr and URL.
type Server struct {
	tb       testing.TB
	instance *instance
	url      string
}

// startServer takes over dir and whatever is in it.
func startServer(tb testing.TB, e engine, dir string, url func(addr string) string) *Server {
	tb.Helper()
	instance, err := launch(e, dir)
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, instance: instance, url: url(instance.addr())}
	tb.Cleanup(s.cleanup)
	return s
}

func (s *Server) cleanup() {
	if s.instance.proc != nil && !s.instance.running() {
		s.tb.Errorf("%s ended by itself: %v", s.instance.program, s.instance.proc.cmd.ProcessState)
	}
	s.instance.kill()
	s.instance.release()
	if s.tb.Failed() {
		s.tb.Logf("end of the log of %s at %s:\n%s", s.instance.program, s.Addr(), s.instance.logTail())
	}
	if err := os.RemoveAll(s.instance.dir); err != nil {
		s.tb.Errorf("remove data folder: %v", err)
	}
}

// Addr returns the host and port.
func (s *Server) Addr() string { return s.instance.addr() }

// URL returns the address in the form that Countersign is configured with, password included.
func (s *Server) URL() string { return s.url }

// PID returns the process id. The server must be running.
func (s *Server) PID() int {
	s.tb.Helper()
	s.mustRun("name the process of")
	return s.instance.proc.cmd.Process.Pid
}

// Kill ends the process as a crash does (SIGKILL) and waits until it is gone.
func (s *Server) Kill() {
	s.tb.Helper()
	s.mustRun("kill")
	s.instance.kill()
}

// Stop ends the process as an operator does (SIGTERM) and waits until it is gone.
func (s *Server) Stop() {
	s.tb.Helper()
	s.mustRun("stop")
	if err := s.instance.stop(); err != nil {
		s.tb.Fatal(err)
	}
}

// Start runs the server again after Kill or Stop, on the same port and data, and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	if s.instance.running() {
		s.tb.Fatalf("start %s: it is running", s.instance.program)
	}
	if err := s.instance.start(); err != nil {
		s.tb.Fatal(err)
	}
}

// Pause hangs the process (SIGSTOP): connections are still accepted, by the kernel, and nothing
// answers. It returns when every thread has stopped.
func (s *Server) Pause() {
	s.tb.Helper()
	s.mustRun("pause")
	if err := s.instance.proc.pause(); err != nil {
		s.tb.Fatal(err)
	}
}

// Resume lets a paused process go on (SIGCONT).
func (s *Server) Resume() {
	s.tb.Helper()
	s.mustRun("resume")
	if err := s.instance.proc.resume(); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *Server) mustRun(verb string) {
	s.tb.Helper()
	if !s.instance.running() {
		s.tb.Fatalf("%s %s: it is not running", verb, s.instance.program)
	}
}
