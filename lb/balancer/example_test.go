package balancer_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/lb/balancer"
)

const example = "../../deploy/lb.yaml"

// The example can be loaded, and what it shows as defaults are the defaults.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var given, whole balancer.Document
	if _, err := document.Decode("lb.yaml", text, &given); err != nil {
		t.Fatal(err)
	}
	if len(given.Listeners) != 2 || len(given.Pools) != 2 || given.Pools["auth"].Targets[1].MaxRequests != 500 || given.Listeners[1].Mode != "tcp" {
		t.Errorf("%+v", given)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "# hash:") && !strings.Contains(line, "# breaker:") { // which are not there by default
			lines = append(lines, line)
		}
	}
	switchedOn := regexp.MustCompile(`(?m)^( *)# ([a-z_]+: [^ ].*)$`).ReplaceAllStringFunc(strings.Join(lines, ""), func(line string) string {
		if strings.HasSuffix(strings.TrimSpace(line), ".") { // a sentence
			return line
		}
		return strings.Replace(line, "# ", "", 1)
	})
	if _, err := document.Decode("lb.yaml", []byte(switchedOn), &whole); err != nil {
		t.Fatalf("%v\n%s", err, switchedOn)
	}
	if diff := cmp.Diff(given, whole, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("as it stands (-) and switched on (+):\n%s", diff)
	}
}

// Every member is in the example, but those of TLS to upstreams, which deploy/gateway.yaml shows.
func TestExampleIsComplete(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := balancer.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var top any
	if err := json.Unmarshal(schema, &top); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if properties, ok := node["properties"].(map[string]any); ok {
				for name := range properties {
					names[name] = true
				}
			}
			for _, child := range node {
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(top)
	if len(names) < 40 {
		t.Fatalf("the schema names %v", names)
	}
	for name := range names {
		switch name {
		case "ca", "server_name", "scheme":
			continue
		}
		if !regexp.MustCompile(`[-{ ]` + name + `:|(?m)^` + name + `:`).Match(text) {
			t.Errorf("%s does not show %s", example, name)
		}
	}
}
