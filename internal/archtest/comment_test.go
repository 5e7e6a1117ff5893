package archtest_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageComment wants exactly one package comment in each package: none leaves the reader without an introduction,
// two are joined by go doc in the order of file names.
func TestPackageComment(t *testing.T) {
	t.Parallel()
	root := repository(t)
	seen := 0
	err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case dir != root && ignored(entry.Name()):
			return filepath.SkipDir
		}
		for pkg, commented := range packageComments(t, dir) {
			seen++
			if len(commented) != 1 {
				t.Errorf("package %s in %s has %d package comments, want 1: %v", pkg, dir, len(commented), commented)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no package found")
	}
}

// ignored reports whether the go command passes over a folder of this name.
func ignored(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// packageComments returns the files with a package comment of the package in dir, by its name. Test files count only
// where there is nothing else.
func packageComments(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	code, tests := map[string][]string{}, map[string][]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		in, name := code, parsed.Name.Name
		if strings.HasSuffix(file, "_test.go") {
			in, name = tests, strings.TrimSuffix(name, "_test")
		}
		if parsed.Doc != nil {
			in[name] = append(in[name], filepath.Base(file))
		} else if _, known := in[name]; !known {
			in[name] = nil
		}
	}
	if len(code) > 0 {
		return code
	}
	return tests
}
