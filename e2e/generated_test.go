package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A client that a generator makes from the OpenAPI document works. Generators read version 3.0 of it.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	document, err := get(t.Context(), s.AdminURL+"/admin/v1/openapi-3.0.json")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "generated"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "admin"), 0o700); err != nil {
		t.Fatal(err)
	}
	input, output := filepath.Join(folder, "openapi.json"), filepath.Join(folder, "admin", "admin.go")
	if err := os.WriteFile(input, document.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	generate := exec.CommandContext(t.Context(), "go", "-C", filepath.Join("..", "tools"), "tool", "oapi-codegen",
		"-generate", "types,client", "-package", "admin", "-o", output, input)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("oapi-codegen: %v\n%s", err, out)
	}
	bearer := token(t, s.Issuer, s.client("admin"), url.Values{"resource": {"urn:countersign:admin"}})
	run := exec.CommandContext(t.Context(), "go", "run", ".", s.AdminURL+"/admin/v1", s.Issuer+"/oauth2/token")
	run.Dir, run.Env = folder, append(os.Environ(), "ACCESS_TOKEN="+bearer, "GOFLAGS=-mod=mod")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
