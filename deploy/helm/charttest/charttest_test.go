package charttest_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"

	"github.com/countersign/countersign/deploy/helm/charttest"
)

const (
	chart  = "../countersign"
	golden = "../golden"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test

// Every values file of ci/ renders to manifests that Kubernetes' own types take strictly, and to what was looked at before.
func TestGolden(t *testing.T) {
	for name, values := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			release, err := charttest.Render(chart, values)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range release.Manifests {
				if _, err := charttest.Decode(one); err != nil {
					t.Errorf("%v:\n%s", err, one)
				}
			}
			same(t, name+".yaml", release.YAML())
			same(t, name+".notes.txt", []byte(release.Notes))
		})
	}
	same(t, "SHA256SUMS", sums(t))
}

func TestLint(t *testing.T) {
	for name, values := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			for _, message := range lint.All(chart, values, "identity", true).Messages {
				if message.Severity > support.InfoSev {
					t.Error(message)
				}
			}
		})
	}
}

// Mistakes are refused by a message that names the value.
func TestRefused(t *testing.T) {
	const minimal = "image: {repository: r, tag: t}\nserver: {issuer: 'https://auth.example.com'}\n"
	for _, tt := range []struct{ name, values, want string }{
		{"no repository", "image: {tag: t}\nserver: {issuer: 'https://a.example'}", "image.repository is not set"},
		{"no tag", "image: {repository: r}\nserver: {issuer: 'https://a.example'}", "image.tag is not set"},
		{"no issuer", "image: {repository: r, tag: t}", "server.issuer is not set"},
		{"issuer in plain text", "image: {repository: r, tag: t}\nserver: {issuer: 'http://a.example'}", "'/server/issuer'"},
		{"unknown value", minimal + "gatewy: {}", "additional properties 'gatewy' not allowed"},
		{"unknown value of a part", minimal + "lb: {replcas: 3}", "additional properties 'replcas' not allowed"},
		{"unknown setting", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', settings: {log_depth: debug}}", "additional properties 'log_depth' not allowed"},
		{"a secret as setting", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', settings: {database: 'mysql://u:p@h/d'}}", "additional properties 'database' not allowed"},
		{"a setting as variable", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', extraEnv: [{name: COUNTERSIGN_DATABASE, value: x}]}", "'/server/extraEnv/0/name'"},
		{"no master key", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', masterKey: {existingSecret: ''}}", "'/server/masterKey/existingSecret'"},
		{"gateway without document", minimal + "gateway: {enabled: true}", "gateway.config is empty"},
		{"two documents", minimal + "gateway: {enabled: true, config: {listeners: []}, existingConfig: {configMap: a}}", "gateway.config and gateway.existingConfig are both set"},
		{"ConfigMap and Secret", minimal + "lb: {enabled: true, existingConfig: {configMap: a, secret: b}}", "configMap and secret are both set"},
		{"listener unknown to the chart", minimal + "gateway: {enabled: true, config: {listeners: [{name: entry, address: ':8081'}]}}", `gateway.config listens as "entry" on port "8081"`},
		{"listener unknown to the document", minimal + "gateway: {enabled: true, config: {listeners: [], routes: []}}", "gateway.listeners has entry, which gateway.config does not"},
		{"admin of the document", minimal + "lb: {enabled: true, config: {admin: {address: ':1'}}}", "lb.config.admin is the chart's to set"},
		{"a secret in the document", minimal + "gateway: {enabled: true, config: {issuers: {a: {client_secret: x}}}}", "gateway.config holds a secret (client_secret:)"},
		{"no least below the most", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 3}}", "minReplicas 5 is above maxReplicas 3"},
		{"autoscaling of nothing", "image: {repository: r, tag: t}\nserver: {issuer: 'https://a.example', autoscaling: {enabled: true}, resources: {requests: {cpu: null}}}", "server.resources.requests.cpu, which is not set"},
		{"host of a part that is not there", minimal + "expose: {hosts: [{host: h, to: lb}]}", "lb.enabled is false"},
		{"ingress of nothing", minimal + "expose: {ingress: {enabled: true}}", "expose.hosts is empty"},
		{"route of no gateway", minimal + "expose: {hosts: [{host: h, to: server}], gatewayAPI: {enabled: true}}", "expose.gatewayAPI.parentRefs is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := map[string]any{}
			if err := yaml.Unmarshal([]byte(tt.values), &values); err != nil {
				t.Fatal(err)
			}
			if _, err := charttest.Render(chart, values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Decode is strict: what it takes means something.
func TestDecodeRefuses(t *testing.T) {
	for _, manifest := range []string{
		"apiVersion: v1\nkind: Service\nspec: {prots: []}\n",
		"apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: a, readinessprobe: {}}]}}}\n",
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, name: b}\n",
		"apiVersion: apps/v1beta1\nkind: Deployment\n",
	} {
		if _, err := charttest.Decode(manifest); err == nil {
			t.Errorf("accepted:\n%s", manifest)
		}
	}
}

func valuesFiles(t *testing.T) map[string]map[string]any {
	t.Helper()
	paths, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	files := map[string]map[string]any{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{}
		if err := yaml.UnmarshalStrict(text, &values); err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = values
	}
	return files
}

// sums returns what sha256sum prints of the chart's files but its README: of which chart the golden files are.
func sums(t *testing.T) []byte {
	t.Helper()
	lines := map[string]string{}
	err := fs.WalkDir(os.DirFS(chart), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == "README.md" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(chart, path))
		lines[path] = fmt.Sprintf("%x  %s\n", sha256.Sum256(text), path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, path := range slices.Sorted(maps.Keys(lines)) {
		out.WriteString(lines[path])
	}
	return []byte(out.String())
}

func same(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(golden, name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs from what the chart makes now: `make chart` writes it anew, then read the difference", path)
	}
}

// The values that docs/kubernetes.md shows render.
func TestDocumentedValues(t *testing.T) {
	text, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of values, want 2", len(blocks))
	}
	given := "" // each block adds to those before
	for _, block := range blocks {
		given += unindented(block[1])
		values := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(given), &values); err != nil {
			t.Fatal(err)
		}
		release, err := charttest.Render(chart, values)
		if err != nil {
			t.Fatalf("%v:\n%s", err, given)
		}
		for _, one := range release.Manifests {
			if _, err := charttest.Decode(one); err != nil {
				t.Errorf("%v:\n%s", err, one)
			}
		}
	}
}

// unindented takes the spaces off the beginning of each line that the first line begins with.
func unindented(text string) string {
	spaces := text[:len(text)-len(strings.TrimLeft(text, " "))]
	return strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n"+spaces, "\n"), "\n")
}
