package terminal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/countersign/countersign/internal/terminal"
)

func TestColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	screen := openTerminal(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, tt := range []struct {
		name    string
		stream  any
		environ []string
		want    string
	}{
		{"terminal", screen, []string{"TERM=xterm", "NO_COLOR="}, "\x1b[32mok\x1b[0m"},
		{"terminal, and the user wants none", screen, []string{"NO_COLOR=1"}, "ok"},
		{"terminal that shows none", screen, []string{"TERM=dumb"}, "ok"},
		{"file", file, nil, "ok"},
		{"buffer", new(bytes.Buffer), nil, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := terminal.For(tt.stream, tt.environ).Good("ok"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNothingIsNotPainted(t *testing.T) {
	t.Parallel()
	if got := terminal.For(openTerminal(t), nil).Strong(""); got != "" {
		t.Errorf("got %q", got)
	}
}

// openTerminal returns a pseudo-terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	return master
}
