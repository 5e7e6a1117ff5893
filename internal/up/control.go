package up

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Answer is what the control socket says, one JSON object a command.
type Answer struct {
	Error string       `json:"error,omitempty"`
	Parts []PartStatus `json:"parts,omitempty"`

	Database   string        `json:"database,omitempty"`    // sqlite or mysql
	TokenStore string        `json:"token_store,omitempty"` // memory or redis
	Faults     []FaultStatus `json:"faults,omitempty"`      // the fault proxies, if the system runs with them

	// Data is what a command of Config.Asked answers, which answers nothing else.
	Data json.RawMessage `json:"data,omitempty"`
}

const (
	socketFile   = "up.sock"
	maxCommand   = 256
	socketWithin = time.Minute // more than a part may take to start or to stop
	// maxSocketPath is what every system can bind: the shortest sun_path is 104 bytes, one of them the final zero.
	maxSocketPath = 103
)

// Control is the open control socket of a system.
type Control struct {
	system   *System
	listener net.Listener
}

// OpenControl opens the data folder's socket, with mode 0600. Serve answers what is asked there.
func (s *System) OpenControl(ctx context.Context) (*Control, error) {
	path := s.config.Folder.File(socketFile)
	_ = os.Remove(path) // a socket that a killed predecessor left; the folder's lock says that nobody has it
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open the control socket: %w", err), listener.Close())
	}
	return &Control{system: s, listener: listener}, nil
}

// Serve answers commands until ctx ends, and closes the socket: one line each, `status`, `stop PART`, `kill PART`, `pause PART`,
// `start PART` or `fault NAME MODE`, answered by one line of JSON.
func (c *Control) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.listener.Close() })
	defer stop()
	var conversations sync.WaitGroup
	defer conversations.Wait()
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		conversations.Go(func() { c.system.converse(ctx, conn) })
	}
}

func (s *System) converse(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(socketWithin))
	line, err := bufio.NewReader(io.LimitReader(conn, maxCommand)).ReadString('\n')
	if err != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(s.answer(ctx, strings.TrimSpace(line)))
}

// answer carries out a command.
func (s *System) answer(ctx context.Context, line string) Answer {
	command, argument, _ := strings.Cut(line, " ")
	argument = strings.TrimSpace(argument)
	asked := s.config.Asked[command]
	switch {
	case asked != nil:
		data, err := asked(ctx, argument)
		if err != nil {
			return Answer{Error: err.Error()}
		}
		return Answer{Data: data}
	case command != "status":
		if err := s.Do(command, argument); err != nil {
			return Answer{Error: err.Error()}
		}
	}
	answer := Answer{Parts: s.Status(), Database: s.config.Database, TokenStore: s.config.TokenStore}
	if s.config.Faults != nil {
		answer.Faults = s.config.Faults.Status()
	}
	return answer
}

// Tell sends one command to the system that runs in a data folder and returns the state of its parts.
func Tell(ctx context.Context, folder, command string) ([]PartStatus, error) {
	answer, err := Ask(ctx, folder, command)
	return answer.Parts, err
}

// Ask sends one command to the system that runs in a data folder and returns all that it answers.
func Ask(ctx context.Context, folder, command string) (answer Answer, err error) {
	path := (&Folder{Path: folder}).File(socketFile)
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return answer, fmt.Errorf("no system runs in the data folder %s: start one with `countersign up`, or choose another folder with --data-dir", folder)
	}
	if err != nil {
		return answer, fmt.Errorf("reach the system that runs in the data folder %s: %w", folder, err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(socketWithin))
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return answer, fmt.Errorf("write to the control socket: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read from the control socket: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}
