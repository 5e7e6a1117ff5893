package drill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestByLabel(t *testing.T) {
	text := strings.Join([]string{
		`# HELP requests_total Requests.`,
		`requests_total{pool="issuer",upstream="a",code="2xx"} 10`,
		`requests_total{pool="issuer",upstream="a",code="5xx"} 1`,
		`requests_total{pool="issuer",upstream="b",code="2xx"} 1.2e+01`,
		`requests_total{pool="admin",upstream="a",code="2xx"} 100`,
		`requests_total_other{pool="issuer",upstream="a"} 1000`,
		`plain 3`,
	}, "\n")
	if diff := cmp.Diff(map[string]int{"a": 11, "b": 12}, byLabel(text, "requests_total", "upstream", `pool="issuer"`)); diff != "" {
		t.Error(diff)
	}
	if got := byLabel(text, "requests_total", "")[""]; got != 123 {
		t.Errorf("%d in all", got)
	}
	if got := byLabel(text, "plain", "")[""]; got != 3 {
		t.Errorf("%d without labels", got)
	}
}

func TestTokenRequestsInAnAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth-1.log")
	lines := `{"time":"2026-11-28T10:00:00Z","msg":"request","route":"/oauth2/token","client_id":"cl_early"}
{"time":"2026-11-28T10:00:05Z","msg":"request","route":"/oauth2/token","client_id":"cl_a"}
{"time":"2026-11-28T10:00:06Z","msg":"request","route":"/oauth2/introspect","client_id":"cl_a"}
what a part says beside its log
{"time":"2026-11-28T10:00:07Z","msg":"request","route":"/oauth2/token","client_id":"cl_a"}
{"time":"2026-11-28T10:00:30Z","msg":"request","route":"/oauth2/token","client_id":"cl_late"}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 28, 10, 0, 1, 0, time.UTC)
	got := map[string]int{}
	if err := countTokens(path, from, from.Add(10*time.Second), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"cl_a": 2}, got); diff != "" {
		t.Error(diff)
	}
}
