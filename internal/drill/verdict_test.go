package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/terminal"
)

// A drill must be able to fail: each promise, kept and broken.
func TestChecks(t *testing.T) {
	good := Record{Name: "good", Samples: []Sample{at(0, 1, OK), at(2, 3, OK)}}
	polite := at(10, 20, Unavailable)
	polite.RetryAfter = true
	for _, tt := range []struct {
		name  string
		check Check
		kept  bool
		says  string
	}{
		{name: "nothing failed", check: noFailures(good), kept: true, says: "0 of 2 failed"},
		{name: "one failed", check: noFailures(good, Record{Name: "bad", Samples: []Sample{at(1500, 1600, ServerError)}}), says: "bad at 1.5s: 5xx"},
		{name: "nothing was sent", check: noFailures(good, Record{Name: "idle"}), says: "idle"},
		{name: "503 is no verdict", check: noVerdicts([]Kind{OK, Unavailable}, good, Record{Samples: []Sample{polite}}), kept: true},
		{name: "a verdict", check: noVerdicts([]Kind{OK, Unavailable}, Record{Name: "token", Samples: []Sample{polite, at(30, 40, Refused)}}), says: "1 of 2 were verdicts"},
		{name: "silence where an answer was promised", check: noVerdicts([]Kind{OK, Unavailable}, Record{Samples: []Sample{at(0, 9, NoAnswer)}}), says: "no answer"},
		{name: "503 with Retry-After", check: onlyUnavailable("now", Record{Samples: []Sample{polite}}), kept: true},
		{name: "503 without Retry-After", check: onlyUnavailable("now", Record{Samples: []Sample{at(1, 2, Unavailable)}}), says: "without Retry-After"},
		{name: "an answer where 503 was promised", check: onlyUnavailable("now", Record{Samples: []Sample{polite, at(1, 2, OK)}}), says: "ok"},
		{name: "no answer at all in the time", check: onlyUnavailable("now", Record{}), says: "0 answers"},
		{name: "soon enough", check: within("x", time.Second, time.Second), kept: true},
		{name: "too late", check: within("x", 1001*time.Millisecond, time.Second), says: "1.001s"},
		{name: "no storm", check: atMost("x", 2, 2), kept: true},
		{name: "a storm", check: atMost("x", 3, 2), says: "3"},
		{name: "even", check: even("x", map[string]int{"a": 1010, "b": 990}), kept: true, says: "a 1010, b 990"},
		{name: "even enough for few", check: even("x", map[string]int{"a": 12, "b": 8}), kept: true},
		{name: "uneven", check: even("x", map[string]int{"a": 1030, "b": 970})},
		{name: "one does nothing", check: even("x", map[string]int{"a": 5, "b": 0})},
		{name: "nobody does anything", check: even("x", map[string]int{"a": 0, "b": 0})},
		{name: "one instance is not shared", check: even("x", map[string]int{"a": 100})},
		{name: "works again", check: healed(Record{Samples: []Sample{at(900, 1000, Unavailable), at(1200, 1300, OK)}}, time.Second), kept: true},
		{name: "does not work again", check: healed(Record{Samples: []Sample{at(9000, 9010, Unavailable)}}, time.Second), says: "8s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.check.Kept != tt.kept || !strings.Contains(tt.check.Found, tt.says) {
				t.Errorf("kept %t: %q, want %t and %q", tt.check.Kept, tt.check.Found, tt.kept, tt.says)
			}
		})
	}
}

func TestConclusion(t *testing.T) {
	kept, broken := Check{Promise: "this", Kept: true}, Check{Promise: "that", Found: "another"}
	for _, tt := range []struct {
		name   string
		checks []Check
		want   Verdict
		says   string
	}{
		{"all kept", []Check{kept, kept}, Pass, "2 of 2"},
		{"one broken", []Check{kept, broken}, Fail, "that: another"},
		{"nothing checked", nil, Fail, "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Report{Checks: tt.checks}
			if r.conclude(); r.Verdict != tt.want || !strings.Contains(r.Reason, tt.says) {
				t.Errorf("%s: %s", r.Verdict, r.Reason)
			}
		})
	}
}

func TestReportForPeople(t *testing.T) {
	r := Report{
		Drill: "d", Does: "does", Expectation: "all well", Verdict: Fail, Reason: "because",
		Loads: []Load{summary(Record{Name: "token", Samples: []Sample{at(0, 10, OK), at(5, 7, Refused)}})},
	}
	var out strings.Builder
	if err := r.Write(&out, terminal.For(&out, nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"d: does", "expected: all well", "FAIL  d: because", "1 refused"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("colours where no terminal is:\n%q", out.String())
	}
}
