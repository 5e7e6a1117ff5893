package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// claim says which test runs a block of a page, or why none can and what is checked instead.
type claim struct {
	page   string
	begins string // how the block begins; empty: every block of the page
	test   string // runs it
	parsed string // why it cannot run here; its calls of countersign must fit the command line all the same
}

// claims has a row for every block of commands. TestDocumentedBlocks names the blocks that lack one.
func claims() []claim {
	const upstreams = "its upstreams are nowhere; every test of gateway and load balancer starts them like this"
	return []claim{
		{page: "README.md", begins: "go run . up", test: "TestGoRun"},
		{page: "README.md", begins: "curl", test: "TestDocumentedCommands"},
		{page: "README.md", begins: "make test", parsed: "it runs this test"},
		{page: "docs/abuse.md", parsed: "they are for a server and an API of other machines"},
		{page: "docs/admin.md", begins: "countersign up\n", test: "TestWalkThrough"},
		{page: "docs/admin.md", test: "TestWalkThrough"},
		{page: "docs/audit.md", test: "TestDocumentedCommands"},
		{page: "docs/command-line.md", test: "TestDocumentedCommands"},
		{page: "docs/deploy.md", parsed: "containers and units are for other machines; tests of deploy/ check the files"},
		{page: "docs/drills.md", test: "TestDrills"},
		{page: "docs/endpoints.md", test: "TestDocumentedCommands"},
		{page: "docs/external-authorization.md", begins: "node", test: "TestHAProxyChecksJWTsItself"},
		{page: "docs/federation.md", parsed: "its clusters and issuers are elsewhere; tests of e2e begin as it does, with issuers of their own"},
		{page: "docs/gateway.md", begins: "countersign gateway --config", parsed: upstreams},
		{page: "docs/gateway.md", begins: "countersign gateway explain", test: "TestExplainExits"},
		{page: "docs/kubernetes.md", parsed: "there is no cluster here; tests render the chart and check what comes out"},
		{page: "docs/load-balancer.md", parsed: upstreams},
		{page: "docs/production.md", test: "TestProductionPage"},
		{page: "docs/production-trials.md", parsed: "they are tests themselves, and take an hour"},
		{page: "docs/quickstart.md", test: "TestQuickstart"},
		{page: "docs/sdk.md", test: "TestSDKQuickstart"},
		{page: "docs/secrets.md", test: "TestDocumentedCommands"},
		{page: "docs/strong-authentication.md", test: "TestStrongAuthenticationPage"},
		{page: "docs/token-exchange.md", test: "TestDocumentedCommands"},
		{page: "docs/trace.md", test: "TestDemoTrace"},
	}
}

// TestDocumentedBlocks: a block of commands on a page is run by a test that names the page, or says why it cannot be.
func TestDocumentedBlocks(t *testing.T) {
	sources := sourcesOfTests(t)
	used := map[claim]bool{}
	for _, page := range testbed.Pages(t, ".") {
		for _, b := range testbed.Blocks(t, ".", page) {
			i := slices.IndexFunc(claims(), func(c claim) bool { return c.page == page && strings.HasPrefix(b.Text, c.begins) })
			if i < 0 {
				t.Errorf("%s:%d: no test runs this block: let one, and claim it in claims():\n%s", page, b.Line, b.Text)
				continue
			}
			c := claims()[i]
			used[c] = true
			if c.test != "" && !strings.Contains(sources, "func "+c.test+"(") {
				t.Errorf("%s:%d: claimed by %s, which does not exist", page, b.Line, c.test)
			}
		}
	}
	pages := testbed.Pages(t, ".")
	for _, c := range claims() {
		if !used[c] && slices.Contains(pages, c.page) {
			t.Errorf("%s has no block that begins with %q: take the claim away", c.page, c.begins)
		}
	}
}

// sourcesOfTests is the text of all tests that run the binary.
func sourcesOfTests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*_test.go", "e2e/*_test.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

var mention = regexp.MustCompile("`(?:countersign|go run \\.) ([^`]+)`")

// TestDocumentedCalls: every call of countersign on a page, in a block or in a sentence, names a command and flags that there are.
func TestDocumentedCalls(t *testing.T) {
	for _, page := range testbed.Pages(t, ".") {
		for _, b := range testbed.Blocks(t, ".", page) {
			for _, words := range b.Calls() {
				if err := fits(words, true); err != nil {
					t.Errorf("%s:%d: countersign %s: %v", page, b.Line, strings.Join(words, " "), err)
				}
			}
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			for _, found := range mention.FindAllStringSubmatch(line, -1) {
				if found[1] == "token-store record v1" { // a label of the format
					continue
				}
				if err := fits(testbed.Words(found[1]), false); err != nil {
					t.Errorf("%s:%d: `countersign %s`: %v", page, n, found[1], err)
				}
			}
		}
	}
}

// fits judges words by the command line itself. In a sentence arguments may be left away.
func fits(words []string, whole bool) error {
	whole = whole && !slices.ContainsFunc(words, elided)
	root := newRootCmd(environment{args: []string{"countersign"}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.InitDefaultVersionFlag()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return fmt.Errorf("find the command: %w", err)
	}
	cmd.InitDefaultHelpFlag()
	err = cmd.ParseFlags(rest)
	if err != nil && !whole && standIn.MatchString(err.Error()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read its flags: %w", err)
	}
	args := slices.DeleteFunc(cmd.Flags().Args(), elided)
	if whole || cmd.HasSubCommands() && len(args) > 0 {
		return cmd.ValidateArgs(args) //nolint:wrapcheck // told as it is
	}
	return nil
}

// standIn is what a flag says of a value that a sentence leaves away, or names in capitals.
var standIn = regexp.MustCompile(`flag needs an argument|invalid argument "[A-Z_-]+"`)

// elided reports whether a word stands for others.
func elided(word string) bool { return strings.Contains(word, "…") }
