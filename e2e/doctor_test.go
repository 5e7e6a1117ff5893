package e2e

import (
	"strings"
	"testing"
)

// TestDoctorOfASystem looks at a running `countersign up`, whole and with a part down, and at a server of which it is told the settings.
func TestDoctorOfASystem(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	look := func(code int, want ...string) {
		t.Helper()
		p := startProgram(t, t.TempDir(), nil, "doctor", "--data-dir", s.Folder)
		if got := p.Exit(t, endWithin); got != code {
			t.Errorf("exit code %d, want %d:\n%s", got, code, p.out)
		}
		for _, one := range want {
			if !strings.Contains(p.out.String(), one) {
				t.Errorf("it does not say %q:\n%s", one, p.out)
			}
		}
	}
	look(0, "auth-2 ", s.Bootstrap.EntryURL+" answers", "answered with the same issuer", " 0 to mend")
	s.Tell(t, "stop", "auth-2")
	look(1, "it is stopped", "countersign up start auth-2 --data-dir ", " 1 to mend", "something has to be mended")
}

func TestDoctorOfARunningServer(t *testing.T) {
	t.Parallel()
	server := startServer(t, seedClients(t, "sqlite:"+t.TempDir()+"/countersign.db", t.TempDir()+"/master.key").Settings()...)
	p := startProgram(t, server.folder, server.environ, "doctor")
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"SQLite 3.", "opens the keys of this database", "answered with the same issuer",
		"a server of this issuer listens at " + strings.TrimPrefix(server.URL, "http://"),
		"a server of this issuer listens at " + strings.TrimPrefix(server.AdminURL, "http://"),
	} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.out)
		}
	}
}
