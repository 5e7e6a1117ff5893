package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/internal/config"
)

// fake is an issuer and an admin API that misbehave as a test says. What the commands do with a real server is tested in e2e.
type fake struct {
	URL    string
	Issuer string                                   // what the metadata says; the URL unless set
	Token  http.HandlerFunc                         // in place of a token for everybody
	Admin  func(http.ResponseWriter, *http.Request) // answers what is below /admin/v1

	mu    sync.Mutex
	asked []string // method and path of each request, in order
}

func newFake(t *testing.T, admin http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{Admin: admin}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
		f.mu.Unlock()
		switch {
		case r.URL.Path == "/.well-known/oauth-authorization-server":
			answer(w, 200, fmt.Sprintf(`{"issuer": %q, "token_endpoint": %q}`, f.Issuer, f.URL+"/token"))
		case r.URL.Path == "/token" && f.Token != nil:
			f.Token(w, r)
		case r.URL.Path == "/token":
			answer(w, 200, `{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "scope": "clients:read"}`)
		default:
			f.Admin(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f.URL, f.Issuer = server.URL, server.URL
	return f
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// calls returns how often the admin API was asked.
func (f *fake) calls() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, request := range f.asked {
		if strings.Contains(request, "/admin/v1/") {
			n++
		}
	}
	return n
}

// environ names the fake as the target.
func (f *fake) environ() []string {
	return []string{
		"COUNTERSIGN_ISSUER=" + f.URL, "COUNTERSIGN_ADMIN_URL=" + f.URL, "COUNTERSIGN_CLIENT_ID=cl_test", "COUNTERSIGN_CLIENT_SECRET=hush-hush",
	}
}

// call is one run of the command line.
type call struct {
	environ     []string
	stdin       string
	interactive bool
	args        []string
}

// result is what a run printed and its exit code.
type result struct {
	code        int
	out, errors string
}

// run carries out one command as package main does.
func run(t *testing.T, c call) result {
	t.Helper()
	var out, stderr bytes.Buffer
	env := cli.Environment{
		Environ: c.environ, Stdin: strings.NewReader(c.stdin), Stdout: &out, Stderr: &stderr, Interactive: c.interactive, Version: "test", Now: time.Now,
		Load: func(cmd *cobra.Command, settings any) error {
			if err := config.Load(cmd.Flags(), c.environ, settings); err != nil {
				return cli.UsageError{Err: err}
			}
			return nil
		},
	}
	root := &cobra.Command{Use: "countersign", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(cli.Commands(env)...)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.UsageError{Err: err} })
	root.SetArgs(c.args)
	root.SetOut(&out)
	root.SetErr(&stderr)
	err := root.ExecuteContext(t.Context())
	got := result{out: out.String(), errors: stderr.String()}
	if err != nil {
		got.code, got.errors = cli.ExitCode(err), got.errors+"countersign: "+err.Error()+"\n"
	}
	if strings.Contains(got.out+got.errors, "hush-hush") {
		t.Errorf("the secret is printed: %s%s", got.out, got.errors)
	}
	return got
}

// write makes a file and returns its path.
func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}
