package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// mainVariable makes the test binary run main instead of its tests.
const mainVariable = "TESTBED_RUN_MAIN"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(mainVariable); ok {
		main()
	}
	os.Exit(m.Run())
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		args   []string
		exit   int
		stdout string
		stderr string
	}{
		{name: "nothing to run", exit: 2, stderr: "usage: "},
		{name: "nothing behind the dashes", args: []string{"--"}, exit: 2, stderr: "usage: "},
		{name: "exit code", args: []string{"--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7"}, exit: 7, stdout: "out\n", stderr: "err\n"},
		{name: "own signals reach the command", args: []string{"/bin/sh", "-c", `trap "exit 9" TERM; kill $PPID; while :; do sleep 0.05; done`}, exit: 9},
		{name: "no such command", args: []string{"/nonexistent"}, exit: 1, stderr: "testbed: start /nonexistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], tt.args...)
			cmd.Env = append(os.Environ(), mainVariable+"=1", testbed.MariaDBVariable+"=set", testbed.RedisVariable+"=set")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != tt.exit {
				t.Errorf("got %v, want exit code %d", err, tt.exit)
			}
			if stdout.String() != tt.stdout || !strings.HasPrefix(stderr.String(), tt.stderr) {
				t.Errorf("output %q and %q, want %q and %q", &stdout, &stderr, tt.stdout, tt.stderr)
			}
		})
	}
}
