package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/cli"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const example = "https://auth.example.com"

func profile(secret string) cli.Profile {
	return cli.Profile{Issuer: example, AdminURL: "https://admin.example.com", ClientID: "cl_x", SecretFile: secret}
}

// The first profile becomes the current one, a later one does not, and the file is for its owner alone.
func TestWriteProfile(t *testing.T) {
	home := t.TempDir()
	environ := []string{"HOME=" + home}
	file := filepath.Join(home, ".config", "countersign", "profiles.yaml")
	for _, name := range []string{"first", "second", "first"} {
		if err := cli.WriteProfile(environ, name, profile("/run/secret")); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `current: first
profiles:
  first:
    issuer: https://auth.example.com
    admin_url: https://admin.example.com
    client_id: cl_x
    client_secret_file: /run/secret
  second:
    issuer: https://auth.example.com
    admin_url: https://admin.example.com
    client_id: cl_x
    client_secret_file: /run/secret
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	elsewhere := t.TempDir()
	if err := cli.WriteProfile(append(environ, "XDG_CONFIG_HOME="+elsewhere), "up", cli.Profile{Bootstrap: "/data/bootstrap.json"}); err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(elsewhere, "countersign", "profiles.yaml")) {
		t.Error("XDG_CONFIG_HOME is not minded")
	}
}

func TestWriteProfileRefuses(t *testing.T) {
	for name, p := range map[string]cli.Profile{
		"nothing":              {},
		"relative secret":      profile("secret"),
		"relative bootstrap":   {Bootstrap: "bootstrap.json"},
		"bootstrap and more":   {Bootstrap: "/bootstrap.json", ClientID: "cl_x"},
		"plain http":           {Issuer: "http://auth.example.com", AdminURL: example, ClientID: "cl_x", SecretFile: "/s"},
		"plain http for admin": {Issuer: example, AdminURL: "http://10.0.0.1", ClientID: "cl_x", SecretFile: "/s"},
		"URL with a password":  {Issuer: "https://u:hush-hush@auth.example.com", AdminURL: example, ClientID: "cl_x", SecretFile: "/s"},
		"unknown method":       {Issuer: example, AdminURL: example, ClientID: "cl_x", SecretFile: "/s", AuthMethod: "private_key_jwt"},
		"name of a client":     {Issuer: example, AdminURL: example, ClientID: "orders", SecretFile: "/s"},
		"name/with slash":      profile("/s"),
	} {
		if err := cli.WriteProfile([]string{"HOME=" + t.TempDir()}, strings.ReplaceAll(name, " ", "-"), p); err == nil || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := cli.WriteProfile(nil, "x", profile("/s")); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("without a home folder: %v", err)
	}
}

// Which system a command speaks to, and as whom.
func TestChoice(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"items": []}`) })
	secret := write(t, "secret", "hush-hush\n", 0o600)
	home := t.TempDir()
	environ := []string{"HOME=" + home}
	add := func(name string, p cli.Profile) {
		t.Helper()
		if err := cli.WriteProfile(environ, name, p); err != nil {
			t.Fatal(err)
		}
	}
	bootstrap := write(t, "bootstrap.json", `{"issuer": "`+f.URL+`", "admin_url": "`+f.URL+`", "clients": {"admin": {"client_id": "cl_boot", "client_secret": "hush-hush", "resource": "urn:countersign:admin"}}}`, 0o600)
	add("one", cli.Profile{Issuer: f.URL, AdminURL: f.URL, ClientID: "cl_one", SecretFile: secret})
	add("boot", cli.Profile{Bootstrap: bootstrap})
	add("gone", cli.Profile{Bootstrap: "/nowhere/bootstrap.json"})
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		who     string // client_id that asks; empty: refused
		want    string
	}{
		{name: "current", who: "cl_one"},
		{name: "flag", args: []string{"--profile", "boot"}, who: "cl_boot"},
		{name: "variable", environ: []string{"COUNTERSIGN_PROFILE=boot"}, who: "cl_boot"},
		{name: "flag over variable", environ: []string{"COUNTERSIGN_PROFILE=boot"}, args: []string{"--profile", "one"}, who: "cl_one"},
		{name: "flag over another issuer in the environment", environ: []string{"COUNTERSIGN_ISSUER=https://elsewhere.example"}, args: []string{"--profile", "one"}, who: "cl_one"},
		{name: "another client", args: []string{"--client-id", "cl_other", "--client-secret-file", secret}, who: "cl_other"},
		{name: "without a profile", args: []string{"--issuer", f.URL, "--admin-url", f.URL, "--client-id", "cl_other", "--client-secret-file", secret}, who: "cl_other"},
		{name: "no such profile", args: []string{"--profile", "two"}, want: "allowed is boot, gone, one"},
		{name: "system that is gone", args: []string{"--profile", "gone"}, want: "countersign up"},
		{name: "profile's secret for another issuer", args: []string{"--issuer", "https://elsewhere.example", "--admin-url", f.URL}, want: "--client-id"},
		{name: "two targets", args: []string{"--issuer", f.URL, "--profile", "one"}, want: "--profile goes without"},
		{name: "admin URL alone", args: []string{"--admin-url", f.URL}, want: "--issuer"},
		{name: "plain http", args: []string{"--issuer", f.URL, "--admin-url", "http://192.0.2.1", "--client-id", "cl_x", "--client-secret-file", secret}, want: "loopback"},
		{name: "no time", args: []string{"--request-timeout", "0s"}, want: "above zero"},
		{name: "client without secret", args: []string{"--client-id", "cl_other"}, want: "--client-secret-file"},
		{name: "secret without client", args: []string{"--client-secret-file", secret}, want: "--client-id"},
		{name: "name of a client", args: []string{"--client-id", "orders", "--client-secret-file", secret}, want: "the client's id"},
		{name: "secret in the command line", args: []string{"--client-id", "x", "--client-secret", "y"}, want: "everybody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, call{environ: append(environ, tt.environ...), args: append([]string{"whoami"}, tt.args...)})
			if tt.who == "" {
				if got.code != cli.ExitUsage || !strings.Contains(got.errors, tt.want) {
					t.Errorf("%+v, want %q", got, tt.want)
				}
			} else if got.code != 0 || !strings.Contains(got.out, tt.who) {
				t.Errorf("%+v, want %s", got, tt.who)
			}
		})
	}
}

// A file that others can read or change is refused, with the line that mends it; so is one with members that do not exist.
func TestProfilesFile(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"readable by others", "profiles: {}\n", 0o640, "chmod 600 "},
		{"unknown member", "profile: {}\n", 0o600, "profile"},
		{"none", "profiles: {}\n", 0o600, "start `countersign up`"},
		{"empty", "", 0o600, "countersign profile add"},
		{"several, none current", "profiles: {a: {bootstrap: /a}, b: {bootstrap: /b}}\n", 0o600, "one of a, b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "countersign/profiles.yaml", tt.text, tt.mode)
			got := run(t, call{environ: []string{"XDG_CONFIG_HOME=" + filepath.Dir(filepath.Dir(path))}, args: []string{"client", "list"}})
			if got.code != cli.ExitUsage || !strings.Contains(got.errors, tt.want) {
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
}

func TestProfileCommands(t *testing.T) {
	environ := []string{"HOME=" + t.TempDir()}
	do := func(code int, args ...string) result {
		t.Helper()
		got := run(t, call{environ: environ, args: append([]string{"profile"}, args...)})
		if got.code != code {
			t.Errorf("%v: %+v, want exit code %d", args, got, code)
		}
		return got
	}
	do(0, "add", "live", "--issuer", example, "--admin-url", example, "--client-id", "cl_x", "--client-secret-file", "/run/s")
	if got := do(0, "add", "local", "--bootstrap", "/data/bootstrap.json"); !strings.Contains(got.errors, "still live: `countersign profile use local`") {
		t.Errorf("%+v", got)
	}
	started := write(t, "bootstrap.json", `{"issuer": "http://127.0.0.1:1", "admin_url": "http://127.0.0.1:2", "clients": {"admin": {"client_id": "cl_b", "client_secret": "hush-hush"}}}`, 0o600)
	do(0, "add", "up", "--bootstrap", started)
	if got := do(0, "list", "-o", "yaml").out; !strings.Contains(got, "admin_url: http://127.0.0.1:2") || !strings.Contains(got, "client_id: cl_b") || strings.Contains(got, "hush-hush") {
		t.Errorf("%s", got)
	}
	do(0, "remove", "up")
	do(0, "use", "local")
	want := `NAME   CURRENT  ISSUER                    ADMIN URL                 CLIENT ID  CREDENTIALS
live   no       https://auth.example.com  https://auth.example.com  cl_x       /run/s
local  yes      -                         -                         -          /data/bootstrap.json
`
	if diff := cmp.Diff(want, do(0, "list").out); diff != "" {
		t.Error(diff)
	}
	do(0, "remove", "local")
	if got := do(0, "list", "-o", "yaml"); !strings.Contains(got.out, "current: false") || strings.Contains(got.out, "local") {
		t.Errorf("%s", got.out)
	}
	do(cli.ExitUsage, "use", "local")
	do(cli.ExitUsage, "remove", "local")
	do(cli.ExitUsage, "add", "bad", "--issuer", "http://example.com")
	do(cli.ExitUsage, "list", "-o", "xml")
}

// What starts a system of `countersign up` that is down can be copied.
func TestBootstrapDown(t *testing.T) {
	environ := []string{"HOME=" + t.TempDir()}
	started := write(t, "bootstrap.json", `{"issuer": "http://127.0.0.1:1", "admin_url": "http://127.0.0.1:1", "clients": {"admin": {"client_id": "cl_b", "client_secret": "x"}}}`, 0o600)
	if err := cli.WriteProfile(environ, "up", cli.Profile{Bootstrap: started}); err != nil {
		t.Fatal(err)
	}
	got := run(t, call{environ: environ, args: []string{"client", "list"}})
	if got.code != cli.ExitUnavailable || !strings.Contains(got.errors, "`countersign up --data-dir "+filepath.Dir(started)+"`") {
		t.Errorf("%+v", got)
	}
}
