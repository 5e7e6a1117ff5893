// Package notice writes NOTICE: the licences of everything that is linked into the binary, or into a program that uses the SDK. A
// module whose licence is not among those that allow it is an error.
package notice

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ours begins the path of modules that are this repository's.
const ours = "github.com/countersign/countersign"

// platforms are those for which the binary is built. What is linked differs by them.
func platforms() []string { return []string{"linux/amd64", "linux/arm64"} }

// module is one that is linked, with what it says of its licence.
type module struct {
	name  string // path and version
	files map[string]string
}

// pkg is what `go list` tells of a package.
type pkg struct {
	Dir      string
	Standard bool
	Module   *struct{ Path, Version, Dir string }
}

// Write writes the text for the repository in a folder. It asks the go command, which needs no network once the modules are there.
func Write(ctx context.Context, out io.Writer, repository string) error {
	found := map[string]*module{}
	for _, platform := range platforms() {
		for _, of := range []struct{ folder, packages string }{{".", "."}, {"sdk", "./..."}} {
			packages, err := list(ctx, filepath.Join(repository, of.folder), of.packages, platform)
			if err != nil {
				return err
			}
			for _, p := range packages {
				if err := add(found, p); err != nil {
					return err
				}
			}
		}
	}
	if err := addGo(ctx, found); err != nil {
		return err
	}
	return write(out, slices.SortedFunc(maps.Values(found), func(a, b *module) int { return cmp.Compare(a.name, b.name) }))
}

func list(ctx context.Context, folder, packages, platform string) (all []pkg, err error) {
	system, processor, _ := strings.Cut(platform, "/")
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Standard,Module", packages) //nolint:gosec // the arguments are constants
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+processor, "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		all = append(all, p)
	}
}

// licenceFile is how files are named that speak of a licence.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense|notice)([-._].*)?$`)

// add takes the licence files that lie between a package and the root of its module: a folder of foreign code has its own.
func add(found map[string]*module, p pkg) error {
	if p.Standard || p.Module == nil || strings.HasPrefix(p.Module.Path+"/", ours+"/") {
		return nil
	}
	name := p.Module.Path + " " + p.Module.Version
	m := found[name]
	if m == nil {
		m = &module{name: name, files: map[string]string{}}
		found[name] = m
	}
	for folder := p.Dir; ; folder = filepath.Dir(folder) {
		if err := m.read(folder, p.Module.Dir); err != nil {
			return err
		}
		if folder == p.Module.Dir || len(folder) <= len(p.Module.Dir) {
			return nil
		}
	}
}

func (m *module) read(folder, root string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look for the licence of %s: %w", m.name, err)
	}
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") || strings.Contains(entry.Name(), "LOGO") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name())) //nolint:gosec // a file of the module cache
		if err != nil {
			return fmt.Errorf("read the licence of %s: %w", m.name, err)
		}
		name, err := filepath.Rel(root, filepath.Join(folder, entry.Name()))
		if err != nil {
			return fmt.Errorf("read the licence of %s: %w", m.name, err)
		}
		m.files[filepath.ToSlash(name)] = tidy(string(text))
	}
	return nil
}

// tidy takes away what differs between copies and says nothing.
func tidy(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(text, "\f", "")) {
		b.WriteString(strings.TrimRight(line, " \t\r\n") + "\n")
	}
	return strings.Trim(b.String(), "\n") + "\n"
}

// addGo adds the standard library and the runtime, whichever version builds.
func addGo(ctx context.Context, found map[string]*module) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	m := &module{name: "Go, standard library and runtime", files: map[string]string{}}
	found[m.name] = m
	return m.read(strings.TrimSpace(string(root)), strings.TrimSpace(string(root)))
}

// write tells each module with its licences, and each text once.
func write(out io.Writer, modules []*module) error {
	users := map[string][]string{} // of each text
	var b strings.Builder
	b.WriteString("Countersign\n\nLicensed under the Apache License, Version 2.0; see LICENSE.\n\n" +
		"The binary, and programs that use the SDK, contain what follows. `make licenses` writes this file.\n\n")
	for _, m := range modules {
		var licences []string
		for _, name := range slices.Sorted(maps.Keys(m.files)) {
			text := m.files[name]
			users[text] = append(users[text], m.name+": "+name)
			licence := Licence(text)
			if licence == "" && !addition(name) {
				return fmt.Errorf("the licence of %s in %s is not one that is allowed: the module cannot be used", m.name, name)
			}
			if licence != "" && !slices.Contains(licences, licence) {
				licences = append(licences, licence)
			}
		}
		if len(licences) == 0 {
			return fmt.Errorf("%s has no licence: the module cannot be used", m.name)
		}
		fmt.Fprintf(&b, "  %s (%s)\n", m.name, strings.Join(licences, ", "))
	}
	texts := slices.SortedFunc(maps.Keys(users), func(a, b string) int { return cmp.Compare(users[a][0], users[b][0]) })
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s", strings.Repeat("-", 80), strings.Join(users[text], "\n"), text)
	}
	_, err := io.WriteString(out, b.String())
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// addition reports whether a file adds to a licence, or collects those of others, rather than being one.
func addition(name string) bool {
	base := strings.ToUpper(filepath.Base(name))
	return strings.HasPrefix(base, "NOTICE") || strings.Contains(base, "3RD-PARTY")
}
