package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Scripts go by the exit code of `gateway explain`, and by nothing but JSON on standard output.
func TestExplainExits(t *testing.T) {
	file := t.TempDir() + "/gateway.yaml"
	text := "listeners: [{name: entry, address: \"127.0.0.1:0\"}]\npools: {p: {targets: [{url: \"127.0.0.1:1\"}]}}\n" +
		"routes: [{name: r, match: {prefix: /a, methods: [GET]}, authentication: none, pool: p}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"let in", []string{"GET", "/a/b", "-o", "json"}, 0, `"status": 200`},
		{"refused", []string{"POST", "https://any.test/a", "--output=json"}, 1, `"allow": "GET, HEAD"`},
		{"in words", []string{"POST", "/a"}, 1, "405 Method Not Allowed"},
		{"no URL", []string{"GET", "a"}, 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := append([]string{"countersign", "gateway", "explain", "--config", file}, tt.args...)
			code := run(t.Context(), environment{args: args, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr})
			if code != tt.code || !strings.Contains(stdout.String(), tt.says) || (code == 0) != (stderr.Len() == 0) {
				t.Errorf("exit code %d, want %d:\n%s%s", code, tt.code, &stdout, &stderr)
			}
		})
	}
}
