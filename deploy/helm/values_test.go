package helm_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/server/instance"
)

var update = flag.Bool("update", false, "write the table of values in the chart's README anew") //nolint:gochecknoglobals // a flag of the test

// The table of values in the README is what values.yaml says.
func TestReadmeHasEveryValue(t *testing.T) {
	const begin, end = "<!-- values: `make chart` writes them -->\n", "<!-- end of values -->\n"
	path := chart + "/README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the values", path)
	}
	want := "\n| value | default | |\n|---|---|---|\n" + strings.Join(rows(t, "", values(t).Content[0]), "") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		old = want
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("values of values.yaml (-) and of the README (+): `make chart` writes them anew\n%s", diff)
	}
}

// rows makes a row of the table for each value, with the comment that stands above it. A mapping with a comment is one value.
func rows(t *testing.T, prefix string, node *yaml.Node) (list []string) {
	t.Helper()
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		comment := strings.Join(strings.Fields(strings.ReplaceAll(strings.ReplaceAll(key.HeadComment, "\n#", " "), "#", "")), " ")
		if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 && comment == "" {
			list = append(list, rows(t, prefix+key.Value+".", value)...)
			continue
		}
		var plain any
		if err := value.Decode(&plain); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("| `%s` | `%s` | %s |\n", prefix+key.Value, text, comment))
	}
	return list
}

// The schema knows every value of values.yaml, so that no default is refused, and nothing else but `global`.
func TestSchemaKnowsEveryValue(t *testing.T) {
	var schema map[string]any
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	compare(t, schema, schema, values(t).Content[0], "")
}

// compare compares the members of a schema that allows no others with those of the mapping.
func compare(t *testing.T, whole, schema map[string]any, node *yaml.Node, at string) {
	t.Helper()
	if name, ok := schema["$ref"].(string); ok {
		schema = whole["definitions"].(map[string]any)[strings.TrimPrefix(name, "#/definitions/")].(map[string]any)
	}
	members, ok := schema["properties"].(map[string]any)
	if !ok || at == ".server.settings" || strings.HasSuffix(at, ".resources") {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the schema allows what it does not know", at)
	}
	there := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		there[node.Content[i].Value] = node.Content[i+1]
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(members)), func(name string) bool { return name == "global" })
	if diff := cmp.Diff(slices.Sorted(maps.Keys(there)), known); diff != "" {
		t.Errorf("%s: values.yaml (-) and values.schema.json (+)\n%s", at, diff)
	}
	for name, child := range there {
		if below, ok := members[name].(map[string]any); ok {
			compare(t, whole, below, child, at+"."+name)
		}
	}
}

// Whatever the server can be told, the chart tells it or lets it be told by server.settings.
func TestSchemaKnowsEverySetting(t *testing.T) {
	var schema struct {
		Properties struct {
			Server struct {
				Properties struct {
					Settings struct{ Properties map[string]any }
				}
			}
		}
	}
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	told := maps.Clone(schema.Properties.Server.Properties.Settings.Properties)
	for _, one := range ofKind(goldens(t)["everything"], "ConfigMap") {
		var settings map[string]any
		if err := yaml.Unmarshal([]byte(one.Data["server.yaml"]), &settings); err != nil {
			t.Fatal(err)
		}
		for name := range settings {
			told[strings.TrimSuffix(name, "_file")], told[name] = true, true
		}
	}
	told["mtls_listen"] = true // pods have one public port, and ask for certificates there
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	config.Bind(flags, &instance.Settings{})
	flags.VisitAll(func(f *pflag.Flag) {
		name := strings.ReplaceAll(f.Name, "-", "_")
		if told[name] == nil && told[strings.TrimSuffix(name, "_file")] == nil && name != "config" {
			t.Errorf("the server's setting %s cannot be set by the chart", name)
		}
	})
}

// values returns the document of values.yaml.
func values(t *testing.T) *yaml.Node {
	t.Helper()
	text, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	return &node
}

// docs/kubernetes.md shows the gateway of ci/gateway-only.yaml, whose document TestProgramsTakeTheirConfiguration has looked at.
func TestDocumentedGateway(t *testing.T) {
	docs, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	ci, err := os.ReadFile(chart + "/ci/gateway-only.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(ci), "\ngateway:\n")
	if !strings.Contains(string(docs), "```yaml\ngateway:\n"+want+"```") {
		t.Errorf("docs/kubernetes.md does not show the gateway of ci/gateway-only.yaml:\n%s", want)
	}
}
