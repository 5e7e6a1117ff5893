package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// TestHAProxyChecksJWTsItself follows docs/external-authorization.md: its command that fetches the keys, and its rules.
func TestHAProxyChecksJWTsItself(t *testing.T) {
	t.Parallel()
	command, rules := documentedJWTRules(t)
	s := newSeeded(t, "sqlite")
	server := startServer(t, s.Settings()...)
	folder, service, entry := t.TempDir(), startEcho(t), up.Address(testbed.FreePort(t))
	fetch := exec.Command("bash", "-c", strings.ReplaceAll(command, "https://auth.example.com", server.Issuer))
	fetch.Dir = folder
	if printed, err := fetch.CombinedOutput(); err != nil {
		t.Fatalf("fetch the keys: %v\n%s", err, printed)
	}
	keys, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err != nil || len(keys) == 0 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	text := "defaults\n  mode http\n  timeout client 30s\n  timeout connect 1s\n  timeout server 30s\nfrontend public\n  bind " + entry + "\n"
	for line := range strings.Lines(rules) {
		if !strings.Contains(line, "KID") {
			text += line
			continue
		}
		for _, key := range keys {
			text += strings.NewReplacer("/etc/haproxy/keys/KID.pem", key, "KID", strings.TrimSuffix(filepath.Base(key), ".pem")).Replace(line)
		}
	}
	text += "  default_backend service\nbackend service\n  server service " + service.addr + "\n"
	text = strings.NewReplacer("https://auth.example.com", server.Issuer, "https://inventory.example.com", jwtAPI).Replace(text)
	config := filepath.Join(folder, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := &asker{URL: "http://" + entry, Addr: entry}
	proxy.run(t, haproxy(t, config), folder)

	good := token(t, server.URL, s.Caller, asking(jwtAPI, "read"))
	narrow := token(t, server.URL, s.Caller, asking(jwtAPI, "write"))
	for _, tt := range []struct {
		name, authorization string
		status              int
	}{
		{"good", "Bearer " + good, 200},
		{"none", "", 401},
		{"garbage", "Bearer x.y.z", 401},
		{"another text, the same signature", "Bearer " + narrow[:strings.LastIndexByte(narrow, '.')] + good[strings.LastIndexByte(good, '.'):], 401},
		{"no scope", "Bearer " + narrow, 403},
		{"for another audience", "Bearer " + s.foreignToken(t, server), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := proxy.send(t, http.MethodPost, "/orders", tt.authorization, "body")
			seen := service.take()
			if got.Status != tt.status || (len(seen) == 1) != (tt.status == 200) {
				t.Fatalf("answer %d %v, the service saw %+v", got.Status, got.Header, seen)
			}
			if len(seen) == 1 && (seen[0].Header.Get("X-Client-Id") != s.Caller.ID || seen[0].Header["X-Client-Scope"] != nil) {
				t.Errorf("the service saw %v", seen[0].Header)
			}
		})
	}
	// What the document says that is missing.
	revoke(t, server.URL, s.Caller, good)
	if got := proxy.send(t, http.MethodGet, "/orders", "Bearer "+good, ""); got.Status != http.StatusOK {
		t.Errorf("a revoked token: %d; the document is out of date", got.Status)
	}
}

// foreignToken returns a JWT of the same issuer for another audience.
func (s *seeded) foreignToken(t *testing.T, server *serverProcess) string {
	t.Helper()
	return token(t, server.URL, s.Operator, asking("urn:countersign:server", ""))
}

// documentedJWTRules returns the two blocks of the document's last section.
func documentedJWTRules(t *testing.T) (command, rules string) {
	t.Helper()
	text, err := os.ReadFile("../docs/external-authorization.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## HAProxy without a gateway")
	for line := range strings.Lines(section) {
		switch code, ok := strings.CutPrefix(line, "    "); {
		case !ok:
		case command == "" || strings.HasPrefix(code, "  "):
			command += code
		default:
			rules += code
		}
	}
	if command == "" || rules == "" {
		t.Fatal("the document has no such section")
	}
	return command, rules
}
