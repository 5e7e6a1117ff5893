package server_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test

// golden compares an answer, status, the headers that matter and body, with the test's file.
func golden(t *testing.T, got answer) {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "%d\n", got.status)
	for _, name := range []string{"Allow", "Cache-Control", "Content-Type", "Retry-After", "WWW-Authenticate"} {
		for _, value := range got.header.Values(name) {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&text, "\n%s", got.body)
	name := filepath.Join("testdata", regexp.MustCompile(`[^A-Za-z0-9/]+`).ReplaceAllString(t.Name(), "_")+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text.String() {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
}
