package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/admin/wire"
)

const head = "version: countersign/v1\n"

// What is wrong with a file is said with its name and line, before anything is sent.
func TestConfigurationRefused(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"no YAML", "clients: [\n", []string{"a.yaml:"}},
		{"nothing at all", "", []string{"a.yaml holds no configuration"}},
		{"nothing but comments", "# soon\n---\n", []string{"a.yaml holds no configuration"}},
		{"no version", "clients: []\n", []string{`a.yaml:1: version is "": allowed is countersign/v1`}},
		{"another version", "\nversion: countersign/v9\n", []string{`a.yaml:2: version is "countersign/v9"`}},
		{"unknown member", head + "clients:\n  - name: orders\n    grant: []\n", []string{`a.yaml:4: unknown member "grant": allowed are client_id, name, description`, "jwks, jwks_uri", "grants, exchanges, secret"}},
		{"unknown members", head + "client: []\napi: []\n", []string{`a.yaml:2: unknown member "client"`, `a.yaml:3: unknown member "api"`, "apis, trusted_issuers, clients"}},
		{"unknown member in the second document", head + "---\n" + head + "x: 1\n", []string{`a.yaml:4: unknown member "x"`}},
		{"text for a number", head + "apis:\n  - identifier: https://a\n    token_lifetime_seconds: 1h\n", []string{`a.yaml:4: "1h" stands where a whole number belongs`}},
		{"text for a list", head + "apis:\n  - identifier: https://a\n    scopes: read\n", []string{`a.yaml:4: "read" stands where a list belongs`}},
		{"list for a text", head + "clients:\n  - name: [a]\n", []string{"a.yaml:3: a list stands where a text belongs"}},
		{"member twice", head + "clients:\n  - name: a\n    name: b\n", []string{`a.yaml:4: "name" stands in line 3 already`}},
		{"client twice", head + "clients:\n  - name: a\n---\n" + head + "clients:\n  - name: b\n  - name: a\n", []string{`a.yaml:8: client "a" is declared at `, "a.yaml:3 already"}},
		{"API twice", head + "apis:\n  - identifier: https://a\n  - {identifier: https://a}\n", []string{`a.yaml:4: API "https://a" is declared at `}},
		{"client without name", head + "clients:\n  - owner: x\n", []string{"a.yaml:3: the client has no name"}},
		{"value in the file", head + "clients:\n  - name: a\n    secret:\n      value: hush-hush\n", []string{`a.yaml:5: unknown member "value": allowed are value_file, generate_file`}},
		{"two kinds of secret", head + "clients:\n  - name: a\n    secret: {value_file: a, generate_file: b}\n", []string{"a.yaml:4: secret: exactly one of"}},
		{"no such file", head + "clients:\n  - name: a\n    secret: {value_file: nowhere}\n", []string{"a.yaml:4: value_file: ", "nowhere"}},
		{"two secrets in one file", head + "clients:\n  - name: a\n    secret: {generate_file: x}\n  - name: b\n    secret: {generate_file: ./x}\n", []string{`a.yaml:6: generate_file: the secret of client "a" goes to`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{}`) })
			got := run(t, call{environ: f.environ(), args: []string{"apply", "-f", write(t, "a.yaml", tt.text, 0o600)}})
			if got.code != cli.ExitUsage || f.calls() != 0 {
				t.Errorf("%d calls, exit code %d", f.calls(), got.code)
			}
			for _, part := range tt.want {
				if !strings.Contains(got.errors, part) {
					t.Errorf("%s\ndoes not say %q", got.errors, part)
				}
			}
		})
	}
}

// Where nothing is named, or what is named cannot be read, the command says so.
func TestApplyRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"-f", "/nowhere"}, {"-f", t.TempDir()}, {"-f", "-"}, {"a.yaml"}} {
		if got := run(t, call{environ: []string{"COUNTERSIGN_ISSUER=https://x.example", "COUNTERSIGN_CLIENT_ID=cl_x", "COUNTERSIGN_CLIENT_SECRET=x"}, args: append([]string{"apply"}, args...)}); got.code != cli.ExitUsage {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// applier answers /apply with a plan that gives client "a" a secret, and takes down what it was asked.
type applier struct {
	asked []wire.ApplyBody
	value string
	fail  string // problem document for what is no dry run
}

func (s *applier) serve(w http.ResponseWriter, r *http.Request) {
	var body wire.ApplyBody
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &body); err != nil {
		answer(w, 400, fmt.Sprintf(problem, 400, err.Error(), "", ""))
		return
	}
	s.asked = append(s.asked, body)
	plan := wire.Plan{Digest: "d-1", Steps: []wire.PlanStep{
		{Verb: "add", Kind: "client", Name: "a", Fields: []wire.PlanField{{Name: "owner", After: "team"}}},
		{Verb: "change", Kind: "api", Name: "https://a", Fields: []wire.PlanField{{Name: "name", Before: "A", After: "B"}, {Name: "x", Before: "y"}}},
		{Verb: "remove", Kind: "grant", Name: "b → https://a"},
		{Verb: "add", Kind: "secret", Name: "a"},
	}}
	if !body.DryRun {
		if s.fail != "" {
			answer(w, 412, s.fail)
			return
		}
		plan.Applied = true
		plan.Secrets = []wire.MadeSecret{{Client: "cl_a", Name: "a", Secret: "sec_a", Value: s.value}}
	}
	made, _ := json.Marshal(plan)
	answer(w, 200, string(made))
}

const shown = `+ client a
    owner: team
~ api https://a
    name: A → B
    x: no longer y
- grant b → https://a
+ secret a
`

// Just the plan that was shown is carried out, once somebody says so, and the secret goes into its file.
func TestApply(t *testing.T) {
	server := &applier{value: "made-value"}
	f := newFake(t, server.serve)
	folder := t.TempDir()
	for name, text := range map[string]string{
		"2.yaml": head + "clients:\n  - name: b\n    secret: {value_file: sub/b.txt}\n",
		"1.yml":  head + "clients:\n  - name: a\n    secret: {generate_file: a.secret}\n---\n---\n" + head + "apis: [{identifier: https://a, name: A}]\n",
		"x.txt":  "not looked at",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(folder, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "sub", "b.txt"), []byte("brought\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "a.secret")

	got := run(t, call{environ: f.environ(), args: []string{"apply", "-f", folder, "--dry-run", "--prune"}})
	if got.code != 0 || got.out != shown || len(server.asked) != 1 || !server.asked[0].DryRun || !server.asked[0].Prune || exists(file) {
		t.Fatalf("dry run: %+v, asked %+v", got, server.asked)
	}
	want := []wire.ClientDecl{{Name: "a", Secret: &wire.SecretDecl{Generate: true}}, {Name: "b", Secret: &wire.SecretDecl{Value: "brought"}}}
	if diff := cmp.Diff(want, server.asked[0].Document.Clients); diff != "" {
		t.Error(diff)
	}
	for _, refused := range []call{{stdin: "y\n"}, {stdin: "n\n", interactive: true}} {
		refused.environ, refused.args = f.environ(), []string{"apply", "-f", folder}
		if got := run(t, refused); got.code != cli.ExitUsage || !strings.HasPrefix(got.out, shown) || exists(file) {
			t.Errorf("%+v", got)
		}
	}
	if server.asked[len(server.asked)-1].DryRun != true {
		t.Error("applied without a yes")
	}
	got = run(t, call{environ: f.environ(), args: []string{"apply", "-f", folder, "--yes"}})
	if last := server.asked[len(server.asked)-1]; got.code != 0 || last.DryRun || last.Digest != "d-1" || strings.Contains(got.out, "made-value") {
		t.Errorf("%+v, %+v", got, last)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "made-value\n" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	onlyFiles(t, folder, "1.yml", "2.yaml", "a.secret", "sub", "x.txt")
}

// onlyFiles checks that nothing else is in the folder.
func onlyFiles(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A plan that is no longer true changes nothing, and leaves nothing behind; nor does a file that cannot be written.
func TestApplyFails(t *testing.T) {
	server := &applier{value: "made-value", fail: fmt.Sprintf(problem, 412, "something else was changed meanwhile", "digest", "")}
	f := newFake(t, server.serve)
	file := write(t, "a.yaml", head+"clients:\n  - name: a\n    secret: {generate_file: a.secret}\n", 0o600)
	got := run(t, call{environ: f.environ(), args: []string{"apply", "-f", file, "--yes"}})
	if got.code != cli.ExitConflict || !strings.Contains(got.errors, "changed meanwhile") {
		t.Errorf("%+v", got)
	}
	onlyFiles(t, filepath.Dir(file), "a.yaml")

	server.asked = nil
	file = write(t, "a.yaml", head+"clients:\n  - name: a\n    secret: {generate_file: nowhere/a.secret}\n", 0o600)
	if got = run(t, call{environ: f.environ(), args: []string{"apply", "-f", file, "--yes"}}); got.code != cli.ExitUsage || len(server.asked) != 1 {
		t.Errorf("%+v, asked %d times", got, len(server.asked))
	}
}

// A made secret replaces one of earlier, and nothing else.
func TestApplyLeavesOtherFilesAlone(t *testing.T) {
	for held, code := range map[string]int{"": 0, "cs_secret_old\n": 0, "version: countersign/v1\n": cli.ExitUsage, "cs_secret_old of orders\n": cli.ExitUsage} {
		server := &applier{value: "made-value"}
		f := newFake(t, server.serve)
		file := write(t, "a.yaml", head+"clients:\n  - name: a\n    secret: {generate_file: a.secret}\n", 0o600)
		there := filepath.Join(filepath.Dir(file), "a.secret")
		if err := os.WriteFile(there, []byte(held), 0o600); err != nil {
			t.Fatal(err)
		}
		got := run(t, call{environ: f.environ(), args: []string{"apply", "-f", file, "--yes"}})
		want := "made-value\n"
		if code != 0 {
			want = held
		}
		text, err := os.ReadFile(there)
		if got.code != code || err != nil || string(text) != want || code != 0 && len(server.asked) != 1 {
			t.Errorf("%q: %+v, asked %d times, then it holds %q, %v", held, got, len(server.asked), text, err)
		}
		onlyFiles(t, filepath.Dir(file), "a.secret", "a.yaml")
	}
}

// What the server finds wrong is shown where it stands.
func TestApplyLocatesErrors(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 400, fmt.Sprintf(problem, 400, "several things are wrong", "", `{"pointer": "#/document/clients/1/grants/0/api", "detail": "no such API"}, {"pointer": "#/document/apis/0/missing", "detail": "is needed"}`))
	})
	folder := t.TempDir()
	for name, text := range map[string]string{
		"1.yaml": head + "clients:\n  - name: a\n",
		"2.yaml": head + "apis:\n  - identifier: https://a\nclients:\n  - name: b\n    grants:\n      - api: https://b\n        scopes: [x]\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := run(t, call{environ: f.environ(), args: []string{"apply", "-f", folder}})
	want := fmt.Sprintf("countersign: %[1]s/2.yaml:7: api \"https://b\": no such API\n%[1]s/2.yaml:3: missing: is needed\n", folder)
	if got.code != cli.ExitFailed || got.errors != want {
		t.Errorf("exit code %d: %s\nwant %s", got.code, got.errors, want)
	}
}
