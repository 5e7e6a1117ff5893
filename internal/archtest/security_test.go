package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestSecurityPage wants forty attacks in docs/security.md, each with tests that exist.
func TestSecurityPage(t *testing.T) {
	t.Parallel()
	root := repository(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`(?m)^\| (\d+) \|`)
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")
	attacks, known := 0, map[string]map[string]bool{}
	for line := range strings.Lines(string(page)) {
		row := number.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		if attacks++; row[1] != strconv.Itoa(attacks) {
			t.Errorf("attack %s has the place of %d", row[1], attacks)
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		tests := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(tests) == 0 || len(tests) != strings.Count(cells[len(cells)-1], "`")/2 {
			t.Errorf("attack %d: %d tests in %q", attacks, len(tests), cells[len(cells)-1])
		}
		for _, test := range tests {
			folder := test[1]
			if known[folder] == nil {
				known[folder] = testsOf(t, filepath.Join(root, filepath.FromSlash(folder)))
			}
			if !known[folder][test[2]] {
				t.Errorf("attack %d: %s has no %s", attacks, folder, test[2])
			}
		}
	}
	if attacks != 40 {
		t.Errorf("%d attacks, want 40", attacks)
	}
}

// testsOf returns the names of the functions in the test files of a folder.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
				names[function.Name.Name] = true
			}
		}
	}
	return names
}
