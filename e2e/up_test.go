package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

func TestUpPrintsLinesThatWork(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "it's here")
	s := startUpIn(t, folder, freeBase(t))
	lines := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(s.out.String(), -1)
	if len(lines) != 5 {
		t.Fatalf("%d lines to paste, want 5:\n%s", len(lines), s.out)
	}
	anvil := func(available, reserved float64) map[string]any {
		return map[string]any{"item": "anvil", "available": available, "reserved": reserved}
	}
	for i, want := range []map[string]any{
		{"items": anvil(1_000_000, 0)},
		{"item": "anvil", "quantity": 2.0, "left": 999_998.0},
		{"token_type": "Bearer", "scope": "inventory:read inventory:write"},
		{"active": true, "aud": "https://inventory.demo.internal", "client_id": s.client("service-a").ID},
		{"items": anvil(999_998, 2)},
	} {
		shell := exec.CommandContext(t.Context(), "sh", "-c", lines[i][1])
		shell.Dir = filepath.Dir(folder) // where up was started
		text, err := shell.Output()
		if err != nil {
			t.Fatalf("%s: %v", lines[i][1], err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v in %s", lines[i][1], err, text)
		}
		if items, ok := got["items"].([]any); ok {
			got["items"] = items[0]
		}
		for name, value := range want {
			if !cmp.Equal(got[name], value) {
				t.Errorf("%s: %s is %v, want %v", lines[i][1], name, got[name], value)
			}
		}
	}
	hint := regexp.MustCompile(`(?m)^  (.* up status .*)$`).FindStringSubmatch(s.out.String())
	if hint == nil {
		t.Fatalf("no hint at status:\n%s", s.out)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", hint[1])
	shell.Dir = filepath.Dir(folder)
	if text, err := shell.CombinedOutput(); err != nil || !strings.Contains(string(text), "auth-1") {
		t.Errorf("%s: %v: %s", hint[1], err, text)
	}
	if secret := s.client("service-a").Secret; strings.Contains(s.out.String(), secret) {
		t.Error("the screen shows a secret")
	}
}

func TestBootstrapFile(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	path := filepath.Join(s.Folder, "bootstrap.json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o, want 0600", mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(regexp.MustCompile(`"(cl_|cs_secret_)[0-9A-Za-z]+"`).ReplaceAll(text, []byte(`"$1…"`)), &got); err != nil {
		t.Fatal(err)
	}
	client := func(name, value string) map[string]any {
		return map[string]any{"client_id": "cl_…", "client_secret": "cs_secret_…", name: value}
	}
	want := map[string]any{
		"issuer":    up.URL(s.PortBase + 10),
		"admin_url": up.URL(s.PortBase + 20),
		"entry_url": up.URL(s.PortBase),
		"clients": map[string]any{
			"admin":     client("resource", "urn:countersign:admin"),
			"service-a": client("resource", "https://inventory.demo.internal"),
			"service-b": client("serves", "https://inventory.demo.internal"),
			"gateway":   client("resource", "urn:countersign:server"),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMetricsAreOfOneServer(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	for port, want := range map[int]int{20: http.StatusNotFound, 21: http.StatusOK, 22: http.StatusOK, 40: http.StatusOK, 10: http.StatusNotFound} {
		got, err := get(t.Context(), up.URL(s.PortBase+port)+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != want {
			t.Errorf("port +%d: %d, want %d", port, got.Status, want)
		}
	}
}

func TestUpRefusesToStart(t *testing.T) {
	t.Parallel()
	running := startUp(t)
	folder := func(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", up.Address(freeBase(t)+11))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		want    []string
	}{
		{
			name: "data folder in use", args: []string{"--data-dir", running.Folder, "--port-base", strconv.Itoa(freeBase(t))}, code: 1,
			want: []string{fmt.Sprintf("in use by process %d:", running.PID()), "end that one", "--data-dir"},
		},
		{
			name: "port taken", args: []string{"--data-dir", folder(t), "--port-base", strconv.Itoa(port - 11)}, code: 1,
			want: []string{fmt.Sprintf("%d (auth server 1)", port), "--port-base"},
		},
		{
			name: "database unreachable", args: []string{"--data-dir", folder(t), "--port-base", strconv.Itoa(freeBase(t))}, code: 1,
			environ: []string{"COUNTERSIGN_MYSQL=mysql://someone:hush-hush@" + up.Address(testbed.FreePort(t)) + "/db"},
			want:    []string{"connection refused", "--mysql", "SQLite"},
		},
		{
			name: "database with a wrong password", args: []string{"--data-dir", folder(t), "--port-base", strconv.Itoa(freeBase(t))}, code: 1,
			environ: []string{"COUNTERSIGN_MYSQL=" + regexp.MustCompile(`//.*@`).ReplaceAllString(testbed.MariaDB(t).AdminURL(), "//someone:hush-hush@") + "db"},
			want:    []string{"someone", "--mysql"},
		},
		{
			name: "Redis Cluster", args: []string{"--data-dir", folder(t), "--port-base", strconv.Itoa(freeBase(t))}, code: 2,
			environ: []string{"COUNTERSIGN_REDIS=redis+cluster://someone:hush-hush@127.0.0.1:7000"},
			want:    []string{"redis+cluster:// is not supported", "Redis 7", "redis+sentinel://"},
		},
		{
			name: "no MySQL", code: 2, environ: []string{"COUNTERSIGN_MYSQL=postgres://someone:hush-hush@127.0.0.1/db"},
			want: []string{"--mysql: allowed is mysql://user:password@host:port/database"},
		},
		{name: "port base too high", args: []string{"--port-base", "65530"}, code: 2, want: []string{"--port-base", "65530", "65485"}},
		{name: "path too long", args: []string{"--data-dir", "/tmp/" + strings.Repeat("x", 100)}, code: 1, want: []string{"too long", "--data-dir"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startProgram(t, t.TempDir(), tt.environ, append([]string{"up"}, tt.args...)...)
			if code := p.Exit(t, endWithin); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("the message does not say %q:\n%s", want, p.out)
				}
			}
			if strings.Contains(p.out.String(), "hush-hush") {
				t.Errorf("the message shows the password:\n%s", p.out)
			}
		})
	}
}

func TestRestartKeepsClientsAndTokens(t *testing.T) {
	t.Parallel()
	folder, base := filepath.Join(t.TempDir(), "data"), freeBase(t)
	first := startUpIn(t, folder, base)
	issued := token(t, first.Issuer, first.client("service-a"), nil)
	first.Stop(t)
	second := startUpIn(t, folder, base)
	if diff := cmp.Diff(first.Bootstrap, second.Bootstrap); diff != "" {
		t.Error(diff)
	}
	if !active(t, second.Issuer, second.client("service-b"), issued) {
		t.Error("a token does not survive the restart")
	}
	if token(t, second.Issuer, second.client("service-a"), nil) == issued {
		t.Error("the same token twice")
	}
}

func TestUpResetBeginsAnew(t *testing.T) {
	t.Parallel()
	folder, base := filepath.Join(t.TempDir(), "data"), freeBase(t)
	first := startUpIn(t, folder, base)
	first.Stop(t)
	own := filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"not asked", "standard input is not a terminal: add --yes", nil},
		{"database elsewhere", "--reset goes with SQLite only", []string{"--yes", "--mysql", "mysql://root@127.0.0.1:1/db"}},
	} {
		args := append([]string{"up", "--reset", "--data-dir", folder, "--port-base", strconv.Itoa(base)}, tt.args...)
		p := startProgram(t, t.TempDir(), nil, args...)
		if code := p.Exit(t, endWithin); code != 2 || !strings.Contains(p.out.String(), tt.want) {
			t.Errorf("%s: exit code %d: %s", tt.name, code, p.out)
		}
	}
	second := startUpIn(t, folder, base, "--reset", "--yes")
	if second.client("service-a").ID == first.client("service-a").ID {
		t.Error("the client of before is still there")
	}
	if err := os.Remove(own); err != nil {
		t.Errorf("a file of the user's is gone: %v", err)
	}
}

func TestUpSaysAsMuchAsAsked(t *testing.T) {
	t.Parallel()
	t.Run("quiet", func(t *testing.T) {
		t.Parallel()
		s := startUp(t, "--quiet")
		if got, want := s.out.String(), "countersign: ready "+s.Issuer+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		folder, base := filepath.Join(t.TempDir(), "data"), freeBase(t)
		p := startProgram(t, t.TempDir(), nil, "up", "--json", "--data-dir", folder, "--port-base", strconv.Itoa(base))
		line := p.await(t, regexp.MustCompile(`(?m)^(\{"admin_url.*\})$`))
		var got struct {
			Ready  bool
			Issuer string
			Parts  []up.PartStatus
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || !got.Ready || got.Issuer != up.URL(base+10) || len(got.Parts) != 7 {
			t.Errorf("%v: %s", err, line)
		}
		p.Signal(t, syscall.SIGTERM)
		if code := p.Exit(t, endWithin); code != 0 || strings.Count(p.out.String(), "\n") != 1 {
			t.Errorf("exit code %d: %s", code, p.out)
		}
	})
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	p := startProgram(t, t.TempDir(), nil, "up", "--data-dir", folder, "--port-base", strconv.Itoa(freeBase(t)))
	testbed.Wait(t, startWithin, func() error {
		_, err := os.Stat(filepath.Join(folder, "logs", "auth-1.log"))
		return err
	})
	children := childrenOf(t, p.PID())
	p.Signal(t, syscall.SIGTERM)
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if i := slices.IndexFunc(children, alive); i >= 0 {
		t.Errorf("process %d outlives its parent", children[i])
	}
}

// TestGoRun stands in for `go run . up`: a program in a folder of the kind that `go run` builds into, started by a process that
// does not pass signals on. The system says what to type in that form, and ends with that process.
func TestGoRun(t *testing.T) {
	t.Parallel()
	built := filepath.Join(t.TempDir(), "go-build1", "b001", "exe")
	if err := os.MkdirAll(built, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(binary(), filepath.Join(built, "countersign")); err != nil {
		t.Fatal(err)
	}
	folder, base := filepath.Join(t.TempDir(), "data"), strconv.Itoa(freeBase(t))
	starter := startCommand(t, built, nil, exec.Command("sh", "-c", `./countersign "$@"; exit`, "go", "up", "--data-dir", folder, "--port-base", base))
	starter.await(t, regexp.MustCompile(`(?m)^countersign: ready`))
	if !strings.Contains(starter.out.String(), "  go run . up status --data-dir ") {
		t.Errorf("the hint is not for `go run`:\n%s", starter.out)
	}
	system := childrenOf(t, starter.PID())
	if len(system) != 1 {
		t.Fatalf("%d children", len(system))
	}
	all := append(childrenOf(t, system[0]), system[0])
	starter.Signal(t, syscall.SIGTERM)
	testbed.Wait(t, endWithin, func() error {
		if i := slices.IndexFunc(all, alive); i >= 0 {
			return fmt.Errorf("process %d runs on", all[i])
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(folder, "up.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no clean end: %v", err)
	}
}

func TestStreamDoesNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	c := s.client("service-b")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Issuer+"/oauth2/revocations", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(c.ID, c.Secret)
	request.Header.Set("Accept", "text/event-stream")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("no stream: %s, %v", response.Status, err)
	}
	begun := time.Now()
	s.Stop(t)
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestUpOnMySQLAndRedis(t *testing.T) {
	t.Parallel()
	database, redis := testbed.MariaDB(t).New(t), testbed.StartRedis(t)
	secretFile := filepath.Join(t.TempDir(), "mysql")
	if err := os.WriteFile(secretFile, []byte(database+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startUp(t, "--mysql-file", secretFile, "--redis", redis.URL())
	issued := token(t, s.Issuer, s.client("service-a"), nil)
	if !active(t, s.Issuer, s.client("service-b"), issued) {
		t.Error("a fresh token is not active")
	}
	var rows int
	if err := testbed.OpenMySQL(t, database).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tokens").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d token rows in MySQL, want 1: %v", rows, err)
	}
	testbed.Wait(t, endWithin, func() error {
		if keys := redisSize(t, redis.Addr()); keys != 1 {
			return fmt.Errorf("%d keys in Redis, want 1", keys)
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(s.Folder, "countersign.db")); err == nil {
		t.Error("there is an SQLite database as well")
	}
	revoke(t, s.Issuer, s.client("service-a"), issued)
	_, withPassword, _ := strings.Cut(database, "://")
	password, _, _ := strings.Cut(withPassword, "@")
	_, password, _ = strings.Cut(password, ":")
	secretsStayInside(t, s, issued, password)
}

// Without Redis everything works, so nothing but the screen would tell that it is not there.
func TestUpWarnsOfARedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := startUp(t, "--redis", "redis://"+up.Address(testbed.FreePort(t)))
	if !strings.Contains(s.out.String(), "Redis (--redis) does not answer") {
		t.Errorf("it says:\n%s", s.out)
	}
	if !active(t, s.Issuer, s.client("service-b"), token(t, s.Issuer, s.client("service-a"), nil)) {
		t.Error("a fresh token is not active")
	}
}

func redisSize(t *testing.T, address string) (keys int) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "DBSIZE\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanf(conn, ":%d\r\n", &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	s := startUp(t, "--log-level", "debug")
	issued := token(t, s.Issuer, s.client("service-a"), nil)
	introspect(t, s.Issuer, s.client("service-b"), issued)
	secretsStayInside(t, s, issued)
}

// secretsStayInside looks for the secrets of a running system, and more, in every argv and every log.
func secretsStayInside(t *testing.T, s *system, more ...string) {
	t.Helper()
	master, err := os.ReadFile(filepath.Join(s.Folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := append(more, strings.TrimSpace(string(master)))
	for name := range s.Bootstrap.Clients {
		secrets = append(secrets, s.client(name).Secret)
	}
	paths, err := filepath.Glob(filepath.Join(s.Folder, "logs", "*"))
	if err != nil || len(paths) != 7 {
		t.Fatalf("%d logs, want 7: %v", len(paths), err)
	}
	for _, pid := range append(childrenOf(t, s.PID()), s.PID()) {
		paths = append(paths, fmt.Sprintf("/proc/%d/cmdline", pid))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		}
		for _, secret := range secrets {
			if len(secret) < 8 {
				t.Fatalf("%q is no secret", secret)
			}
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds a secret: %.12s…", path, secret)
			}
		}
	}
}
