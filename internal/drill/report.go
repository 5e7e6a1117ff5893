package drill

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/internal/terminal"
)

// Verdict is how a drill ended.
type Verdict string

// The verdicts.
const (
	Pass          Verdict = "pass"
	Fail          Verdict = "fail"
	NotApplicable Verdict = "not applicable" // this system has not got what the drill would break
)

// Report is what a drill did and found.
type Report struct {
	Drill       string  `json:"drill"`
	Does        string  `json:"does"`
	Expectation string  `json:"expectation"`
	Steps       []Step  `json:"steps"`
	Loads       []Load  `json:"loads"`
	Checks      []Check `json:"checks"`
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason"`
}

// Step is one thing that was done or seen, At seconds after the start.
type Step struct {
	At   float64 `json:"at_seconds"`
	What string  `json:"what"`
}

// Load are the figures of one load.
type Load struct {
	Name    string       `json:"name"`
	Sent    int          `json:"sent"`
	Failed  int          `json:"failed"`
	Kinds   map[Kind]int `json:"kinds"`
	Gap     float64      `json:"longest_gap_seconds"`
	P50     float64      `json:"p50_seconds"`
	P99     float64      `json:"p99_seconds"`
	PerSec  float64      `json:"answers_per_second"`
	Because string       `json:"first_failure,omitempty"`
}

// summary makes the figures of a record.
func summary(r Record) Load {
	l := Load{
		Name: r.Name, Sent: len(r.Samples), Failed: r.Failed(), Kinds: map[Kind]int{}, Gap: r.LongestGap().Seconds(),
		P50: r.Quantile(0.5).Seconds(), P99: r.Quantile(0.99).Seconds(), PerSec: r.Rate(), Because: r.First(OK),
	}
	for _, s := range r.Samples {
		l.Kinds[s.Kind]++
	}
	return l
}

// conclude draws the verdict from the checks.
func (r *Report) conclude() {
	var broken []string
	for _, c := range r.Checks {
		if !c.Kept {
			broken = append(broken, fmt.Sprintf("%s: %s", c.Promise, c.Found))
		}
	}
	switch {
	case len(r.Checks) == 0:
		r.Verdict, r.Reason = Fail, "nothing was checked"
	case len(broken) > 0:
		r.Verdict, r.Reason = Fail, strings.Join(broken, "; ")
	default:
		r.Verdict, r.Reason = Pass, fmt.Sprintf("%d of %d promises kept", len(r.Checks), len(r.Checks))
	}
}

// Write prints the report for people.
func (r *Report) Write(out io.Writer, paint terminal.Palette) error {
	fmt.Fprintf(out, "%s: %s\n  expected: %s\n", paint.Strong(r.Drill), r.Does, r.Expectation)
	for _, s := range r.Steps {
		fmt.Fprintf(out, "  %5.1fs  %s\n", s.At, s.What)
	}
	if len(r.Loads) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "  load\tsent\tfailed\tlongest gap\tp50\tp99\tanswers/s\t")
		for _, l := range r.Loads {
			fmt.Fprintf(table, "  %s\t%d\t%d\t%s\t%s\t%s\t%.1f\t%s\n", l.Name, l.Sent, l.Failed, seconds(l.Gap), seconds(l.P50), seconds(l.P99), l.PerSec, l.kinds())
		}
		if err := table.Flush(); err != nil {
			return err //nolint:wrapcheck // standard output is gone
		}
	}
	for _, c := range r.Checks {
		mark := paint.Good("ok ")
		if !c.Kept {
			mark = paint.Bad("NOT")
		}
		fmt.Fprintf(out, "  %s  %s (%s)\n", mark, c.Promise, c.Found)
	}
	_, err := fmt.Fprintf(out, "%s  %s: %s\n", r.Verdict.shown(paint), r.Drill, r.Reason)
	return err //nolint:wrapcheck // standard output is gone
}

// kinds tells what became of the requests that failed.
func (l Load) kinds() string {
	var text []string
	for _, k := range sorted(l.Kinds) {
		if k != OK {
			text = append(text, fmt.Sprintf("%d %s", l.Kinds[k], k))
		}
	}
	return " " + strings.Join(text, ", ")
}

func seconds(s float64) string { return round(time.Duration(s * float64(time.Second))).String() }

// shown is the verdict in capitals.
func (v Verdict) shown(paint terminal.Palette) string {
	text := strings.ToUpper(string(v))
	switch v {
	case Pass:
		return paint.Good(text)
	case Fail:
		return paint.Bad(text)
	case NotApplicable:
	}
	return paint.Warn(text)
}

func sorted[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
