package testbed_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

const printShared = `echo "$` + testbed.MariaDBVariable + `"; echo "$` + testbed.RedisVariable + `"; exit 7`

func TestLaunchSharesServers(t *testing.T) {
	for _, variable := range []string{testbed.MariaDBVariable, testbed.RedisVariable} {
		t.Setenv(variable, "") // puts back what make test has set
		if err := os.Unsetenv(variable); err != nil {
			t.Fatal(err)
		}
	}
	reached := func(addr string) bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	stdout := &observer{}
	stdout.onLines = func(lines []string) {
		for _, url := range lines {
			if !reached(addrOf(url)) {
				t.Errorf("nothing answers at %s while the command runs", url)
			}
		}
	}
	exit, err := testbed.Launch([]string{"/bin/sh", "-c", printShared}, nil, stdout, t.Output())
	if exit != 7 || err != nil {
		t.Errorf("exit code %d, error %v; want 7 and none", exit, err)
	}
	lines := strings.Fields(stdout.String())
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "mysql://") || !strings.HasPrefix(lines[1], "redis://") {
		t.Fatalf("the command saw %q", lines)
	}
	for _, url := range lines {
		if reached(addrOf(url)) {
			t.Errorf("the server at %s still runs", url)
		}
	}
}

// observer is told of what has been written while the writer waits.
type observer struct {
	written bytes.Buffer // not embedded, as io.Copy would then find its ReadFrom and pass Write by
	onLines func(lines []string)
}

func (o *observer) String() string { return o.written.String() }

func (o *observer) Write(p []byte) (int, error) {
	o.onLines(strings.Fields(string(p)))
	return o.written.Write(p)
}

func TestLaunch(t *testing.T) {
	t.Setenv(testbed.MariaDBVariable, "mysql://set")
	t.Setenv(testbed.RedisVariable, "redis://set")
	for _, tt := range []struct {
		name   string
		argv   []string
		signal os.Signal
		exit   int
		stdout string
		err    string
	}{
		{name: "leaves what is set", argv: []string{"/bin/sh", "-c", printShared}, exit: 7, stdout: "mysql://set\nredis://set\n"},
		{
			name: "passes on a signal", signal: syscall.SIGTERM, exit: 9,
			argv: []string{"/bin/sh", "-c", `trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done`}, stdout: "ready\n",
		},
		{
			name: "passes it on to the whole group", signal: syscall.SIGTERM, exit: 128 + 15,
			argv: []string{"/bin/sh", "-c", "echo ready; sleep 60; echo late"}, stdout: "ready\n",
		},
		{name: "no such command", argv: []string{"/nonexistent"}, exit: 1, err: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signals := make(chan os.Signal, 1)
			stdout := &observer{onLines: func([]string) {
				if tt.signal != nil {
					signals <- tt.signal
				}
			}}
			exit, err := testbed.Launch(tt.argv, signals, stdout, t.Output())
			if exit != tt.exit || stdout.String() != tt.stdout {
				t.Errorf("exit code %d, output %q; want %d, %q", exit, stdout, tt.exit, tt.stdout)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
