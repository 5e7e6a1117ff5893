package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// TestStrongAuthenticationPage runs every command of docs/strong-authentication.md, in its order, in one shell, and compares with what the page
// says is printed.
func TestStrongAuthenticationPage(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq", "openssl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the page takes %s: %v", tool, err)
		}
	}
	var ports []string
	for _, port := range []string{"9443", "9444", "8443", "8444", "7003"} {
		ports = append(ports, port, strconv.Itoa(testbed.FreePort(t)))
	}
	runPage(t, "strong-authentication.md", t.TempDir(), strings.NewReplacer(ports...))
}
