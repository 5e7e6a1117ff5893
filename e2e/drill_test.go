package e2e

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// drillWithin is how long a few drills may take.
const drillWithin = 2 * time.Minute

// drill runs `countersign drill` with these arguments on the system.
func (s *system) drill(t *testing.T, args ...string) *program {
	t.Helper()
	return startProgram(t, t.TempDir(), nil, append([]string{"drill", "--data-dir", s.Folder}, args...)...)
}

// passes runs drills, which must all keep their promises.
func (s *system) passes(t *testing.T, names []string, flags ...string) {
	t.Helper()
	p := s.drill(t, append(flags, names...)...)
	if code := p.Exit(t, time.Duration(len(names))*drillWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range names {
		if !strings.Contains(p.out.String(), "\nPASS  "+name+":") {
			t.Errorf("%s has not passed", name)
		}
	}
	for _, part := range []string{"auth-1", "auth-2", "lb", "gateway-1", "gateway-2", "service-a", "service-b"} {
		if !regexp.MustCompile(`(?m)^` + part + ` +running`).MatchString(s.Tell(t, "status")) {
			t.Errorf("%s does not run afterwards", part)
		}
	}
	t.Log(p.out.String()) // all of it, with what was measured
}

func TestDrills(t *testing.T) {
	t.Parallel()
	startUp(t).passes(t, []string{"auth-one-killed", "gateway-killed", "database-down", "revocation"}, "--for", "1s", "--trials", "5")
}

func TestDrillsOnMariaDBAndRedis(t *testing.T) {
	t.Parallel()
	s := startUp(t, "--drills", "--mysql-file", secretFile(t, testbed.MariaDB(t).New(t)), "--redis", testbed.StartRedis(t).URL())
	s.passes(t, []string{"token-store-down", "gateway-killed", "revocation"}, "--for", "1s", "--trials", "5")
}

// A drill sees what breaks a promise, and says so to people and scripts.
func TestDrillFails(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	p := s.drill(t, "steady", "--for", "3s")
	p.await(t, regexp.MustCompile(`load: `))
	s.Tell(t, "kill", "service-b") // which the drill does not expect
	if code := p.Exit(t, drillWithin); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !regexp.MustCompile(`(?m)^FAIL  steady: no request fails: .* failed; `).MatchString(p.out.String()) {
		t.Error("no verdict that says why")
	}
	t.Run("a system that is not whole", func(t *testing.T) {
		p := s.drill(t, "steady")
		if code := p.Exit(t, endWithin); code != 1 || !strings.Contains(p.out.String(), "service-b is stopped") {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestDrillRestoresWhenInterrupted(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	p := s.drill(t, "hung-auth", "--for", "1h")
	p.await(t, regexp.MustCompile(`pause auth-1`))
	p.Signal(t, syscall.SIGINT)
	if code := p.Exit(t, endWithin); code == 0 {
		t.Error("an interrupted drill ends with exit code 0")
	}
	if status := s.Tell(t, "status"); !regexp.MustCompile(`(?m)^auth-1 +running`).MatchString(status) {
		t.Errorf("auth-1 was not restored:\n%s", status)
	}
}

func TestDrillArguments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{name: "list", args: []string{"drill", "list"}, says: []string{"auth-all-killed", "signing-key-rotation"}},
		{name: "no name", args: []string{"drill"}, code: 2, says: []string{"drill list"}},
		{name: "unknown", args: []string{"drill", "auth-killed"}, code: 2, says: []string{`"auth-killed"`, "auth-one-killed"}},
		{name: "too short", args: []string{"drill", "all", "--for", "10ms"}, code: 2, says: []string{"--for", "10ms", "1s"}},
		{name: "nothing runs", args: []string{"drill", "all", "--data-dir", "nowhere"}, code: 1, says: []string{"nowhere", "countersign up"}},
		{name: "no proxies between parts that do not run", args: []string{"up", "fault", "--data-dir", "nowhere"}, code: 1, says: []string{"countersign up"}},
		{name: "Sentinel behind a proxy", args: []string{"up", "--drills", "--redis", "redis+sentinel://127.0.0.1:1/main"}, code: 2, says: []string{"--drills", "redis://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startProgram(t, t.TempDir(), nil, tt.args...)
			if code := p.Exit(t, endWithin); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.says {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("%q is not said", want)
				}
			}
		})
	}
}
