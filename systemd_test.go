package main

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/server/instance"
)

// unit is a systemd unit: the values of each key, in order.
type unit map[string][]string

func readUnit(t *testing.T, path string) unit {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(string(text), "\\\n", " ")))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q is no setting", path, line)
		}
		u[key] = append(u[key], value)
	}
	return u
}

// What the units start is what this binary takes, and each has what keeps a break-in small.
func TestSystemdUnits(t *testing.T) {
	paths, err := filepath.Glob("deploy/systemd/*.service")
	if err != nil || len(paths) != 3 {
		t.Fatalf("%q, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			u := readUnit(t, path)
			for _, line := range slices.Concat(u["ExecStartPre"], u["ExecStart"]) {
				checkCommand(t, u, strings.Fields(line))
			}
			for key, want := range map[string]string{
				"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateDevices": "yes", "PrivateTmp": "yes",
				"RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "SystemCallArchitectures": "native", "KillSignal": "SIGTERM", "Restart": "always",
			} {
				if got := u[key]; len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %s", key, got, want)
				}
			}
			for _, bound := range u["CapabilityBoundingSet"] {
				if bound != "" && bound != "CAP_NET_BIND_SERVICE" {
					t.Errorf("it may keep %s", bound)
				}
			}
			defaults := instance.DefaultSettings()
			const exampleDelay = 5 * time.Second // in deploy/server.yaml
			stop, err := time.ParseDuration(u["TimeoutStopSec"][0] + "s")
			if least := exampleDelay + defaults.DrainTimeout; err != nil || stop <= least {
				t.Errorf("it is killed after %v, while it may drain for %v", stop, least)
			}
		})
	}
}

// checkCommand checks that the command and its flags exist, and that each credential it names is loaded.
func checkCommand(t *testing.T, u unit, argv []string) {
	t.Helper()
	cmd, rest, err := newRootCmd(environment{}).Find(argv[1:])
	if argv[0] != "/usr/bin/countersign" || err != nil || cmd.Parent() == nil {
		t.Fatalf("%q: %v", argv, err)
	}
	if err := cmd.ParseFlags(rest); err != nil || len(cmd.Flags().Args()) > 0 {
		t.Errorf("%q: %v", argv, err)
	}
	for _, arg := range argv {
		name, ok := strings.CutPrefix(arg, "${CREDENTIALS_DIRECTORY}/")
		if ok && !slices.Contains(u["LoadCredential"], name+":/etc/countersign/"+name) {
			t.Errorf("credential %s is not loaded", name)
		}
	}
}
