package testbed

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Block is a block of commands on a page of documentation: fenced as sh, bash or console, or indented and beginning with a program.
type Block struct {
	Page string // path below the root of the repository
	Line int    // of its first command, from 1
	Text string // without indent and prompts
}

// Pages returns the pages whose commands tests answer for, below the root of the repository: README.md and docs/*.md.
func Pages(tb testing.TB, root string) []string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(found) == 0 {
		tb.Fatalf("no pages in docs: %v", err)
	}
	pages := []string{"README.md"}
	for _, path := range found {
		pages = append(pages, "docs/"+filepath.Base(path))
	}
	return pages
}

// begins is how an indented block begins that is commands, and not an example of a file.
var begins = regexp.MustCompile(`^(\$ |# |umask |[A-Z]+=\$\()?(countersign|go|make|curl|git|cd|export|docker|podman|kubectl|helm|systemctl|sudo|nginx|haproxy|caddy|mariadb|mysql|redis-cli|openssl|jq|node|install)(\s|$)|^# `)

// Blocks returns the blocks of a page in their order.
func Blocks(tb testing.TB, root, page string) (blocks []Block) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page))) //nolint:gosec // a page of ours
	if err != nil {
		tb.Fatal(err)
	}
	fence, indent, blank := "", "", true
	for i, line := range strings.Split(string(text), "\n") {
		bare := strings.TrimLeft(line, " ")
		depth := line[:len(line)-len(bare)]
		kind, isFence := strings.CutPrefix(bare, "```")
		switch {
		case isFence && fence != "":
			fence = ""
		case isFence:
			fence = "fence of " + kind
			if slices.Contains([]string{"sh", "bash", "console", "shell"}, kind) {
				fence = "commands"
				blocks = append(blocks, Block{Page: page, Line: i + 2})
			}
			indent = depth
		case fence == "commands":
			blocks[len(blocks)-1].add(strings.TrimPrefix(line, indent))
		case fence != "":
		case indent != "" && len(depth) >= len(indent) && bare != "" && !blank: // the indented block goes on
			blocks[len(blocks)-1].add(strings.TrimPrefix(line, indent))
		case len(depth) >= 4 && blank && begins.MatchString(bare):
			indent = depth
			blocks = append(blocks, Block{Page: page, Line: i + 1})
			blocks[len(blocks)-1].add(bare)
		default:
			indent = ""
		}
		blank = bare == ""
	}
	return blocks
}

func (b *Block) add(line string) { b.Text += strings.TrimPrefix(line, "$ ") + "\n" }

// Calls returns the words of every call of countersign in a block, the program's name aside. `go run .` is such a call, too.
func (b Block) Calls() (calls [][]string) {
	text := strings.ReplaceAll(b.Text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, at := range called.FindAllStringSubmatchIndex(line, -1) {
			calls = append(calls, Words(line[at[1]:]))
		}
	}
	return calls
}

var called = regexp.MustCompile(`(?:^|[|;&(]\s*|\$\(|^\s*)(?:[A-Z_]+=\S+ )*(?:\./)?(?:countersign|go run \.)(?:\s|$)`)

// Words splits a command as a shell does, up to the end of the call.
func Words(line string) (words []string) {
	var word strings.Builder
	quote, open := rune(0), false
	end := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' || r == '\t' || r == '\n':
			end()
		case strings.ContainsRune("|;&)<>", r):
			if word.String() != "2" { // 2> is of the shell
				end()
			}
			return words
		case r == '#' && !open:
			return words
		default:
			word.WriteRune(r)
			open = true
		}
	}
	end()
	return words
}
