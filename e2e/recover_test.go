package e2e

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/privatefile"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// firstLine is what `countersign server` prints at the first start on a database.
var firstLine = regexp.MustCompile(`(?m)^countersign: bootstrap admin: client_id (\S+) client_secret (\S+) `)

// adminToken returns an access token for the admin API, which must hold every scope.
func adminToken(t *testing.T, issuer string, c credential) string {
	t.Helper()
	got, err := askToken(t.Context(), issuer, c, url.Values{"resource": {auth.AdminAPI}})
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{auth.ScopeClientsWrite, auth.ScopeKeysWrite, auth.ScopeSecretsOwn} {
		if !strings.Contains(" "+got.Text("scope")+" ", " "+scope+" ") {
			t.Fatalf("no token with %s: %d %s", scope, got.Status, got.Body)
		}
	}
	return got.Text("access_token")
}

// A company that has lost its administrator's secret gets in again while its servers run.
func TestRecoverAdmin(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T, string) string{
		"SQLite":  func(_ *testing.T, folder string) string { return "sqlite:" + filepath.Join(folder, "countersign.db") },
		"MariaDB": func(t *testing.T, _ string) string { t.Helper(); return testbed.MariaDB(t).New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			run(t, folder, 0, nil, "master-key", "create", "master.key")
			environ := []string{"COUNTERSIGN_DATABASE=" + database(t, folder), "COUNTERSIGN_MASTER_KEY_FILE=" + filepath.Join(folder, "master.key")}
			server := startServer(t, settingsOf(environ)...)
			found := firstLine.FindStringSubmatch(server.out.String())
			if found == nil {
				t.Fatalf("no first administrator is printed:\n%s", server.out)
			}
			first := credential{ID: found[1], Secret: found[2]}
			adminToken(t, server.Issuer, first)

			fresh := recovered(t, run(t, folder, 0, environ, "admin", "recover"))
			adminToken(t, server.Issuer, fresh)
			same := recovered(t, run(t, folder, 0, environ, "admin", "recover", "--client", "admin"))
			if same.ID != first.ID || same.Secret == first.Secret {
				t.Errorf("recovered %s, want a further secret of %s", same.ID, first.ID)
			}
			adminToken(t, server.Issuer, same)
			adminToken(t, server.Issuer, first)
			if byID := recovered(t, run(t, folder, 0, environ, "admin", "recover", "--client", fresh.ID)); byID.ID != fresh.ID {
				t.Errorf("recovered %s, want %s", byID.ID, fresh.ID)
			}
			if server.Stop(t); strings.Contains(server.out.String(), fresh.Secret) {
				t.Error("the server's output holds a recovered secret")
			}
			if server.Start(t); firstLine.MatchString(server.out.String()) {
				t.Error("a later start made another administrator")
			}
		})
	}
}

func TestRecoverRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	run(t, folder, 0, nil, "master-key", "create", "master.key")
	run(t, folder, 0, nil, "master-key", "create", "other.key")
	run(t, folder, 1, nil, "admin", "recover") // no database, and none is made
	server := startServer(t, "database=sqlite:"+filepath.Join(folder, "countersign.db"), "master-key-file="+filepath.Join(folder, "master.key"))
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no master key":       {[]string{"--master-key-file", "nowhere.key"}, 1, "nowhere.key"},
		"another master key":  {[]string{"--master-key-file", "other.key"}, 1, "not the one of this database"},
		"no such client":      {[]string{"--client", "nobody"}, 1, "nobody"},
		"no such id":          {[]string{"--client", auth.ClientID{}.String()}, 1, auth.ClientID{}.String()},
		"client without name": {[]string{"--client", ""}, 2, "--client"},
		"superfluous":         {[]string{"admin"}, 2, "countersign admin recover"},
	} {
		t.Run(name, func(t *testing.T) {
			if printed := run(t, folder, tt.code, nil, append([]string{"admin", "recover"}, tt.args...)...); !strings.Contains(printed, tt.want) {
				t.Errorf("%q is not said: %s", tt.want, printed)
			} else if strings.Contains(printed, "cs_secret_") {
				t.Error("a secret is printed")
			}
		})
	}
	server.Stop(t)
}

// run runs the binary until its end and returns what it printed.
func run(t *testing.T, folder string, code int, environ []string, args ...string) string {
	t.Helper()
	p := startProgram(t, folder, environ, args...)
	if got := p.Exit(t, endWithin); got != code {
		t.Fatalf("%v: exit code %d, want %d: %s", args, got, code, p.out)
	}
	return p.out.String()
}

// recovered reads what `admin recover` prints.
func recovered(t *testing.T, printed string) credential {
	t.Helper()
	found := regexp.MustCompile(`(?m)^client_id +(\S+)\nclient_secret +(\S+)$`).FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("no credentials are printed: %s", printed)
	}
	return credential{ID: found[1], Secret: found[2]}
}

// settingsOf turns variables of the environment into what startServer takes.
func settingsOf(environ []string) (settings []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(strings.TrimPrefix(entry, "COUNTERSIGN_"), "=")
		settings = append(settings, strings.ToLower(name)+"="+value)
	}
	return settings
}

// The value that one may put into the file of the bootstrap setting is one that a server takes for its own.
func TestSecretValue(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, second := run(t, folder, 0, nil, "admin", "secret-value"), run(t, folder, 0, nil, "admin", "secret-value")
	if value := auth.PresentedSecret(strings.TrimSuffix(first, "\n")); !value.WellFormed() || first == second {
		t.Error("no fresh secret is printed")
	}
	if err := privatefile.Write(filepath.Join(folder, "admin-secret"), []byte(first)); err != nil {
		t.Fatal(err)
	}
	run(t, folder, 0, nil, "master-key", "create", "master.key")
	server := startServer(t, "database=sqlite:"+filepath.Join(folder, "countersign.db"), "master-key-file="+filepath.Join(folder, "master.key"),
		"bootstrap-admin-secret-file="+filepath.Join(folder, "admin-secret"))
	id := regexp.MustCompile(`"client_id":"(cl_\w+)"`).FindStringSubmatch(server.out.String())
	if id == nil {
		t.Fatalf("the log does not name the administrator:\n%s", server.out)
	}
	adminToken(t, server.Issuer, credential{ID: id[1], Secret: strings.TrimSuffix(first, "\n")})
	if strings.Contains(server.out.String(), "cs_secret_") {
		t.Error("the secret is printed although it was given")
	}
}
