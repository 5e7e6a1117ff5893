// Package apitest holds what users of the SDK rest on: the exported API of its packages, and how few modules each brings along.
package apitest_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/countersign/countersign/sdk"
	golden = root + "/testdata/api"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test

// TestAPI compares what every public package exports with testdata/api.
func TestAPI(t *testing.T) {
	packages := list(t, nil, "-export", "-deps", "./...")
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	var files []string
	for _, p := range packages {
		if !p.public() {
			continue
		}
		file := strings.ReplaceAll(strings.TrimPrefix(p.ImportPath, module+"/"), "/", "_") + ".txt"
		if p.ImportPath == module {
			file = "sdk.txt"
		}
		files = append(files, file)
		t.Run(p.ImportPath, func(t *testing.T) {
			compare(t, file, exported(t, p.ImportPath, exports), `The exported API has changed.

Whoever uses the SDK compiles against it. Something new is for ever; before you take something away or change it (-), ask whether the old can stay
and say that it is deprecated. If it is meant: add a line to CHANGELOG.md, under Added, Changed or Removed (and there what to write instead),
and let the golden file go into the same commit.`)
		})
	}
	known, err := filepath.Glob(golden + "/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range known {
		if file := filepath.Base(path); file != dependencies && !slices.Contains(files, file) {
			t.Errorf("%s is of a package that is no more: that breaks whoever imports it; if it is meant, remove the file and say so in CHANGELOG.md", file)
		}
	}
}

// dependencies is the file that lists modules.
const dependencies = "dependencies.txt"

// shared are the packages that servers use, too: by four they read what others signed, in tokencache they remember tokens.
func shared() []string { return []string{"jose", "jwks", "proof", "strictjson", "tokencache"} }

// TestDependencies holds that the core imports the standard library alone, and which modules the packages beside it bring along.
func TestDependencies(t *testing.T) {
	packages := map[string]*listed{}
	for _, p := range list(t, []string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"}, "-deps", "./...") {
		packages[p.ImportPath] = p
	}
	for _, of := range packages[module].Deps {
		if !packages[of].Standard && !strings.HasPrefix(of, module+"/internal/") && !slices.Contains(shared(), strings.TrimPrefix(of, module+"/")) {
			t.Errorf("the core imports %s: it may import the standard library, its own packages under internal, and those that servers share with it", of)
		}
	}
	var lines []string
	for _, p := range packages {
		if !p.public() {
			continue
		}
		lines = append(lines, p.ImportPath)
		for _, of := range p.Deps {
			if m := packages[of].Module; m != nil && m.Path != module {
				lines = append(lines, p.ImportPath+" "+m.Path)
			}
		}
	}
	slices.Sort(lines)
	compare(t, dependencies, slices.Compact(lines), `A package of the SDK brings along other modules than before.

Who imports it builds them, trusts them, and has to keep up with their advisories. If it is meant: give the reason in the commit, and let the
golden file go into it.`)
}

// listed is a package as go list tells of it.
type listed struct {
	ImportPath, Name, Export string
	Standard                 bool
	Deps                     []string
	Module                   *struct{ Path string }
}

// public tells whether others can import the package.
func (p *listed) public() bool {
	ours := p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
	return ours && p.Name != "main" && !strings.Contains(p.ImportPath+"/", "/internal/")
}

// list runs go list in the module's folder. env is added to the environment.
func list(t *testing.T, env []string, args ...string) []*listed {
	t.Helper()
	touch(t)
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Name,Export,Standard,Deps,Module"}, args...)...)
	cmd.Dir = root
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), t.Output()
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var packages []*listed
	for in := json.NewDecoder(strings.NewReader(string(text))); ; {
		p := new(listed)
		switch err := in.Decode(p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// touch reads every folder of the module. What go list reads is unknown to the cache of test results, which would go on with an old one.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(_ string, _ fs.DirEntry, err error) error { return err })
	if err != nil {
		t.Fatal(err)
	}
}

// compare compares lines with a golden file, which is a set.
func compare(t *testing.T, file string, got []string, advice string) {
	t.Helper()
	path := filepath.Join(golden, file)
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	var differs []string
	for _, line := range want {
		if line != "" && !slices.Contains(got, line) {
			differs = append(differs, "- "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			differs = append(differs, "+ "+line)
		}
	}
	if len(differs) > 0 {
		t.Errorf("%s\n\n%s\n\n\tgo -C sdk test ./internal/apitest -update\n\nwrites testdata/api/%s anew.",
			strings.Join(differs, "\n"), advice, file)
	}
}
