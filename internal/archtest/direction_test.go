// Package archtest keeps the shape of the repository: the direction of imports that .golangci.yml states and the
// package comment that every package owes its reader.
package archtest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestDirection(t *testing.T) {
	t.Parallel()
	tree := newTree(t)
	want := map[string]bool{}
	for i, p := range plants() {
		for _, dir := range []string{p.dir, path.Join(p.dir, "deep")} {
			file := path.Join(dir, fmt.Sprintf("planted%d.go", i))
			tree.plant(file, p.imported)
			want[finding{p.rule, file, p.imported}.String()] = true
			if p.flat {
				break
			}
		}
	}
	for i, l := range legal() {
		ext := strings.TrimPrefix(l.file, strings.TrimSuffix(strings.TrimSuffix(l.file, ".go"), "_test"))
		tree.plant(path.Join(path.Dir(l.file), fmt.Sprintf("legal%d%s", i, ext)), l.imported)
	}

	found := tree.lint()
	for _, w := range slices.Sorted(maps.Keys(want)) {
		if !slices.ContainsFunc(found, func(f finding) bool { return f.String() == w }) {
			t.Errorf("not caught: %s", w)
		}
	}
	for _, f := range found {
		if strings.HasPrefix(path.Base(f.file), "legal") {
			t.Errorf("forbidden, though it is meant to be possible: %s", f)
		}
	}
}

// TestRules holds what the plants rest on: each rule is planted, and none has a list that depguard misreads. It
// searches a list for the entry nearest in sort order only, so a/b hides what its prefix a says about a/c.
func TestRules(t *testing.T) {
	t.Parallel()
	rules := depguardRules(t)
	planted := map[string]bool{}
	for _, p := range plants() {
		planted[p.rule] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(planted))); diff != "" {
		t.Errorf("rules of .golangci.yml (-) and rules with a plant (+):\n%s", diff)
	}
	for name, rule := range rules {
		var denied []string
		for _, d := range rule.Deny {
			denied = append(denied, d.Pkg)
		}
		for _, list := range [][]string{rule.Allow, denied} {
			slices.Sort(list)
			for i := 1; i < len(list); i++ {
				if strings.HasPrefix(list[i], list[i-1]) {
					t.Errorf("rule %s: %q is a prefix of %q in the same list", name, list[i-1], list[i])
				}
			}
		}
	}
}

// finding is one import that depguard refused.
type finding struct{ rule, file, imported string }

func (f finding) String() string { return fmt.Sprintf("%s: %s imports %s", f.rule, f.file, f.imported) }

// tree is a throw-away module of planted files under the repository's own configuration. What they import is vendored
// as empty packages, so that neither cycles nor missing packages keep the linter from reading them. Its path lies below ours: it may
// import internal packages.
type tree struct {
	t        *testing.T
	root     string
	vendored map[string]bool
}

func newTree(t *testing.T) tree {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(repository(t), ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tr := tree{t: t, root: t.TempDir(), vendored: map[string]bool{}}
	tr.write(".golangci.yml", string(config))
	return tr
}

// plant writes file, whose one import is imported.
func (tr tree) plant(file, imported string) {
	tr.t.Helper()
	tr.write(file, fmt.Sprintf("package planted\n\nimport _ %q\n", imported))
	if host, _, _ := strings.Cut(imported, "/"); strings.Contains(host, ".") && !tr.vendored[imported] {
		tr.vendored[imported] = true
		tr.write(path.Join("vendor", imported, "stub.go"), "package stub\n")
	}
}

// manifest writes go.mod and its vendor list, in which each vendored package is a module of its own.
func (tr tree) manifest() {
	tr.t.Helper()
	mod, list := "module "+module+"planted\n\ngo 1.26\n\n", ""
	for _, pkg := range slices.Sorted(maps.Keys(tr.vendored)) {
		version := "v1.0.0"
		if m := majorSuffix.FindStringSubmatch(pkg); m != nil {
			version = m[1] + ".0.0"
		}
		mod += fmt.Sprintf("require %s %s\n", pkg, version)
		list += fmt.Sprintf("# %s %s\n## explicit\n%s\n", pkg, version, pkg)
	}
	tr.write("go.mod", mod)
	tr.write("vendor/modules.txt", list)
}

func (tr tree) write(file, content string) {
	tr.t.Helper()
	full := filepath.Join(tr.root, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
		tr.t.Fatal(err)
	}
}

var (
	refused     = regexp.MustCompile(`^import '([^']+)' is not allowed from list '([^']+)'`)
	majorSuffix = regexp.MustCompile(`/(v[0-9]+)$`)
)

func (tr tree) lint() []finding {
	tr.t.Helper()
	tr.manifest()
	cmd := exec.CommandContext(tr.t.Context(), linter(tr.t), "run", "--allow-parallel-runners", "--enable-only", "depguard",
		"--issues-exit-code", "0", "--show-stats=false", "--output.json.path", "stdout", "./...")
	cmd.Dir = tr.root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tr.t.Fatalf("golangci-lint: %v\n%s", err, stderr.String())
	}
	var report struct {
		Issues []struct {
			Text string
			Pos  struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		tr.t.Fatalf("golangci-lint printed %q: %v", out, err)
	}
	var found []finding
	for _, issue := range report.Issues {
		if m := refused.FindStringSubmatch(issue.Text); m != nil {
			found = append(found, finding{rule: m[2], file: filepath.ToSlash(issue.Pos.Filename), imported: m[1]})
		}
	}
	return found
}

// linter returns the path of golangci-lint at the version that tools/go.mod names, built if need be.
func linter(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "-C", filepath.Join(repository(t), "tools"), "tool", "-n", "golangci-lint").Output()
	if err != nil {
		t.Fatalf("find golangci-lint: %v", err)
	}
	return strings.TrimSpace(string(out))
}

type depguardRule struct {
	Allow []string
	Deny  []struct{ Pkg string }
}

func depguardRules(t *testing.T) map[string]depguardRule {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository(t), ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct{ Rules map[string]depguardRule }
			}
		}
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	return config.Linters.Settings.Depguard.Rules
}

// repository returns the root of the repository.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}
