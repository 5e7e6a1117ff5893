package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// production is a MariaDB, and a folder with the files that docs/production.md speaks of.
type production struct {
	*testing.T

	database *testbed.Server
	folder   string
	blocks   []string // commands of the page that are still to be run
}

// TestProductionPage runs the statements and commands of docs/production.md, in their order, with a server on the database before the
// backup, after the restore, and after the rotation of the master key.
func TestProductionPage(t *testing.T) {
	t.Parallel()
	page := filepath.Join("..", "docs", "production.md")
	p := &production{T: t, database: testbed.StartMariaDB(t), folder: t.TempDir(), blocks: fenced(t, page, "sh")}
	p.files()
	root := testbed.OpenMySQL(t, p.database.URL())
	for statement := range strings.SplitSeq("DROP DATABASE countersign;"+strings.Join(fenced(t, page, "sql"), ""), ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}

	p.run() // master key and schema
	master := filepath.Join(p.folder, "master.key")
	world := seedClients(t, p.url("countersign_schema", "SCHEMA-PASSWORD"), master)
	server := startServer(t, "database="+p.url("countersign_server", "SERVER-PASSWORD"), "migrate=false", "master-key-file="+master)
	p.headroom(server)
	before := token(t, server.Issuer, world.Caller, url.Values{"resource": {jwtAPI}})
	p.run() // backup
	revoke(t, server.Issuer, world.Caller, before)
	after := token(t, server.Issuer, world.Caller, url.Values{"resource": {opaqueAPI}})
	server.Stop(t)

	p.run() // restore
	server.Start(t)
	for name, old := range map[string]string{"taken back after the backup": before, "issued after it": after} {
		if active(t, server.Issuer, world.Server, old) {
			t.Errorf("a token that was %s is active", name)
		}
	}
	fresh := token(t, server.Issuer, world.Caller, url.Values{"resource": {jwtAPI}})

	p.run() // master key
	server.Stop(t)
	server.environ = append(server.environ, "COUNTERSIGN_MASTER_KEY_FILE="+master+".new")
	server.Start(t)
	if !active(t, server.Issuer, world.Server, fresh) {
		t.Error("a token from before the rotation is not active")
	}
	if len(p.blocks) > 0 {
		t.Errorf("not run:\n%s", p.blocks)
	}
}

func (p *production) url(user, password string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/countersign", user, password, p.database.Addr())
}

// files makes what the page has the reader make.
func (p *production) files() {
	p.Helper()
	root, err := url.Parse(p.database.URL())
	if err != nil {
		p.Fatal(err)
	}
	host, port, err := net.SplitHostPort(p.database.Addr())
	if err != nil {
		p.Fatal(err)
	}
	password, _ := root.User.Password()
	option := "[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser=%s\npassword=%s\n"
	for name, text := range map[string]string{
		"schema.url":  p.url("countersign_schema", "SCHEMA-PASSWORD"),
		"backup.cnf":  fmt.Sprintf(option, host, port, "countersign_backup", "BACKUP-PASSWORD"),
		"restore.cnf": fmt.Sprintf(option, host, port, root.User.Username(), password),
	} {
		if err := os.WriteFile(filepath.Join(p.folder, name), []byte(text), 0o600); err != nil {
			p.Fatal(err)
		}
	}
}

// run runs the next block of the page.
func (p *production) run() {
	p.Helper()
	if len(p.blocks) == 0 {
		p.Fatal("the page has no more commands")
	}
	bin := p.TempDir()
	if err := os.Symlink(binary(), filepath.Join(bin, "countersign")); err != nil {
		p.Fatal(err)
	}
	shell := exec.CommandContext(p.Context(), "bash", "-c", "set -euo pipefail\n"+p.blocks[0])
	shell.Dir, shell.Env = p.folder, append(outerEnvironment(p.folder), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if text, err := shell.CombinedOutput(); err != nil {
		p.Fatalf("%s%v\n%s", p.blocks[0], err, text)
	}
	p.blocks = p.blocks[1:]
}

// headroom checks that the server's user may make partitions.
func (p *production) headroom(s *serverProcess) {
	p.Helper()
	metric := regexp.MustCompile(`(?m)^countersign_partition_headroom_seconds (\S+)$`)
	testbed.Wait(p.T, startWithin, func() error {
		got, err := get(p.Context(), s.AdminURL+"/metrics")
		if err != nil {
			return err
		}
		var seconds float64
		found := metric.FindSubmatch(got.Body)
		if found == nil {
			return fmt.Errorf("no metric %s", metric)
		}
		if _, err := fmt.Sscan(string(found[1]), &seconds); err != nil || seconds < auth.MaxLifetime.Seconds() {
			return fmt.Errorf("headroom %s, %w", found[1], err)
		}
		return nil
	})
}

// fenced returns the fenced blocks of this kind of a page.
func fenced(t *testing.T, page, kind string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(found[1]))
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of %s", page, kind)
	}
	return blocks
}
