package cli_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/admin/cli"
)

// odd is a list whose texts try to be something else.
const odd = `{"items": [{"client_id": "cl_1", "name": "a\tb\u001b[31m\nc", "status": "active", "labels": {"no": "yes", "n": "12"}, "empty": {}, "none": [], "float": 1.5, "null": null, "later": true,
  "created_at": "2020-01-01T00:00:00Z", "last_used_at": "%s", "owner": "\u202eright to left"}]}`

// People see a table whatever is in it; programs get what the server answered, members that this version does not know included.
func TestForms(t *testing.T) {
	used := time.Now().Add(-160 * time.Second).UTC().Format(time.RFC3339)
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, fmt.Sprintf(odd, used)) })
	list := func(form string) string {
		t.Helper()
		got := run(t, call{environ: f.environ(), args: []string{"client", "list", "-o", form}})
		if got.code != 0 {
			t.Fatalf("%+v", got)
		}
		return got.out
	}
	lines := strings.Split(list("table"), "\n")
	if len(lines) != 3 || strings.ContainsAny(lines[1], "\x1b\t\u202e") || !strings.HasPrefix(lines[1], "a b [31m c  cl_1       active  right to left  3m ago     ") {
		t.Errorf("%q", lines)
	}
	want := `- client_id: cl_1
  name: "a\tb\e[31m\nc"
  status: active
  labels:
    "no": "yes"
    "n": "12"
  empty: {}
  none: []
  float: 1.5
  "null": null
  later: true
  created_at: "2020-01-01T00:00:00Z"
  last_used_at: "` + used + `"
  owner: ` + "\u202eright to left\n"
	if diff := cmp.Diff(want, list("yaml")); diff != "" {
		t.Error(diff)
	}
	if got := list("json"); !strings.HasPrefix(got, "[\n  {\n    \"client_id\": \"cl_1\",") || !strings.Contains(got, `"later": true`) {
		t.Error(got)
	}
	if got := run(t, call{environ: f.environ(), args: []string{"client", "list", "-o", "xml"}}); got.code != cli.ExitUsage {
		t.Errorf("%+v", got)
	}
}

// A list is read page by page up to the limit, and whoever sees a part is told.
func TestPages(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		next := map[string]string{"": "2", "2": "3"}[q.Get("cursor")]
		more := ""
		if next != "" {
			more = `, "next_cursor": "` + next + `"`
		}
		answer(w, 200, fmt.Sprintf(`{"items": [{"name": "c%s-%s"}]%s}`, q.Get("cursor"), q.Get("limit"), more))
	})
	got := run(t, call{environ: f.environ(), args: []string{"client", "list"}})
	if strings.Count(got.out, "-200") != 3 || got.errors != "" {
		t.Errorf("all: %+v", got)
	}
	got = run(t, call{environ: f.environ(), args: []string{"client", "list", "--limit", "2"}})
	if !strings.Contains(got.out, "c-2 ") || !strings.Contains(got.out, "c2-1 ") || !strings.Contains(got.errors, "the first 2; there are more") {
		t.Errorf("two: %+v", got)
	}
	loop := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"items": [], "next_cursor": "x"}`) })
	if got = run(t, call{environ: loop.environ(), args: []string{"client", "list"}}); got.code != cli.ExitFailed {
		t.Errorf("a server that never ends: %+v", got)
	}
}

// Events go on where they ended, over answers that break off, until it is refused.
func TestFollow(t *testing.T) {
	var asked []string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("after"))
		w.Header().Set("Content-Type", "application/jsonl")
		switch len(asked) {
		case 1:
			_, _ = w.Write([]byte("{\"number\": 8}\n\n{\"number\": 9}\n{\"numb"))
		case 2:
			_, _ = w.Write([]byte("{\"number\": 10}\n"))
		default:
			answer(w, 403, fmt.Sprintf(problem, 403, "the token lacks audit:read", "scope", ""))
		}
	})
	got := run(t, call{environ: f.environ(), args: []string{"audit", "export", "--follow", "--after", "7"}})
	if diff := cmp.Diff([]string{"7", "9", "10"}, asked); diff != "" {
		t.Error(diff)
	}
	if got.code != cli.ExitNotAllowed || got.out != "{\"number\": 8}\n{\"number\": 9}\n{\"number\": 10}\n" {
		t.Errorf("%+v", got)
	}
}

// Names are offered to the shell, and nothing where the server is out of reach.
func TestCompletion(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/v1/clients" && r.URL.Query().Get("name_prefix") == "or" {
			answer(w, 200, `{"items": [{"client_id": "cl_1", "name": "orders"}]}`)
			return
		}
		answer(w, 200, `{"items": [{"api_id": "api_1", "identifier": "https://a", "name": "A"}, {"api_id": "api_2", "identifier": "http://b", "name": "B"}]}`)
	})
	for want, args := range map[string][]string{
		"orders\tcl_1\n":      {"client", "show", "or"},
		"https://a\tA\n":      {"grant", "put", "cl_0000000000000000000000", "https"},
		"http://b\tB\n":       {"explain", "--api", "http:"},
		"table\njson\nyaml\n": {"client", "list", "-o", ""},
	} {
		got := run(t, call{environ: f.environ(), args: append([]string{"__complete"}, args...)})
		if !strings.HasPrefix(got.out, want) {
			t.Errorf("%v: %+v, want %q", args, got, want)
		}
	}
	if got := run(t, call{environ: []string{"HOME=/nowhere"}, args: []string{"__complete", "client", "show", "or"}}); got.code != 0 || !strings.HasPrefix(got.out, ":4\n") {
		t.Errorf("without a server: %+v", got)
	}
}
