package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	stateRunning    = "running"
	stateRestarting = "restarting"
	stateStopped    = "stopped"
	statePaused     = "paused"

	// restartDelay is the pause before a part that ended by itself is started again; it doubles up to maxRestartDelay.
	restartDelay    = 100 * time.Millisecond
	maxRestartDelay = 5 * time.Second
	// steady is how long a part must run for its next restart to be quick again.
	steady = 10 * time.Second
	probe  = 20 * time.Millisecond
	// patience is how often a part may end by itself before it is not waited for any longer.
	patience = 2
)

// errToldToStay is why no child was started.
var errToldToStay = errors.New("told to stay down")

// process supervises one part. Its goroutine, supervise, owns the child.
type process struct {
	part   Part
	config Config
	log    *logFile

	mu       sync.Mutex
	state    string
	since    time.Time
	restarts int
	child    *child
	stopping bool          // told to stay down
	halt     chan struct{} // closed with stopping
	done     chan struct{} // closed when supervise has returned
}

// child is one incarnation of a part.
type child struct {
	command *exec.Cmd
	leash   io.Closer // its end tells the child to end
	ended   chan struct{}
}

func newProcess(part Part, config Config) (*process, error) {
	log, err := openLog(config.Folder.logPath(part.Name))
	if err != nil {
		return nil, err
	}
	return &process{part: part, config: config, log: log, state: stateStopped, since: time.Now()}, nil
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping, p.halt, p.done = false, make(chan struct{}), make(chan struct{})
	p.setState(stateRestarting)
	go p.supervise(p.halt, p.done)
}

// supervise keeps the part running until it is told to stay down.
func (p *process) supervise(halt <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	delay := restartDelay
	for {
		begun := time.Now()
		c, err := p.spawn()
		if err != nil && !errors.Is(err, errToldToStay) {
			p.config.Logger.Error("part did not start", "part", p.part.Name, "error", err.Error())
		} else if err == nil {
			err = c.command.Wait()
			close(c.ended)
			_ = c.leash.Close()
		}
		p.mu.Lock()
		p.child = nil
		if p.stopping {
			p.setState(stateStopped)
			p.mu.Unlock()
			return
		}
		p.restarts++
		p.setState(stateRestarting)
		p.mu.Unlock()
		p.config.Logger.Warn("part ended by itself and is started again", "part", p.part.Name, "error", fmt.Sprint(err), "log", p.log.path)
		if time.Since(begun) > steady {
			delay = restartDelay
		}
		select {
		case <-halt:
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestartDelay)
	}
}

// spawn starts the child in a process group of its own, so that an interrupt typed at the terminal reaches only the parent,
// which then ends the parts in order.
func (p *process) spawn() (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the settings pipe: %w", err)
	}
	defer func() { _ = read.Close() }()
	command := exec.Command(p.config.Program, p.config.Argument, p.part.Role) //nolint:gosec,noctx // our own program; the leash ends it
	command.Env = p.part.Environ
	command.ExtraFiles = []*os.File{read}
	command.Stdout, command.Stderr = p.log, p.log
	command.SysProcAttr = childAttributes()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		_ = write.Close()
		return nil, errToldToStay
	}
	if err := command.Start(); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start %s: %w", p.part.Name, err)
	}
	if err := json.NewEncoder(write).Encode(p.part.Settings); err != nil {
		_ = write.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, fmt.Errorf("hand settings to %s: %w", p.part.Name, err)
	}
	p.child = &child{command: command, leash: write, ended: make(chan struct{})}
	p.setState(stateRunning)
	return p.child, nil
}

// awaitReady asks the part until it answers that it is ready, or it has ended, or ctx has.
func (p *process) awaitReady(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	earlier := p.status().Restarts
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.part.Ready, nil)
		if err != nil {
			return fmt.Errorf("ask %s whether it is ready: %w", p.part.Name, err)
		}
		if answer, err := client.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if p.status().Restarts-earlier > patience || ctx.Err() != nil {
			return fmt.Errorf("%s did not become ready; the end of its log %s:\n%s", p.part.Name, p.log.path, p.log.tail())
		}
		select {
		case <-ctx.Done():
		case <-time.After(probe):
		}
	}
}

// stop ends the child by its leash; if that takes too long, by SIGKILL. The part stays down.
func (p *process) stop() error {
	return p.end(func(c *child) {
		_ = c.command.Process.Signal(syscall.SIGCONT)
		_ = c.leash.Close()
	})
}

// kill ends the child at once. The part stays down.
func (p *process) kill() error {
	return p.end(func(c *child) { _ = c.command.Process.Kill() })
}

func (p *process) end(by func(*child)) error {
	p.mu.Lock()
	if p.stopping || p.done == nil {
		p.mu.Unlock()
		return fmt.Errorf("%s is down already", p.part.Name)
	}
	p.stopping = true
	close(p.halt)
	c, done := p.child, p.done
	if c != nil {
		by(c)
	}
	p.mu.Unlock()
	select {
	case <-done:
	case <-time.After(p.config.StopWithin):
		if c != nil {
			_ = c.command.Process.Kill()
		}
		<-done
	}
	return nil
}

// shutdown is stop for the end of the system: a part that is down already is no error.
func (p *process) shutdown() error {
	if p.status().State != stateStopped {
		_ = p.stop()
	}
	return p.log.Close()
}

func (p *process) pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != stateRunning {
		return fmt.Errorf("%s is %s: only a running part can be paused", p.part.Name, p.state)
	}
	if err := p.child.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", p.part.Name, err)
	}
	p.setState(statePaused)
	return nil
}

// resume lets a paused part go on, or starts one that is down and waits until it is ready.
func (p *process) resume() error {
	p.mu.Lock()
	state := p.state
	if state == statePaused {
		defer p.mu.Unlock()
		if err := p.child.command.Process.Signal(syscall.SIGCONT); err != nil {
			return fmt.Errorf("continue %s: %w", p.part.Name, err)
		}
		p.setState(stateRunning)
		return nil
	}
	p.mu.Unlock()
	if state != stateStopped {
		return fmt.Errorf("%s is %s already", p.part.Name, state)
	}
	p.start()
	ctx, cancel := context.WithTimeout(context.Background(), p.config.StartWithin)
	defer cancel()
	return p.awaitReady(ctx)
}

// setState needs p.mu.
func (p *process) setState(state string) { p.state, p.since = state, time.Now() }

func (p *process) status() PartStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := PartStatus{Name: p.part.Name, State: p.state, URL: p.part.URL, Since: p.since, Restarts: p.restarts, Log: p.log.path, Ready: p.part.Ready}
	if p.child != nil {
		status.PID = p.child.command.Process.Pid
	}
	return status
}

// IsGoRun tells by the folder of the program at path whether `go run` started it: the first time it runs what it has linked, in a
// temporary folder, and from then on its build cache's copy, GOCACHE/ab/ab…-d/NAME.
func IsGoRun(path string) bool {
	path = filepath.ToSlash(path)
	return strings.Contains(path, "/go-build") && strings.Contains(path, "/exe/") || cachedProgram.MatchString(path)
}

var cachedProgram = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{64}-d/[^/]+$`)
