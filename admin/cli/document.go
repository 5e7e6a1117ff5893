package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/admin/wire"
)

// configuration is what the files of `apply` declare, taken together.
type configuration struct {
	document  wire.Document
	documents int               // of which it was made
	issuers   []place           // where each of document.Issuers stands
	apis      []place           // where each of document.APIs stands
	clients   []place           // where each of document.Clients stands
	generate  map[string]string // from the name of a client to the file that its secret goes to
}

// place is where something stands in a file.
type place struct {
	file string
	node *yaml.Node
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.node.Line) }

// wrong is a mistake in a file.
func wrong(file string, line int, format string, args ...any) error {
	return usagef("%s:%d: %s", file, line, fmt.Sprintf(format, args...))
}

// maxFile bounds one file, in bytes; it is what the admin API takes as a whole.
const maxFile = 8 << 20

// readConfiguration reads YAML files, folders of them, and standard input ("-"). The errors name file and line.
func (s *session) readConfiguration(names []string) (*configuration, error) {
	c := &configuration{document: wire.Document{Version: wire.DocumentVersion}, generate: map[string]string{}}
	for _, name := range names {
		files, err := yamlFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := s.readFile(file)
			if err != nil {
				return nil, err
			}
			if err := c.add(file, text); err != nil {
				return nil, err
			}
		}
	}
	return c, errors.Join(c.unique(), c.secrets(s))
}

// yamlFiles returns the file itself, or the YAML and JSON files in the folder, in order of their names.
func yamlFiles(name string) (files []string, err error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, usagef("read the configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, usagef("read the configuration: %w", err)
	}
	for _, entry := range entries {
		if ends := filepath.Ext(entry.Name()); !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ends) {
			files = append(files, filepath.Join(name, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, usagef("read the configuration: folder %s has no file that ends in .yaml, .yml or .json", name)
	}
	return files, nil
}

func (s *session) readFile(name string) ([]byte, error) {
	in := s.env.Stdin
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the user names it
		if err != nil {
			return nil, usagef("read the configuration: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, usagef("%s has more than %d MiB: split the configuration", name, maxFile>>20)
	}
	return text, nil
}

// add takes in the documents of one file. It decodes each twice: strictly into what it means, and into nodes, which know their lines.
// A file that holds nothing is refused: with --prune, an export that failed or a pipe that broke would remove everything.
func (c *configuration) add(file string, text []byte) error {
	before := c.documents
	nodes, strict := yaml.NewDecoder(bytes.NewReader(text)), yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	for {
		var node yaml.Node
		err := nodes.Decode(&node)
		if errors.Is(err, io.EOF) {
			if c.documents == before {
				return usagef("%s holds no configuration: one begins with `version: %s`", called(file), wire.DocumentVersion)
			}
			return nil
		}
		var document wire.Document
		if err == nil {
			err = strict.Decode(&document)
		}
		if err != nil {
			return explainYAML(file, err)
		}
		top := node.Content[0]
		if top.Tag == "!!null" {
			continue // nothing between two separators
		}
		if document.Version != wire.DocumentVersion {
			return wrong(file, top.Line, "version is %q: allowed is %s", document.Version, wire.DocumentVersion)
		}
		c.documents++
		c.document.APIs = append(c.document.APIs, document.APIs...)
		c.document.Issuers = append(c.document.Issuers, document.Issuers...)
		c.document.Clients = append(c.document.Clients, document.Clients...)
		c.apis = append(c.apis, places(file, top, "apis")...)
		c.issuers = append(c.issuers, places(file, top, "trusted_issuers")...)
		c.clients = append(c.clients, places(file, top, "clients")...)
	}
}

// called is the name of a file in a sentence.
func called(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// places returns where the items of a list stand.
func places(file string, top *yaml.Node, member string) (list []place) {
	items := child(top, member)
	if items == nil {
		return nil
	}
	for _, item := range items.Content {
		list = append(list, place{file, item})
	}
	return list
}

// child returns the member or item of a node, or nil.
func child(node *yaml.Node, name string) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		if index, err := strconv.Atoi(name); err == nil && index >= 0 && index < len(node.Content) {
			return node.Content[index]
		}
		return nil
	}
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i+1]
			}
		}
	}
	return nil
}

// unique refuses what is declared twice.
func (c *configuration) unique() error {
	var errs []error
	once := func(kind, member string, at []place) {
		first := map[string]place{}
		for _, here := range at {
			name := child(here.node, member)
			if name == nil {
				errs = append(errs, wrong(here.file, here.node.Line, "the %s has no %s", kind, member))
				continue
			}
			if before, twice := first[name.Value]; twice {
				errs = append(errs, wrong(here.file, name.Line, "%s %q is declared at %s already", kind, name.Value, before))
				continue
			}
			first[name.Value] = place{here.file, name}
		}
	}
	once("API", "identifier", c.apis)
	once("trusted issuer", "name", c.issuers)
	once("client", "name", c.clients)
	return errors.Join(errs...)
}

// find returns where the thing stands to which the server's JSON pointer points.
func (c *configuration) find(pointer string) (place, bool) {
	pointer = strings.TrimPrefix(strings.TrimPrefix(pointer, "#"), "/document")
	steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	lists := map[string][]place{"apis": c.apis, "trusted_issuers": c.issuers, "clients": c.clients}
	if len(steps) < 2 {
		return place{}, false
	}
	index, err := strconv.Atoi(steps[1])
	if err != nil || index < 0 || index >= len(lists[steps[0]]) {
		return place{}, false
	}
	found := lists[steps[0]][index]
	for _, step := range steps[2:] {
		next := child(found.node, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		if next == nil {
			break
		}
		found.node = next
	}
	return found, true
}
