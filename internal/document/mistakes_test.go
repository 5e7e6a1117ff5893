package document_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/document"
)

func TestDecode_TellsMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"no duration", "routes:\n- pool: a\n- pool: b\n  timeouts:\n    response: soon", `gateway.yaml:5: routes[1].timeouts.response: "soon" is no duration: want one such as 1s or 500ms`},
		{"a duration without a unit", `health: {interval: 5}`, `gateway.yaml:1: health.interval: "5" is no duration: want one such as 1s or 500ms`},
		{"a negative duration", `health: {interval: -5s}`, `gateway.yaml:1: health.interval: "-5s" is no duration: want one such as 1s or 500ms`},
		{"a duration too long for the program", `health: {interval: 9999999h}`, `gateway.yaml:1: health.interval: "9999999h" is no duration: want one such as 1s or 500ms`},
		{"too short a duration", `routes: [{pool: a, timeouts: {response: 0s}}]`, `gateway.yaml:1: routes[0].timeouts.response: "0s" is too small: the least is 1ms`},
		{"too long a duration", `routes: [{pool: a, timeouts: {response: 2h}}]`, `gateway.yaml:1: routes[0].timeouts.response: "2h" is too large: the most is 1h`},
		{"no size", `routes: [{pool: a, body: 10MB}]`, `gateway.yaml:1: routes[0].body: "10MB" is no size: want a number of bytes, or a text such as 64KiB or 10MiB`},
		{"a size too large for the program", `nested: {a: [9999999999999GiB]}`, `gateway.yaml:1: nested.a[0]: "9999999999999GiB" is no size: want a number of bytes, or a text such as 64KiB or 10MiB`},
		{"too small a size", `routes: [{pool: a, body: 1023}]`, `gateway.yaml:1: routes[0].body: "1023" is too small: the least is 1KiB`},
		{"a number for a text", `listen: 8080`, `gateway.yaml:1: listen: "8080" is not a text: put it in quotes`},
		{"a boolean for a text", `listen: true`, `gateway.yaml:1: listen: "true" is not a text: put it in quotes`},
		{"none of the allowed texts", `routes: [{pool: a, mode: lax}]`, `gateway.yaml:1: routes[0].mode: "lax" is not allowed: want one of strict, available`},
		{"none of the allowed items", `routes: [{pool: a, methods: [GET, get]}]`, `gateway.yaml:1: routes[0].methods[1]: "get" is not allowed: want one of GET, HEAD, POST`},
		{"no boolean", `routes: [{pool: a, retry: yes}]`, `gateway.yaml:1: routes[0].retry: "yes" is neither true nor false`},
		{"a boolean in quotes", `routes: [{pool: a, retry: "true"}]`, `gateway.yaml:1: routes[0].retry: "true" is a text: remove the quotes`},
		{"no whole number", `pin: 1.5`, `gateway.yaml:1: pin: the value is no whole number`},
		{"a number in quotes", `limits: {a: "5"}`, `gateway.yaml:1: limits.a: "5" is a text: remove the quotes`},
		{"a number that parsers disagree on", `limits: {a: 0644, b: 0x10, c: 1_000}`, `gateway.yaml:1: limits.a: "0644" is no whole number` + "\n" +
			`gateway.yaml:1: limits.b: "0x10" is no whole number` + "\n" + `gateway.yaml:1: limits.c: "1_000" is no whole number`},
		{"too small a number", `limits: {a: 0}`, `gateway.yaml:1: limits.a: "0" is too small: the least is 1`},
		{"too large a number", `pools: {a: {targets: [{url: x, weight: 101}]}}`, `gateway.yaml:1: pools.a.targets[0].weight: "101" is too large: the most is 100`},
		{"a number that does not fit", `pools: {a: {targets: [{url: x}], port: 65536}}`, `gateway.yaml:1: pools.a.port: "65536" is no whole number from 0 to 65535`},
		{"a negative number", `pools: {a: {targets: [{url: x}], port: -1}}`, `gateway.yaml:1: pools.a.port: "-1" is no whole number from 0 to 65535`},
		{"no number", `pools: {a: {targets: [{url: x}], ratio: .inf}}`, `gateway.yaml:1: pools.a.ratio: ".inf" is no number`},
		{"too large a float", `pools: {a: {targets: [{url: x}], ratio: 1.1}}`, `gateway.yaml:1: pools.a.ratio: "1.1" is too large: the most is 1`},
		{"what its type refuses", `trusted: [10.0.0.0]`, `gateway.yaml:1: trusted[0]: "10.0.0.0" does not fit: netip.ParsePrefix("10.0.0.0"): no '/'`},
		{"a secret that is not allowed", `key: hunter2`, `gateway.yaml:1: key: the value is not allowed: want one of open, sesame`},
		{"a secret that is too large", `pin: 12345`, `gateway.yaml:1: pin: the value is too large: the most is 9999`},
		{"a secret that its type refuses", `proof: hunter2`, `gateway.yaml:1: proof: the value does not fit`},
		{"an unknown member", "routes:\n- pool: a\n  colour: red", `gateway.yaml:3: routes[0]: unknown member "colour": allowed are pool, methods, mode, timeouts, retry, body`},
		{"a misspelt member", "health: {intervall: 1s}", `gateway.yaml:1: health: unknown member "intervall" (did you mean "interval"?): allowed are path, interval`},
		{"a member in another case", "{Path: /}\n", `gateway.yaml:1: unknown member "Path": allowed are listen, routes, pools, health, admin, trusted, labels, key, pin, proof, codes, limits, nested`},
		{"a missing member", "routes:\n- mode: strict", "gateway.yaml:2: routes[0]: \"pool\" is missing"},
		{"an empty member", "routes: [{pool: \"\"}]\npools: {a: {targets: []}}", "gateway.yaml:1: routes[0].pool: must not be empty\ngateway.yaml:2: pools.a.targets: must not be empty"},
		{"a member twice", "listen: a\nhealth: {}\nlisten: b", `gateway.yaml:3: "listen" stands in line 1 already`},
		{"an entry of a map twice", "labels:\n  a: b\n  a: c", `gateway.yaml:3: labels: "a" stands in line 2 already`},
		{"a list for a mapping", "health: []", `gateway.yaml:1: health: a list stands where a mapping belongs`},
		{"a list for a map", "pools: []", `gateway.yaml:1: pools: a list stands where a mapping by name belongs`},
		{"a mapping for a list", "routes: {}", `gateway.yaml:1: routes: a mapping stands where a list belongs`},
		{"a list for a duration", "health: {interval: []}", `gateway.yaml:1: health.interval: a list stands where a duration such as 1s or 500ms belongs`},
		{"a plain value for a list", "routes: none", `gateway.yaml:1: routes: "none" stands where a list belongs`},
		{"a secret for a list", "codes: hunter2", `gateway.yaml:1: codes: the value stands where a list belongs`},
		{"nothing", "health:\n  path:\nadmin:\nroutes: ~", "gateway.yaml:2: health.path: nothing stands where a text belongs\n" +
			"gateway.yaml:3: admin: nothing stands where a mapping belongs\ngateway.yaml:4: routes: nothing stands where a list belongs"},
		{"a tag", "listen: !!binary aGk=\nhealth: !mine {}", `gateway.yaml:1: listen: a value with the tag "!!binary" stands where a text belongs` + "\n" +
			`gateway.yaml:2: health: a value with the tag "!mine" stands where a mapping belongs`},
		{"a name that is none", "labels: {[a]: b}", `gateway.yaml:1: labels: a name must be a text`},
		{"a name of control characters", `labels: {"a\nb": c}`, `gateway.yaml:1: labels: name "a\nb" must have 1 to 256 characters, and no control characters`},
		{"an empty name", `labels: {"": c}`, `gateway.yaml:1: labels: name "" must have 1 to 256 characters, and no control characters`},
		{"a merge of no mapping", `labels: {<<: a}`, `gateway.yaml:1: labels: a plain value stands where the mapping to merge belongs`},
		{"a list of documents", "- a", `gateway.yaml:1: a list stands where a mapping belongs`},
		{"a plain document", "a", `gateway.yaml:1: "a" stands where a mapping belongs`},
		{"mistakes in the order of their lines", "health: {path: 1}\nroutes: [{}]\nlisten: 2", "gateway.yaml:1: health.path: \"1\" is not a text: put it in quotes\n" +
			"gateway.yaml:2: routes[0]: \"pool\" is missing\ngateway.yaml:3: listen: \"2\" is not a text: put it in quotes"},
		{"a long value", "trusted: [" + strings.Repeat("ä", 60) + "]", `gateway.yaml:1: trusted[0]: "` + strings.Repeat("ä", 50) + `…" does not fit: netip.ParsePrefix("` + strings.Repeat("ä", 40) + "…"},
		{"no document", "", "gateway.yaml: the document is empty"},
		{"a document of comments", "# nothing\n", "gateway.yaml: the document is empty"},
		{"two documents", "listen: a\n---\nlisten: b", "gateway.yaml:2: a second document begins: want one only"},
		{"no YAML", "listen: a\nroutes: [", "gateway.yaml:2: did not find expected node content"},
		{"a tab", "health:\n  path: /a\n\tmode: b", "gateway.yaml:3: a tab indents this line: YAML wants blanks"},
		{"a tab where a mapping begins", "health:\n\tpath: /a", "gateway.yaml:2: a tab indents this line: YAML wants blanks"},
		{"a tab after blanks", "routes:\n- pool: a\n \tmode: b", "gateway.yaml:3: a tab indents this line: YAML wants blanks"},
		{"no YAML in a second document", "listen: a\n---\nroutes: [", "gateway.yaml:3: did not find expected node content"},
		{"an unknown anchor", "listen: *a", "gateway.yaml: unknown anchor 'a' referenced"},
		{"no UTF-8", "listen: a\nkey: \xff", "gateway.yaml:2: the text is not UTF-8"},
		{"too large a document", "#" + strings.Repeat(" ", 1<<20), "gateway.yaml: a document has at most 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got config
			source, err := document.Decode("gateway.yaml", []byte(tt.text), &got)
			if err == nil || source != nil {
				t.Fatalf("accepted: %+v", got)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestDecode_PanicsOnMistakesOfTheProgram(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{
		"a type without a place": &struct {
			Any any `yaml:"any"`
		}{},
		"a default that does not fit": &struct {
			Size document.Size `yaml:"size" default:"much"`
		}{},
		"a default that is no YAML": &struct {
			List []string `yaml:"list" default:"["`
		}{},
		"a default beyond a bound": &struct {
			Number int `yaml:"number" default:"1" min:"2"`
		}{},
		"a bound of another kind": &struct {
			Number int `yaml:"number" default:"1" max:"1s"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, err := document.Decode("lb.yaml", []byte("{any: 1}"), into)
			t.Errorf("decoded: %v", err)
		})
	}
}
