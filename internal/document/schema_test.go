package document_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/internal/document"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag of the test

func TestSchema_Golden(t *testing.T) {
	t.Parallel()
	got, err := document.Schema(&config{}, "A document of every kind of member")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/schema.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	again, err := document.Schema(config{}, "A document of every kind of member")
	if err != nil || !bytes.Equal(got, want) || !bytes.Equal(got, again) {
		t.Errorf("differs from %s, or from time to time (%v):\n%s", golden, err, got)
	}
}

// A schema is worth something if it says of a document what Decode says.
func TestSchema_JudgesLikeDecode(t *testing.T) {
	t.Parallel()
	schema := resolved(t, config{})
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{`{}`, true},
		{`{listen: a, routes: [{pool: a}], health: {path: /, interval: 1m30s}, labels: {a.b: c}}`, true},
		{`{routes: [{pool: a, methods: [GET], mode: strict, body: 64KiB, retry: true}, {pool: b, body: 2048, methods: []}]}`, true},
		{`{pools: {a: {targets: [{url: x, weight: 3, backup: true}], ratio: 0.5, port: 65535}}, admin: {}}`, true},
		{`{limits: {a: 1}, nested: {a: [1KiB, 5, 7B]}, trusted: ["::1/128"], key: open, pin: 1}`, true},
		{`{routes: [{pool: a, timeouts: {response: 0.5h, idle: 0s}}]}`, true},
		{`[]`, false},
		{`{colour: red}`, false},
		{`{health: {colour: red}}`, false},
		{`{listen: 1}`, false},
		{`{listen: null}`, false},
		{`{admin: null}`, false},
		{`{routes: null}`, false},
		{`{routes: {}}`, false},
		{`{routes: [{}]}`, false},
		{`{routes: [{pool: ""}]}`, false},
		{`{routes: [{pool: a, mode: lax}]}`, false},
		{`{routes: [{pool: a, methods: [PUT]}]}`, false},
		{`{routes: [{pool: a, retry: "true"}]}`, false},
		{`{routes: [{pool: a, body: 64KB}]}`, false},
		{`{routes: [{pool: a, body: 1.5}]}`, false},
		{`{routes: [{pool: a, body: -1}]}`, false},
		{`{routes: [{pool: a, body: 2}]}`, false},
		{`{routes: [{pool: a, timeouts: {idle: 5}}]}`, false},
		{`{routes: [{pool: a, timeouts: {idle: soon}}]}`, false},
		{`{routes: [{pool: a, timeouts: {idle: -1s}}]}`, false},
		{`{pools: {a: {}}}`, false},
		{`{pools: {a: {targets: []}}}`, false},
		{`{pools: {a: {targets: [{url: x}], port: 65536}}}`, false},
		{`{pools: {a: {targets: [{url: x}], port: 0}}}`, false},
		{`{pools: {a: {targets: [{url: x}], ratio: 1.1}}}`, false},
		{`{pools: {a: {targets: [{url: x, weight: 101}]}}}`, false},
		{`{labels: {"": a}}`, false},
		{`{labels: {"a\tb": a}}`, false},
		{`{labels: {a: 1}}`, false},
		{`{limits: {a: 0}}`, false},
		{`{limits: {a: 1.5}}`, false},
		{`{key: hunter2}`, false},
		{`{trusted: [1]}`, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			var into config
			if _, err := document.Decode("lb.yaml", []byte(tt.text), &into); err == nil != tt.ok {
				t.Errorf("Decode says %v", err)
			}
			if err := schema.Validate(instance(t, tt.text)); err == nil != tt.ok {
				t.Errorf("the schema says %v", err)
			}
		})
	}
}

// A struct must be given if it has a member that must.
func TestSchema_RequiresWhatDecodeDoes(t *testing.T) {
	t.Parallel()
	type outer struct {
		First struct {
			Target target `yaml:"target"`
		} `yaml:"first"`
		Second *target `yaml:"second"`
	}
	schema := resolved(t, outer{})
	for text, want := range map[string]string{
		`{}`:                                `lb.yaml:1: "first" is missing`,
		`{first: {}}`:                       `lb.yaml:1: first: "target" is missing`,
		`{first: {target: {url: x}}}`:       ``,
		`{first: {target: {backup: true}}}`: `lb.yaml:1: first.target: "url" is missing`,
	} {
		var into outer
		_, err := document.Decode("lb.yaml", []byte(text), &into)
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%s: Decode says %v, want %s", text, err, want)
		}
		if err := schema.Validate(instance(t, text)); err == nil != (want == "") {
			t.Errorf("%s: the schema says %v", text, err)
		}
	}
}

// Structs of one name, and one that holds itself.
func TestSchema_Definitions(t *testing.T) {
	t.Parallel()
	type health struct {
		Deep string `yaml:"deep"`
	}
	type tree struct {
		Ours     health   `yaml:"ours"`
		Again    health   `yaml:"again"`
		Theirs   absentee `yaml:"theirs"`
		Children []branch `yaml:"children"`
	}
	schema := resolved(t, tree{})
	for text, ok := range map[string]bool{
		`{ours: {deep: a}, theirs: {one: {path: /}, two: {interval: 1s}}}`: true,
		`{children: [{children: [{children: []}]}]}`:                       true,
		`{children: [{children: [{children: [1]}]}]}`:                      false,
		`{again: {path: a}}`:         false,
		`{theirs: {two: {deep: a}}}`: false,
	} {
		var into tree
		if _, err := document.Decode("lb.yaml", []byte(text), &into); err == nil != ok {
			t.Errorf("%s: Decode says %v", text, err)
		}
		if err := schema.Validate(instance(t, text)); err == nil != ok {
			t.Errorf("%s: the schema says %v", text, err)
		}
	}
}

type absentee struct {
	One health `yaml:"one"`
	Two health `yaml:"two"`
}

type branch struct {
	Children []branch `yaml:"children"`
}

func resolved(t *testing.T, of any) *jsonschema.Resolved {
	t.Helper()
	text, err := document.Schema(of, "A title")
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	ready, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

// instance is a document as editors see it.
func instance(t *testing.T, text string) (value any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}
