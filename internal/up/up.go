// Package up runs the whole picture on one machine: each part a process of its own, supervised, so that a part can really be
// killed. It knows processes, ports, the data folder and the control socket; what the parts are it is told.
package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Part is one process of the picture.
type Part struct {
	Name     string   // such as "auth-1"; letters, digits and dashes
	Role     string   // what the process runs; the child is told by its only argument
	Settings any      // encoded as JSON, reaches the child by an inherited pipe, never by argv
	Ready    string   // URL that answers 200 when the part works
	URL      string   // where people find it
	Environ  []string // the whole environment of the process; nil: that of this one
}

// Config says what to run.
type Config struct {
	Folder   *Folder
	Parts    []Part // started in order, stopped in reverse order
	Program  string // the executable that children run
	Argument string // the hidden command of Program under which a part starts
	Logger   *slog.Logger
	// StartWithin bounds how long the parts may take to become ready.
	StartWithin time.Duration
	// Asked answers further commands of the control socket, by name; argument is what follows the name. What it returns is a part of the
	// Answer. It may be called by any number of goroutines.
	Asked map[string]func(ctx context.Context, argument string) (json.RawMessage, error)
	// StopWithin bounds how long a part may take to end by itself; then it is killed.
	StopWithin time.Duration
	// Database is "sqlite" or "mysql", TokenStore "memory" or "redis": what the parts were told to use.
	Database, TokenStore string
	// Faults are the fault proxies between the parts. Nil: there are none. Whoever made them closes them.
	Faults *Faults
}

// System is the running picture.
type System struct {
	config    Config
	processes []*process
}

// Start starts every part and waits until each answers. If one fails it stops the others and says where that one's log is.
// Parts that end without having been told to are started again, until Stop.
func Start(asked context.Context, config Config) (*System, error) {
	s := &System{config: config}
	for _, part := range config.Parts {
		p, err := newProcess(part, config)
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		s.processes = append(s.processes, p)
		p.start()
	}
	ctx, cancel := context.WithTimeout(asked, config.StartWithin)
	defer cancel()
	var wait sync.WaitGroup
	failures := make([]error, len(s.processes))
	for i, p := range s.processes {
		wait.Go(func() { failures[i] = p.awaitReady(ctx) })
	}
	wait.Wait()
	if err := errors.Join(failures...); err != nil {
		if errors.Is(asked.Err(), context.Canceled) {
			err = asked.Err() // what the parts say of their sudden end is of no interest
		}
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop ends every part, the last started first, and waits for them.
func (s *System) Stop() error {
	var errs []error
	for _, p := range slices.Backward(s.processes) {
		errs = append(errs, p.shutdown())
	}
	return errors.Join(errs...)
}

// PartStatus is the state of one part.
type PartStatus struct {
	Name     string    `json:"name"`
	State    string    `json:"state"` // running, restarting, stopped or paused
	PID      int       `json:"pid,omitempty"`
	URL      string    `json:"url,omitempty"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Log      string    `json:"log"`
	Ready    string    `json:"ready"` // URL that answers 200 when the part works; /metrics is beside it
}

// Status returns the state of every part.
func (s *System) Status() []PartStatus {
	list := make([]PartStatus, len(s.processes))
	for i, p := range s.processes {
		list[i] = p.status()
	}
	return list
}

// Do carries out a command on one part: stop (end it, it stays down), kill (as stop, by SIGKILL), pause (SIGSTOP), start (start it
// again and wait until it is ready, or let it go on). The command fault is for a fault proxy and its mode, such as "database refuse".
func (s *System) Do(command, part string) error {
	if command == "fault" {
		faults := s.config.Faults
		if faults == nil {
			faults = &Faults{}
		}
		return faults.Set(part)
	}
	var target *process
	names := make([]string, len(s.processes))
	for i, p := range s.processes {
		names[i] = p.part.Name
		if p.part.Name == part {
			target = p
		}
	}
	if target == nil {
		return fmt.Errorf("no part is named %q: allowed are %s", part, strings.Join(names, ", "))
	}
	switch command {
	case "stop":
		return target.stop()
	case "kill":
		return target.kill()
	case "pause":
		return target.pause()
	case "start":
		return target.resume()
	}
	return fmt.Errorf("unknown command %q: allowed are status, stop, kill, pause, start and fault", command)
}

// Executable returns the path of the running program, and the words by which it was started, for commands that are printed:
// `go run .` builds into a temporary folder that nobody should type. Since `go run` does not pass SIGTERM on, a program that it
// started is told to end when `go run` does.
func Executable(args []string) (path, typed string, err error) {
	path, err = os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("find the running program: %w", err)
	}
	if IsGoRun(path) {
		return path, "go run .", endWithParent()
	}
	return path, Quote(args[0]), nil
}
