package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// A server with a certificate of dev-cert is asked whether it is ready by who trusts the authority, and by nobody else.
func TestHealth(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	run := func(args ...string) (code int, out string) {
		p := startProgram(t, folder, nil, args...)
		return p.Exit(t, endWithin), p.out.String()
	}
	if code, out := run("dev-cert", "localhost", "127.0.0.1"); code != 0 {
		t.Fatal(out)
	}
	if code, out := run("dev-cert", "--dir", "none", "a=localhost", "b=bad name"); code != 2 || !strings.Contains(out, `name is "bad name"`) {
		t.Errorf("bad name: exit code %d: %s", code, out)
	}
	clients := seedClients(t, "sqlite:"+filepath.Join(folder, "countersign.db"), filepath.Join(folder, "master.key"))
	server := startServer(t, append(clients.Settings(), "issuer=https://auth.internal",
		"tls-cert="+filepath.Join(folder, "tls.crt"), "tls-key="+filepath.Join(folder, "tls.key"))...)
	public := strings.Replace(server.URL, "http:", "https:", 1) + "/.well-known/oauth-authorization-server"
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"ready", []string{server.AdminURL + "/readyz"}, 0, "ready\n"},
		{"no such page", []string{server.AdminURL + "/nowhere"}, 1, "nowhere is not ready: it answers 404 Not Found: "},
		{"TLS", []string{"--ca", "ca.crt", public}, 0, "ready\n"},
		{"TLS of nobody known", []string{public}, 1, "certificate signed by unknown authority"},
		{"plain http to TLS", []string{strings.Replace(public, "https:", "http:", 1)}, 1, "is not ready: it answers 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code, out := run(append([]string{"health"}, tt.args...)...); code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d: %s, want %q", code, tt.code, out, tt.says)
			}
		})
	}
	server.Pause(t)
	if code, out := run("health", "--timeout", "200ms", server.AdminURL+"/readyz"); code != 1 || !strings.Contains(out, "no answer") {
		t.Errorf("hung server: exit code %d: %s", code, out)
	}
	server.Resume(t)
}
