package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// root is where the pages are.
const root = ".."

// documented is a page whose blocks are run one after the other, in one shell, against a system that `up` runs.
type documented struct {
	page    string
	begins  string   // only blocks that begin like this; empty: all
	before  string   // what the page takes for granted
	replace []string // what stands on the page, and what it is here
	prints  []string
}

// TestDocumentedCommands runs every block of commands of some pages. Other pages have tests of their own: claims in the tests of
// the command line say which.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	s := startUpIn(t, filepath.Join(t.TempDir(), "countersign-data"), freeBase(t))
	caller, admin := s.client("service-a"), s.client("admin")
	secret := filepath.Join(s.Folder, "..", "admin.secret")
	write(t, secret, admin.Secret+"\n")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	// What follows the log does not end by itself.
	follow := func(flags string) []string {
		call := "countersign audit export --follow" + flags
		return []string{call, "{ timeout 2 " + call + " || test $? -eq 124; }"}
	}
	const orders = "countersign client show orders > /dev/null 2>&1 || countersign client create orders\n"
	const keyed = "countersign key-pair create keyed.pem > keyed.jwks\ncountersign client create keyed --auth-method private_key_jwt --jwks-file keyed.jwks\n" +
		"countersign grant put keyed https://inventory.demo.internal inventory:read\nKEYED=$(countersign client show keyed -o json | jq -r .client_id)\n"
	for _, d := range []documented{
		{
			page: "README.md", begins: "curl", prints: []string{`"access_token"`, `"items"`},
			replace: []string{up.URL(up.DefaultPorts().Issuer), s.Issuer, up.URL(up.DefaultPorts().Entry), s.Bootstrap.EntryURL},
		},
		{page: "docs/audit.md", before: orders, replace: follow(""), prints: []string{`"action":`}},
		{
			page: "docs/endpoints.md", prints: []string{`"access_token":"cs_at_`},
			replace: []string{"CLIENT_ID:CLIENT_SECRET", caller.ID + ":" + caller.Secret, "https://auth.example.com", s.Issuer},
		},
		{
			page: "docs/token-exchange.md", prints: []string{"verdict  active", "refused with ", "exit code 1"},
			replace: []string{"countersign client create orders", strings.TrimSuffix(orders, "\n"), "orders.secret", "exchange.secret", "https://auth.example.com", s.Issuer},
		},
		{page: "docs/secrets.md", before: "countersign client create leaky\ncountersign secret add leaky --to FILE\n", prints: []string{"leaky"}},
		{
			page:   "docs/command-line.md",
			before: orders + keyed + "countersign secret add orders --to found.txt\nADMIN_URL=" + s.AdminURL + "\n",
			replace: append(follow(" --after 1207"), "--client-id cl_… --key-file orders.pem", `--client-id "$KEYED" --key-file keyed.pem`,
				"--dpop-key-file orders.pem", "--dpop-key-file keyed.pem", "https://inventory.example", s.Bootstrap.EntryURL+"/inventory", "your-collector", "cat", "https://auth.example.com", s.Issuer, "https://admin.example.com", s.AdminURL,
				"cl_…", admin.ID, "/home/me/.countersign-secret", secret),
			prints: []string{s.Issuer, admin.ID},
		},
	} {
		t.Run(d.page, func(t *testing.T) { d.run(t, s) })
	}
}

func (d documented) run(t *testing.T, s *system) {
	t.Helper()
	folder := filepath.Dir(s.Folder)
	bin := t.TempDir()
	if err := os.Symlink(binary(), filepath.Join(bin, "countersign")); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n" + d.before)
	blocks := slices.DeleteFunc(testbed.Blocks(t, root, d.page), func(b testbed.Block) bool { return !strings.HasPrefix(b.Text, d.begins) })
	if len(blocks) == 0 {
		t.Fatalf("%s has no block that begins with %q", d.page, d.begins)
	}
	for _, b := range blocks {
		script.WriteString("echo " + marker(b) + "\n" + strings.NewReplacer(d.replace...).Replace(b.Text))
	}
	command := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	command.Dir, command.Env = folder, append(outerEnvironment(folder), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v; it printed\n%s", d.page, err, printed)
	}
	for _, want := range d.prints {
		if !strings.Contains(string(printed), want) {
			t.Errorf("%s does not print %q:\n%s", d.page, want, printed)
		}
	}
	if last := blocks[len(blocks)-1]; !strings.Contains(string(printed), marker(last)) {
		t.Errorf("%s:%d is not reached", d.page, last.Line)
	}
}

func marker(b testbed.Block) string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

var address = regexp.MustCompile(`https?://([A-Za-z0-9.:-]+)(/[A-Za-z0-9._~/-]*)`)

// theirs reports whether an address is one of the reader's own services, or of a route that the page has made.
func theirs(host, path string) bool {
	if strings.HasSuffix(host, ".example") && !strings.HasPrefix(host, "auth.") && !strings.HasPrefix(host, "admin.") {
		return true
	}
	return strings.HasPrefix(path, "/hello") || host == "localhost:8443"
}

// TestDocumentedURLs: a path that a page asks for by curl is one that something answers.
func TestDocumentedURLs(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	asked := 0
	for _, page := range testbed.Pages(t, root) {
		for _, b := range testbed.Blocks(t, root, page) {
			for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
				if !strings.Contains(line, "curl ") {
					continue
				}
				for _, found := range address.FindAllStringSubmatch(line, -1) {
					if theirs(found[1], found[2]) {
						continue
					}
					asked++
					if !served(t, s, found[2]) {
						t.Errorf("%s:%d: nothing answers %s", page, b.Line, found[2])
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no page asks for anything")
	}
}

// served reports whether one of the listeners of a system knows a path: another method or a token may be wanted.
func served(t *testing.T, s *system, path string) bool {
	t.Helper()
	for _, base := range []string{s.Issuer, s.AdminURL, s.Bootstrap.EntryURL, up.URL(s.PortBase + 21)} {
		u, err := url.Parse(base + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := get(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != http.StatusNotFound {
			return true
		}
	}
	return false
}
