package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// lintersNode is the oldest release of Node on which the linter runs.
const lintersNode = 20

func TestOpenAPIDocumentPassesLinter(t *testing.T) {
	t.Parallel()
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(version)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < lintersNode {
		t.Skipf("the linter needs Node %d, this is %s", lintersNode, version)
	}
	document, err := get(t.Context(), startUp(t).AdminURL+"/admin/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	folder := testbed.NPMInstall(t, "openapi")
	if err := os.WriteFile(filepath.Join(folder, "openapi.json"), document.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	lint := exec.CommandContext(t.Context(), "npx", "--no-install", "redocly", "lint", "--config", "redocly.yaml", "--max-problems", "1000", "openapi.json")
	lint.Dir = folder
	lint.Env = append(os.Environ(), "CI=true", "REDOCLY_TELEMETRY=off")
	printed, err := lint.CombinedOutput()
	if err != nil || strings.Contains(string(printed), "Warning was generated") {
		t.Errorf("redocly lint: %v\n%s", err, printed)
	}
}
