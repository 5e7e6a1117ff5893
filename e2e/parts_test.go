package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

func TestPartsEndWithTheirParent(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	s.Tell(t, "pause", "auth-2") // cannot notice anything
	children := childrenOf(t, s.PID())
	if len(children) != 7 {
		t.Fatalf("%d children, want 7", len(children))
	}
	s.Signal(t, syscall.SIGKILL)
	testbed.Wait(t, healWithin, func() error {
		if i := slices.IndexFunc(children, alive); i >= 0 {
			return fmt.Errorf("process %d outlives its parent", children[i])
		}
		return nil
	})
	s.Exit(t, endWithin)
	again := startUpIn(t, s.Folder, s.PortBase)
	token(t, again.Issuer, again.client("service-a"), nil)
}

// part returns the state of a part.
func part(t *testing.T, s *system, name string) up.PartStatus {
	t.Helper()
	parts, err := up.Tell(t.Context(), s.Folder, "status")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(parts, func(p up.PartStatus) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("no part %s among %v", name, parts)
	}
	return parts[i]
}

func TestKilledPartIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	for i, name := range []string{"auth-1", "lb", "gateway-2"} {
		before := part(t, s, name)
		if before.Restarts != 0 || before.State != "running" {
			t.Fatalf("%d: %+v", i, before)
		}
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, startWithin, func() error {
			if now := part(t, s, name); now.Restarts != 1 || now.State != "running" || now.PID == before.PID {
				return fmt.Errorf("%+v", now)
			}
			return nil
		})
	}
	testbed.Wait(t, startWithin, func() error {
		_, err := askToken(t.Context(), s.Issuer, s.client("service-a"), nil)
		return err
	})
	if out := s.Tell(t, "status"); !regexp.MustCompile(`(?m)^auth-1 +running +\S+ +\d+ +1 `).MatchString(out) {
		t.Errorf("status does not count the restart:\n%s", out)
	}
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	path := filepath.Join(s.Folder, "up.sock")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o, want 0600", mode)
	}
	for _, tt := range []struct {
		command string
		want    string // the state of auth-1; empty: an error
		says    string
	}{
		{command: "stop auth-1", want: "stopped"},
		{command: "stop auth-1", says: "down already"},
		{command: "pause auth-1", says: "only a running part"},
		{command: "start auth-1", want: "running"},
		{command: "start auth-1", says: "running already"},
		{command: "pause auth-1", want: "paused"},
		{command: "start auth-1", want: "running"},
		{command: "kill auth-1", want: "stopped"},
		{command: "start auth-1", want: "running"},
		{command: "stop auth-9", says: "auth-1, auth-2, lb, gateway-1, gateway-2"},
		{command: "explode auth-1", says: "allowed are status, stop, kill, pause, start and fault"},
	} {
		got := converse(t, path, tt.command)
		if tt.want == "" {
			if !strings.Contains(got.Error, tt.says) {
				t.Errorf("%s: error %q, want one that says %q", tt.command, got.Error, tt.says)
			}
			continue
		}
		if got.Error != "" || got.Parts[0].Name != "auth-1" || got.Parts[0].State != tt.want {
			t.Errorf("%s: %+v, want %s", tt.command, got, tt.want)
		}
		if down := tt.want == "stopped"; down != (got.Parts[0].PID == 0) {
			t.Errorf("%s: process %d", tt.command, got.Parts[0].PID)
		}
	}
	for command, state := range map[string]string{"stop": "stopped", "pause": "paused"} {
		if out := s.Tell(t, command, "auth-2"); !regexp.MustCompile(`(?m)^auth-2 +` + state).MatchString(out) {
			t.Errorf("%s: %s", command, out)
		}
		s.Tell(t, "start", "auth-2")
	}
}

// converse speaks to the control socket as a script would.
func converse(t *testing.T, path, command string) (got up.Answer) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, command); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(conn).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOneServerDown takes an auth server away under load: each request through the issuer's address succeeds, and is answered in
// bounded time even by way of a server that hangs.
func TestOneServerDown(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"stop", "kill", "crash", "pause"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := startUp(t)
			pid := part(t, s, "auth-1").PID
			const requests, before = 300, 50
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			reached, paused, failed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				var errs []error
				for i := range requests {
					if i == before {
						close(reached)
						if how == "pause" {
							<-paused // with a request in its hands the server would keep the lock of the SQLite file, from all others too
						}
					}
					begun := time.Now()
					got, err := askToken(ctx, s.Issuer, s.client("service-a"), nil)
					if err == nil && got.Status != http.StatusOK {
						err = fmt.Errorf("%d %s", got.Status, got.Body)
					}
					if took := time.Since(begun); err == nil && took > 5*time.Second {
						err = fmt.Errorf("answered after %v", took)
					}
					if err != nil {
						errs = append(errs, fmt.Errorf("request %d: %w", i, err))
					}
				}
				failed <- errors.Join(errs...)
			}()
			<-reached
			if how == "crash" {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			} else {
				s.Tell(t, how, "auth-1")
			}
			close(paused)
			if err := <-failed; err != nil {
				t.Error(err)
			}
		})
	}
}
