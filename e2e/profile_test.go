package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// After `up` in one terminal, the command line finds the system from another.
func TestCommandLineFindsUp(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	line := regexp.MustCompile(`(?m)^  (.* client list)$`).FindStringSubmatch(s.out.String())
	if line == nil {
		t.Fatalf("no line for the command line:\n%s", s.out)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", line[1])
	shell.Dir = s.command.Dir
	shell.Env = outerEnvironment(shell.Dir)
	printed, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line[1], err, printed)
	}
	for _, name := range []string{"admin", "service-a", "service-b", "gateway"} {
		if !regexp.MustCompile(`(?m)\b` + name + `\b`).Match(printed) {
			t.Errorf("%s is not listed:\n%s", name, printed)
		}
	}
	file := filepath.Join(s.command.Dir, configFolder, "countersign", "profiles.yaml")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o, want 0600", mode)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "cs_secret_") || !strings.Contains(string(text), filepath.Join(s.Folder, "bootstrap.json")) {
		t.Errorf("the profile, %v:\n%s", err, text)
	}
}

// Who has chosen another system is shown how to speak to this one.
func TestUpBesideAnotherProfile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "chosen", "countersign", "profiles.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("current: live\nprofiles: {live: {bootstrap: /live/bootstrap.json}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, folder, []string{"XDG_CONFIG_HOME=" + filepath.Join(folder, "chosen")}, "up", "--data-dir", filepath.Join(folder, "data"), "--port-base", strconv.Itoa(freeBase(t)))
	p.await(t, regexp.MustCompile(`(?m)^countersign: ready (http\S+)$`))
	if !strings.Contains(p.out.String(), " client list --profile up\n") {
		t.Errorf("it says:\n%s", p.out)
	}
	p.Signal(t, syscall.SIGTERM)
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Where no profile can be written, the system runs all the same, and says that there is none.
func TestUpWithoutProfile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := startProgram(t, folder, []string{"HOME=", "XDG_CONFIG_HOME="}, "up", "--data-dir", filepath.Join(folder, "data"), "--port-base", strconv.Itoa(freeBase(t)))
	p.await(t, regexp.MustCompile(`(?m)^countersign: ready (http\S+)$`))
	if !strings.Contains(p.out.String(), "the command line cannot find this system by itself") {
		t.Errorf("nothing is said:\n%s", p.out)
	}
	p.Signal(t, syscall.SIGTERM)
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
