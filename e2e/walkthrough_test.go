package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// block is one of the fenced blocks of a page: commands, and what they print if the page says so.
type block struct {
	line     int
	commands string
	printed  string
}

// TestWalkThrough runs every command of docs/admin.md, in its order, in one shell, against a system that `up` runs, and compares with
// what the page says is printed.
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	const page = "admin.md"
	t.Run("SQLite", func(t *testing.T) { walkThrough(t, page) })
	t.Run("MariaDB and Redis", func(t *testing.T) {
		database := filepath.Join(t.TempDir(), "database")
		if err := os.WriteFile(database, []byte(testbed.MariaDB(t).New(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		walkThrough(t, page, "--mysql-file", database, "--redis", testbed.Redis(t).URL())
	})
}

// TestQuickstart does the same with docs/quickstart.md.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	walkThrough(t, "quickstart.md")
}

func walkThrough(t *testing.T, page string, flags ...string) {
	t.Helper()
	folder := t.TempDir()
	s := startUpIn(t, filepath.Join(folder, "countersign-data"), freeBase(t), flags...)
	own := strconv.Itoa(testbed.FreePort(t)) // of the reader's own service
	here := strings.NewReplacer(up.URL(up.DefaultPorts().Issuer), s.Issuer, up.URL(up.DefaultPorts().Admin), s.AdminURL,
		up.URL(up.DefaultPorts().Entry), s.Bootstrap.EntryURL, "7003", own)
	runPage(t, page, folder, here)
}

// runPage runs the blocks of a page in a folder, in one shell, and compares what they print. here has what is elsewhere than the page says.
func runPage(t *testing.T, page, folder string, here *strings.Replacer) {
	t.Helper()
	blocks := readBlocks(t, filepath.Join("..", "docs", page))
	var script strings.Builder
	script.WriteString("set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n")
	for i, b := range blocks {
		fmt.Fprintf(&script, "exec > block-%d 2>&1\n%s\n", i, here.Replace(b.commands))
	}
	bin := t.TempDir()
	if err := os.Symlink(binary(), filepath.Join(bin, "countersign")); err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Dir, shell.Env = folder, append(outerEnvironment(folder), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	failed := shell.Run()
	for i, b := range blocks {
		text, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("block-%d", i)))
		if err != nil {
			t.Fatalf("docs/%s:%d was not reached (%v)", page, b.line, failed)
		}
		t.Logf("docs/%s:%d printed\n%s", page, b.line, text)
		if b.printed != "" && !b.matches(string(text)) {
			t.Errorf("docs/%s:%d says that it prints\n%s", page, b.line, b.printed)
		}
	}
	if failed != nil {
		t.Errorf("the last block: %v", failed)
	}
}

// readBlocks returns the blocks of a page.
func readBlocks(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	kind := ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case kind == "" && strings.HasPrefix(line, "```"):
			if kind = strings.TrimPrefix(line, "```"); kind != "sh" && (kind != "text" || len(blocks) == 0) {
				t.Fatalf("%s:%d: a block of %q", page, i+1, kind)
			}
			if kind == "sh" {
				blocks = append(blocks, block{line: i + 2})
			}
		case line == "```":
			kind = ""
		case kind == "sh":
			blocks[len(blocks)-1].commands += line + "\n"
		case kind == "text":
			blocks[len(blocks)-1].printed += line + "\n"
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return blocks
}

// matches reports whether text is what the page says: an ellipsis stands for anything in its line, one that stands alone for any lines,
// and it does not matter how wide a column is, nor how far a line is indented.
func (b block) matches(text string) bool {
	var pattern strings.Builder
	pattern.WriteString(`(?s)^`)
	for line := range strings.Lines(b.printed) {
		if line == "…\n" {
			pattern.WriteString(`.*?`)
			continue
		}
		pattern.WriteString(`[ \t]*`)
		for i, word := range strings.Fields(line) {
			if i > 0 {
				pattern.WriteString(`[ \t]+`)
			}
			pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(word), "…", `[^\n]*`))
		}
		pattern.WriteString(`[ \t]*\n`)
	}
	return regexp.MustCompile(pattern.String() + `$`).MatchString(strings.TrimRight(text, "\n") + "\n")
}
