package cli_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/admin/cli"
)

const problem = `{"type": "https://x/docs/errors.md#c", "title": "T", "status": %d, "detail": %q, "code": "c", "field": %q, "request_id": "req-7", "errors": [%s]}`

// Each refusal of the admin API has its exit code, and its message names the field and the request.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		code   int
		want   []string
	}{
		{"bad member", 400, fmt.Sprintf(problem, 400, "must not be empty", "name", `{"pointer": "#/name", "detail": "must not be empty"}`), cli.ExitFailed, []string{"countersign: name: must not be empty (request req-7)\n"}},
		{"bad members", 400, fmt.Sprintf(problem, 400, "2 members are wrong", "name", `{"pointer": "#/name", "detail": "too long"}, {"pointer": "#/labels/a", "detail": "too short"}`), cli.ExitFailed, []string{"2 members are wrong (request req-7)\n  name: too long\n  labels/a: too short\n"}},
		{"token refused", 401, fmt.Sprintf(problem, 401, "the token is revoked", "", ""), cli.ExitNotAllowed, []string{"the token is revoked (request req-7)"}},
		{"scope missing", 403, fmt.Sprintf(problem, 403, "the token lacks clients:write", "scope", ""), cli.ExitNotAllowed, []string{"clients:write"}},
		{
			"scope missing, as the server says it", 403,
			strings.Replace(fmt.Sprintf(problem, 403, "the token lacks clients:write", "clients:write", ""), `"code": "c"`, `"code": "insufficient_scope"`, 1),
			cli.ExitNotAllowed,
			[]string{"countersign: the token lacks clients:write"},
		},
		{"not there", 404, fmt.Sprintf(problem, 404, "no such client", "", ""), cli.ExitNotFound, []string{"no such client"}},
		{"in the way", 409, fmt.Sprintf(problem, 409, "another client has it", "name", ""), cli.ExitConflict, []string{"name: another client has it"}},
		{"changed meanwhile", 412, fmt.Sprintf(problem, 412, "changed", "", ""), cli.ExitConflict, []string{"changed"}},
		{"defect", 500, fmt.Sprintf(problem, 500, "internal error", "", ""), cli.ExitFailed, []string{"req-7"}},
		{"down", 503, fmt.Sprintf(problem, 503, "the database does not answer", "", ""), cli.ExitUnavailable, []string{"the database does not answer"}},
		{"proxy without JSON", 502, `<html>`, cli.ExitUnavailable, []string{"502 Bad Gateway"}},
		{"redirect", 302, ``, cli.ExitFailed, []string{"redirect", "--admin-url"}},
		{"no problem document", 404, `{}`, cli.ExitNotFound, []string{"404 Not Found"}},
		{"something else", 200, `<html>`, cli.ExitFailed, []string{"--admin-url"}},
		{"other JSON", 200, `[]`, cli.ExitFailed, []string{"--admin-url"}},
		{"escape sequences", 400, fmt.Sprintf(problem, 400, "ESC[2Jgone", "", ""), cli.ExitFailed, []string{"countersign:  [2Jgone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, tt.status, strings.ReplaceAll(tt.body, "ESC", `\u001b`))
			})
			got := run(t, call{environ: f.environ(), args: []string{"client", "create", "orders"}})
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d: %s", got.code, tt.code, got.errors)
			}
			for _, part := range tt.want {
				if !strings.Contains(got.errors, part) {
					t.Errorf("%q does not say %q", got.errors, part)
				}
			}
			if got.out != "" {
				t.Errorf("printed %q", got.out)
			}
		})
	}
}

// A POST is sent again under the same key when the server was away for a moment, and not for ever.
func TestPostIsRepeated(t *testing.T) {
	var keys []string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		switch len(keys) {
		case 1:
			hangUp(w)
		case 2:
			answer(w, 503, fmt.Sprintf(problem, 503, "draining", "", ""))
		default:
			answer(w, 201, `{"client_id": "cl_new", "name": "orders", "status": "active"}`)
		}
	})
	got := run(t, call{environ: f.environ(), args: []string{"client", "create", "orders"}})
	if got.code != 0 || !strings.Contains(got.out, "cl_new") {
		t.Errorf("%+v", got)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] != keys[2] || len(keys[0]) < 16 {
		t.Errorf("keys are %q", keys)
	}
	keys = nil
	if got = run(t, call{environ: f.environ(), args: []string{"client", "create", "orders"}}); len(keys) != 3 || got.code != 0 {
		t.Errorf("the second run: %q, %+v", keys, got)
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = connection.Close()
	}
}

// What might have been done already is not sent again: whoever repeats a DELETE would be told that there is nothing.
func TestDeleteIsNotRepeated(t *testing.T) {
	var deletes atomic.Int32
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deletes.Add(1)
			if r.Header.Get("If-Match") != `"4"` {
				t.Errorf("If-Match is %q", r.Header.Get("If-Match"))
			}
			hangUp(w)
			return
		}
		w.Header().Set("ETag", `"4"`)
		answer(w, 200, `{"client_id": "cl_0000000000000000000000"}`)
	})
	got := run(t, call{environ: f.environ(), args: []string{"client", "delete", "cl_0000000000000000000000", "--yes"}})
	if got.code != cli.ExitUnavailable || deletes.Load() != 1 {
		t.Errorf("%d times; %+v", deletes.Load(), got)
	}
}

func TestNobodyAnswersInTime(t *testing.T) {
	wait := make(chan struct{})
	f := newFake(t, func(http.ResponseWriter, *http.Request) { <-wait })
	defer close(wait)
	began := time.Now()
	got := run(t, call{environ: f.environ(), args: []string{"client", "list", "--request-timeout", "50ms"}})
	if got.code != cli.ExitUnavailable || !strings.Contains(got.errors, "does not answer in time") || f.calls() != 1 || time.Since(began) > 5*time.Second {
		t.Errorf("%d calls in %v; %+v", f.calls(), time.Since(began), got)
	}
}

func TestIssuerMisbehaves(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*fake)
		code int
		want string
	}{
		{"calls itself otherwise", func(f *fake) { f.Issuer = "https://elsewhere.example" }, cli.ExitFailed, `calls itself "https://elsewhere.example"`},
		{"refuses the client", func(f *fake) {
			f.Token = func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 401, `{"error": "invalid_client", "error_description": "Client authentication failed."}`)
			}
		}, cli.ExitNotAllowed, "client cl_test: invalid_client: Client authentication failed."},
		{"has no grant for it", func(f *fake) {
			f.Token = func(w http.ResponseWriter, _ *http.Request) { answer(w, 400, `{"error": "invalid_target"}`) }
		}, cli.ExitFailed, "invalid_target"},
		{"repeats what it was sent", func(f *fake) {
			f.Token = func(w http.ResponseWriter, r *http.Request) {
				_, secret, _ := r.BasicAuth()
				answer(w, 400, fmt.Sprintf(`{"error": "invalid_request", "error_description": "%s is %s"}`, r.Header.Get("Authorization"), secret))
			}
		}, cli.ExitFailed, "Basic [redacted] is [redacted]"},
		{"is overloaded", func(f *fake) {
			f.Token = func(w http.ResponseWriter, _ *http.Request) { answer(w, 503, `{"error": "temporarily_unavailable"}`) }
		}, cli.ExitUnavailable, "temporarily_unavailable"},
		{"answers without a token", func(f *fake) { f.Token = func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{}`) } }, cli.ExitFailed, "without a bearer token"},
		{"answers no JSON", func(f *fake) { f.Token = func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `<html>`) } }, cli.ExitFailed, "without a bearer token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"items": []}`) })
			tt.set(f)
			got := run(t, call{environ: f.environ(), args: []string{"client", "list"}})
			if got.code != tt.code || !strings.Contains(got.errors, tt.want) || f.calls() != 0 {
				t.Errorf("%+v, want exit code %d and %q; the admin API was asked %d times", got, tt.code, tt.want, f.calls())
			}
		})
	}
}

// A secret is made once, and its file before it: nothing is asked of the server where the file exists.
func TestSecretFile(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 500, fmt.Sprintf(problem, 500, "broken", "", ""))
	})
	taken := write(t, "taken", "old", 0o600)
	got := run(t, call{environ: f.environ(), args: []string{"secret", "add", "cl_0000000000000000000000", "--to", taken}})
	if got.code != cli.ExitUsage || f.calls() != 0 {
		t.Errorf("%+v, %d calls", got, f.calls())
	}
	fresh := taken + ".new"
	got = run(t, call{environ: f.environ(), args: []string{"secret", "add", "cl_0000000000000000000000", "--to", fresh}})
	if got.code != cli.ExitFailed || exists(fresh) {
		t.Errorf("%+v; the file is left: %v", got, exists(fresh))
	}
}

// Where nobody can be asked, nothing is destroyed; where somebody can, only a yes is a yes.
func TestQuestions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stdin string
		asked bool
		done  bool
	}{
		{"nobody is there", "y\n", false, false},
		{"yes", "y\n", true, true},
		{"yes, spelt out", "YES\n", true, true},
		{"enter", "\n", true, false},
		{"no", "n\n", true, false},
		{"end of input", "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var deleted bool
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				deleted = deleted || r.Method == http.MethodDelete
				answer(w, 200, `{"client_id": "cl_0000000000000000000000", "revoked_tokens": 2, "revoked_tokens_exact": true}`)
			})
			got := run(t, call{environ: f.environ(), stdin: tt.stdin, interactive: tt.asked, args: []string{"client", "delete", "cl_0000000000000000000000"}})
			if deleted != tt.done || tt.done != (got.code == 0) || !tt.done && got.code != cli.ExitUsage {
				t.Errorf("deleted: %v; %+v", deleted, got)
			}
			if tt.done && !strings.Contains(got.out, "2 living tokens taken back") {
				t.Errorf("printed %q", got.out)
			}
		})
	}
}
