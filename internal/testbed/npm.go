package testbed

import (
	"os"
	"os/exec"
	"testing"
)

// NPMInstall copies a folder with a package.json, installs what its lock file pins, and returns the copy, which is removed with the test.
func NPMInstall(tb testing.TB, source string) (folder string) {
	tb.Helper()
	folder = tb.TempDir()
	if err := os.CopyFS(folder, os.DirFS(source)); err != nil {
		tb.Fatal(err)
	}
	install := exec.CommandContext(tb.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = folder
	if printed, err := install.CombinedOutput(); err != nil {
		tb.Fatalf("npm ci: %v\n%s", err, printed)
	}
	return folder
}
