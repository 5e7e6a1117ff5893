package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// TestSDKQuickstart follows the quickstart of docs/sdk.md to the letter: its commands and its two programs, against a system that `up`
// runs, at other ports.
func TestSDKQuickstart(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	folder := t.TempDir()
	clone, own := filepath.Join(folder, "clone"), filepath.Join(folder, "own")
	sdk, err := filepath.Abs("../sdk")
	if err == nil {
		err = os.Mkdir(clone, 0o700)
	}
	if err == nil {
		err = os.Symlink(sdk, filepath.Join(clone, "sdk"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := startUpIn(t, filepath.Join(clone, "countersign-data"), freeBase(t))
	address := fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(t))
	here := strings.NewReplacer(up.URL(up.DefaultPorts().Issuer), s.Issuer, "127.0.0.1:8000", address, "CLONE", clone)

	for _, b := range goBlocks(t, "docs/sdk.md")[:2] {
		file := regexp.MustCompile(`[a-z]+/main\.go`).FindString(b.before)
		write(t, filepath.Join(own, file), here.Replace(b.code))
	}
	commands := quickstartCommands(t)
	listed := shell(t, own, here.Replace(commands[0])+"go mod tidy\ngo build -o bin/ ./...\n")
	id := func(service string) string {
		found := regexp.MustCompile(`(?m)^` + service + ` (cl_\w+)$`).FindStringSubmatch(listed)
		if found == nil {
			t.Fatalf("no %s in %q", service, listed)
		}
		return found[1]
	}

	inventory := startCommand(t, own, nil, exec.Command(filepath.Join(own, "bin", "inventory"), id("service-b")))
	reachable(t, inventory, address)
	want := fmt.Sprintf("items for %s\n", id("service-a"))
	if got := shell(t, own, "bin/orders "+id("service-a")); got != want {
		t.Errorf("orders printed %q, want %q", got, want)
	}
}

// quickstartCommands returns the blocks of commands of the quickstart, which are indented.
func quickstartCommands(t *testing.T) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Quickstart\n")
	section, _, _ = strings.Cut(section, "\n## ")
	inside := false
	for line := range strings.Lines(section) {
		command, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented && inside:
			blocks[len(blocks)-1] += command
		case indented:
			blocks = append(blocks, command)
		}
		inside = indented
	}
	if len(blocks) == 0 {
		t.Fatal("docs/sdk.md has no commands")
	}
	return blocks
}

// shell runs a script in folder and returns what it prints.
func shell(t *testing.T, folder, script string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	command.Dir, command.Env = folder, outerEnvironment(folder)
	var problems strings.Builder
	command.Stderr = &problems
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, printed, &problems)
	}
	return string(printed)
}

// reachable waits until something listens at the address.
func reachable(t *testing.T, p *program, address string) {
	t.Helper()
	deadline := time.After(startWithin)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-again.C:
		case <-p.ended:
			t.Fatalf("it ended: %s", p.out)
		case <-deadline:
			t.Fatal(err)
		}
	}
}
