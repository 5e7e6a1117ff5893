package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/trace"
	"github.com/countersign/countersign/internal/up"
)

// demoTrace is what `demo trace -o json` prints.
type demoTrace struct {
	URL  string        `json:"url"`
	Cold trace.Request `json:"cold"`
	Warm trace.Request `json:"warm"`
}

// demoTrace runs `demo trace` and returns its exit code and what it printed.
func (s *system) demoTrace(t *testing.T, environ []string, flags ...string) (int, string) {
	t.Helper()
	p := startProgram(t, t.TempDir(), environ, append([]string{"demo", "trace", "--data-dir", s.Folder}, flags...)...)
	code := p.Exit(t, endWithin)
	return code, p.out.String()
}

// hop is what a hop must be: where it leads, and what is said of it.
type hop struct {
	number         int
	from, to, part string // part is a regular expression for the instance
	what           string // a regular expression
}

// firstHops are those of a cold request up to the one in which service B looks into the token store.
func firstHops(database, store string) []hop {
	return []hop{
		{1, "user", "load balancer", "lb", "GET /orders"},
		{2, "load balancer", "gateway", "gateway-[12]", "route orders"},
		{3, "gateway", "service A", "service-a", ""},
		{3, "service A", "auth server", "auth-[12]", "no token at hand"},
		{4, "auth server", "database", "", "^" + database + ": committed, batch of 1$"},
		{5, "auth server", "token store", "", "^" + store},
		{6, "auth server", "service A", "service-a", ""},
		{7, "service A", "gateway", "gateway-[12]", "GET /inventory/items"},
		{7, "gateway", "auth server", "auth-[12]", "^introspection, (known from memory|read from the (database|token store))$"},
		{8, "gateway", "service B", "service-b", ""},
	}
}

func lastHops() []hop {
	return []hop{
		{11, "service B", "gateway", "gateway-[12]", "^200$"},
		{12, "gateway", "load balancer", "lb", "^200$"},
		{13, "load balancer", "user", "", "^200$"},
	}
}

// check compares the hops of a request with what they must be.
func check(t *testing.T, name string, r trace.Request, want []hop) {
	t.Helper()
	if r.Status != http.StatusOK || len(r.Hops) != len(want) {
		t.Fatalf("%s: answered %d with %d hops, want %d: %+v", name, r.Status, len(r.Hops), len(want), r.Hops)
	}
	for i, w := range want {
		got := r.Hops[i]
		if got.Number != w.number || got.From != w.from || got.To != w.to || !regexp.MustCompile("^("+w.part+")$").MatchString(got.Instance) ||
			!regexp.MustCompile(w.what).MatchString(got.What) {
			t.Errorf("%s: hop %+v, want %+v", name, got, w)
		}
		if spared := strings.HasPrefix(got.What, "not needed") || got.What == "no shared store"; got.Needed == spared || got.Needed != (got.At > 0) {
			t.Errorf("%s: hop %d is needed: %v, at %d µs: %s", name, got.Number, got.Needed, got.At, got.What)
		}
	}
}

// warmHops are those of a request for which nobody asks anything about the token.
func warmHops() []hop {
	const atHand, known = "^not needed: token at hand$", "^not needed: known from memory$"
	all := firstHops("", "")
	for i := range all {
		switch h := &all[i]; {
		case h.number == 3 && h.from == "service A", h.number > 3 && h.number < 7:
			h.part, h.what = "", atHand
		case h.number == 7 && h.from == "gateway":
			h.part, h.what = "", known
		}
	}
	all = append(all, hop{9, "service B", "token store", "", known}, hop{10, "service B", "database", "", known})
	return append(all, lastHops()...)
}

// TestDemoTrace asserts each of the thirteen hops, cold and warm, on both kinds of stores.
func TestDemoTrace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		flags           func(*testing.T) []string
		database, store string
		verified        []hop // how service B finds out about a token
	}{
		{
			"SQLite, in-process", func(*testing.T) []string { return nil }, "sqlite", "in-process: recorded$",
			[]hop{
				{9, "service B", "token store", "", "^no shared store$"},
				{10, "service B", "database", "auth-[12]", "^introspection, (known from memory|read from the database)$"},
			},
		},
		{
			"MariaDB, Redis", func(t *testing.T) []string {
				t.Helper()
				file := filepath.Join(t.TempDir(), "database")
				if err := os.WriteFile(file, []byte(testbed.MariaDB(t).New(t)), 0o600); err != nil {
					t.Fatal(err)
				}
				return []string{"--mysql-file", file, "--redis", testbed.Redis(t).URL()}
			}, "mariadb", "redis: recorded, off the answer.s path$",
			[]hop{{9, "service B", "token store", "", "^hit$"}, {10, "service B", "database", "", "^not needed: the token store knew it$"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startUp(t, tt.flags(t)...)
			code, text := s.demoTrace(t, nil, "-o", "json")
			var got demoTrace
			if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 {
				t.Fatalf("exit code %d, %v: %s", code, err, text)
			}
			check(t, "cold", got.Cold, slices.Concat(firstHops(tt.database, tt.store), tt.verified, lastHops()))
			check(t, "warm", got.Warm, warmHops())
			tokens := map[string]bool{}
			for _, h := range got.Cold.Hops {
				if h.Token != "" {
					tokens[h.Token] = true
				}
			}
			if len(tokens) != 1 {
				t.Errorf("the hops are about the tokens %v, want one", tokens)
			}
			if !got.Cold.Asked || got.Warm.Asked {
				t.Errorf("an authorization server was asked: cold %v, warm %v", got.Cold.Asked, got.Warm.Asked)
			}
			if got.URL != s.Bootstrap.EntryURL+"/orders" {
				t.Errorf("the request was for %s", got.URL)
			}
		})
	}
}

// What is printed for people has all thirteen numbers; the same spans go to whoever else takes OTLP.
func TestDemoTraceExports(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	const bearer = "receivers-own"
	spans := trace.NewCollector()
	receiver := httptest.NewServer(trace.Receiver(spans, bearer))
	t.Cleanup(receiver.Close)
	code, text := s.demoTrace(t, []string{"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20" + bearer}, "--otlp", receiver.URL)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	for n := 1; n <= 13; n++ {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^ *%d  [a-z]`, n)).MatchString(text) {
			t.Errorf("hop %d is not printed:\n%s", n, text)
		}
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 120 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	ids := regexp.MustCompile(`[0-9a-f]{32}`).FindAllString(text, -1)
	if len(ids) != 2 {
		t.Fatalf("%d trace ids are printed, want 2:\n%s", len(ids), text)
	}
	for _, id := range ids {
		mine := s.spans(t, id)
		there := trace.Spans(spans.Trace(t.Context(), traceID(t, id), 0))
		if len(there) != len(mine)+1 || there[0].Service != "user" { // the user's own span is sent, too
			t.Errorf("trace %s: %d spans were exported, %d are known", id, len(there), len(mine))
		}
	}
	for _, id := range []string{"00000000000000000000000000000abc", ""} { // not to be recorded, and of no trace at all
		s.order(t, id, "00")
	}
	sampled := "00000000000000000000000000000def"
	s.order(t, sampled, "01")
	testbed.Wait(t, startWithin, func() error {
		if len(s.spans(t, sampled)) == 0 {
			return fmt.Errorf("no span of %s", sampled)
		}
		return nil
	})
	if left := s.spans(t, "00000000000000000000000000000abc"); len(left) != 0 {
		t.Errorf("a request that was not to be recorded left %d spans", len(left))
	}
}

func traceID(t *testing.T, text string) oteltrace.TraceID {
	t.Helper()
	id, err := oteltrace.TraceIDFromHex(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// spans asks the control socket for the spans of a trace.
func (s *system) spans(t *testing.T, id string) []trace.Span {
	t.Helper()
	said, err := up.Ask(t.Context(), s.Folder, "trace "+id+" 0")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		OTLP []byte `json:"otlp"`
	}
	if err := json.Unmarshal(said.Data, &answer); err != nil {
		t.Fatal(err)
	}
	found, err := trace.Decode(answer.OTLP)
	if err != nil {
		t.Fatal(err)
	}
	return trace.Spans(found)
}

// order sends a user's request with a trace context, or without one.
func (s *system) order(t *testing.T, id, flags string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Bootstrap.EntryURL+"/orders", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		r.Header.Set("Traceparent", "00-"+id+"-00f067aa0ba902b7-"+flags)
	}
	client := http.Client{Timeout: time.Minute}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d", resp.StatusCode)
	}
}

// What keeps it from showing a trace is said, by name, with an exit code other than 0.
func TestDemoTraceSaysWhy(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	s.Tell(t, "stop", "service-b")
	if code, text := s.demoTrace(t, nil); code != 1 || !strings.Contains(text, "service-b is stopped") {
		t.Errorf("a part is down: exit code %d: %s", code, text)
	}
	s.Tell(t, "start", "service-b")
	if code, text := s.demoTrace(t, nil, "--otlp", "http://someone:hush-hush@127.0.0.1"); code != 2 || strings.Contains(text, "hush-hush") || !strings.Contains(text, "--otlp") {
		t.Errorf("no address: exit code %d: %s", code, text)
	}
	none := &system{Folder: t.TempDir()}
	if code, text := none.demoTrace(t, nil); code != 1 || !strings.Contains(text, "no system runs in the data folder") {
		t.Errorf("nothing runs: exit code %d: %s", code, text)
	}
}

// Whoever sends the spans of the system elsewhere keeps doing so.
func TestDemoTraceLeavesTheUsersChoice(t *testing.T) {
	t.Parallel()
	spans := trace.NewCollector()
	const bearer = "the-users"
	receiver := httptest.NewServer(trace.Receiver(spans, bearer))
	t.Cleanup(receiver.Close)
	s := startUpAs(t, filepath.Join(t.TempDir(), "data"), freeBase(t), []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20" + bearer, "OTEL_BSP_SCHEDULE_DELAY=50",
	})
	if code, text := s.demoTrace(t, nil); code != 1 || !strings.Contains(text, "OTEL_EXPORTER_OTLP_ENDPOINT was set") {
		t.Errorf("exit code %d: %s", code, text)
	}
	const id = "00000000000000000000000000000abc"
	s.order(t, id, "01")
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	if len(spans.Trace(ctx, traceID(t, id), 0)) == 0 {
		t.Errorf("no span of %s came", id)
	}
}
