// Package e2e tests the binary as its users run it: processes, signals, ports, files and what is printed.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binaryVariable names the environment variable by which TestMain tells the tests where the binary is.
const binaryVariable = "COUNTERSIGN_TEST_BINARY"

// testVersion is the version that the binary under test is stamped with.
const testVersion = "0.0.0-test"

func TestMain(m *testing.M) {
	if address := os.Getenv(upstreamVariable); address != "" {
		fmt.Fprintln(os.Stderr, serveAsUpstream(address))
		os.Exit(1)
	}
	os.Exit(withBinary(m.Run))
}

// withBinary builds the binary, runs run and removes the binary.
func withBinary(run func() int) int {
	folder, err := os.MkdirTemp("", "countersign-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "countersign")
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+testVersion, "-o", binary, "..")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build countersign:", err)
		return 1
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := run()
	if found := printed.credentials(); len(found) > 0 {
		fmt.Fprintln(os.Stderr, "a credential was printed where none belongs:", strings.Join(found, "\n"))
		return 1
	}
	return code
}

// binary returns the path of the program under test.
func binary() string { return os.Getenv(binaryVariable) }
