package document

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// entry is a name in a mapping and what stands behind it.
type entry struct {
	name  string
	line  int
	value *yaml.Node
}

// entries returns what a mapping holds: its own entries, then those of merge keys (`<<`), of which the earlier ones win.
func (d *decoder) entries(at place, node *yaml.Node) (list []entry) {
	lines, merged := map[string]int{}, []*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		line := node.Content[i].Line
		key := node.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case !d.spend(at, key.Value):
			return list
		case key.ShortTag() == "!!merge":
			merged = append(merged, node.Content[i+1])
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			d.mistakes.add(place{at.path, line}, "a name must be a text")
		case !entryName.MatchString(key.Value) || utf8.RuneCountInString(key.Value) > maxName:
			d.mistakes.add(place{at.path, line}, "name %s must have 1 to %d characters, and no control characters", quoted(key.Value), maxName)
		case lines[key.Value] > 0:
			d.mistakes.add(place{at.path, line}, "%s stands in line %d already", quoted(key.Value), lines[key.Value])
		default:
			lines[key.Value] = line
			list = append(list, entry{key.Value, line, node.Content[i+1]})
		}
	}
	for _, from := range merged {
		for _, e := range d.merged(at, from) {
			if d.spend(at, e.name) && lines[e.name] == 0 {
				lines[e.name] = e.line
				list = append(list, e)
			}
		}
	}
	return list
}

// merged returns the entries of what stands behind a merge key: a mapping, or a list of them.
func (d *decoder) merged(at place, node *yaml.Node) (list []entry) {
	line := node.Line
	node, ok := d.enter(at, node)
	if !ok {
		return nil
	}
	defer d.leave()
	switch node.Kind {
	case yaml.MappingNode:
		return d.entries(at, node)
	case yaml.SequenceNode:
		for _, child := range node.Content {
			list = append(list, d.merged(at, child)...)
		}
	case yaml.ScalarNode, yaml.AliasNode, yaml.DocumentNode:
		d.mistakes.add(place{at.path, line}, "a plain value stands where the mapping to merge belongs")
	}
	return list
}

// unknown tells what may stand where an unknown member does.
func unknown(name string, members []member) string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	text := "unknown member " + quoted(name)
	if near := nearest(name, names); near != "" {
		text += " (did you mean " + quoted(near) + "?)"
	}
	return text + ": allowed are " + strings.Join(names, ", ")
}

// nearest returns the name that was most likely meant, or "".
func nearest(name string, names []string) (best string) {
	plain := strings.NewReplacer("-", "", "_", "")
	folded := plain.Replace(strings.ToLower(name))
	least := max(1, len(folded)/3) + 1
	for _, other := range names {
		if n := distance(folded, plain.Replace(other)); n < least {
			best, least = other, n
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
