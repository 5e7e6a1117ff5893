package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestAdminScripts runs the command lines of testdata/admin against one running system, side by side: each uses clients and APIs of its
// own. Beside the commands of TestScripts they have
//
//	capture NAME REGEXP     $NAME is what the first group of REGEXP finds in the last output
//	same FILE               the last output is what FILE shows, where ids, times and widths of columns do not count
//
// and $ISSUER, $ADMIN_URL and $ADMIN_SECRET of the system.
func TestAdminScripts(t *testing.T) {
	t.Parallel()
	runAdminScripts(t, startUp(t), "admin")
}

// TestAdminScriptsAlone runs those that reach into everything, such as the revocation of all tokens, each on a system of its own.
func TestAdminScriptsAlone(t *testing.T) {
	t.Parallel()
	runAdminScripts(t, startUp(t), "admin-alone")
}

func runAdminScripts(t *testing.T, s *system, folder string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", folder),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary())+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(s.command.Dir, configFolder))
			env.Setenv("ISSUER", s.Issuer)
			env.Setenv("ADMIN_URL", s.AdminURL)
			env.Setenv("DATA", s.Folder)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": scriptFails, "mode": scriptMode, "width": scriptWidth, "capture": scriptCapture, "same": scriptSame,
		},
		RequireExplicitExec: true,
	})
}

func scriptCapture(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	found := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("no group of %s is found", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func scriptSame(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: same FILE")
	}
	if diff := cmp.Diff(ts.ReadFile(args[0]), masked(ts.ReadFile("stdout"))); diff != "" {
		ts.Fatalf("%s", diff)
	}
}

// masked takes out of a table or list what differs from run to run.
func masked(text string) string {
	for _, mask := range []struct{ pattern, with string }{
		{`\b(cl|api|sec|key|evt|iss)_[0-9A-Za-z]{22}\b`, "${1}_ID"},
		{`\bcs_secret_[0-9A-Za-z]{49}\b`, "SECRET"},
		{`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\b\d+[smh] ago|\bjust now`, "AGO"},
		{`\bin \d+[smhd]\b`, "LATER"},
		{`…\S{4}\b`, "…HINT"},
		{` {2,}`, "  "},
		{`(?m)^\d+  TIME`, "NUMBER  TIME"},
		{` +\n`, "\n"},
	} {
		text = regexp.MustCompile(mask.pattern).ReplaceAllString(text, mask.with)
	}
	return strings.ReplaceAll(text, "\t", "  ")
}
