package drill

import (
	"fmt"
	"strings"
	"time"
)

// Check is one thing that the design promises, and whether it was so.
type Check struct {
	Promise string `json:"promise"`
	Kept    bool   `json:"kept"`
	Found   string `json:"found"`
}

// noFailures: every request was answered as it should be.
func noFailures(records ...Record) Check {
	c := Check{Promise: "no request fails: " + names(records), Kept: true}
	sent, failed, first := 0, 0, ""
	for _, r := range records {
		sent += len(r.Samples)
		failed += r.Failed()
		if first == "" {
			first = r.First(OK)
		}
		if len(r.Samples) == 0 { // what was not tried was not proved
			c.Kept, first = false, "nothing was sent: "+r.Name
		}
	}
	c.Found = fmt.Sprintf("%d of %d failed", failed, sent)
	if c.Kept = c.Kept && failed == 0; !c.Kept {
		c.Found += "; " + first
	}
	return c
}

// noVerdicts: a failure of storage is never turned into a verdict. Only these kinds of answers are allowed.
func noVerdicts(allowed []Kind, records ...Record) Check {
	var words []string
	for _, k := range allowed {
		words = append(words, string(k))
	}
	c := Check{Promise: fmt.Sprintf("%s: nothing but %s, never a verdict", names(records), strings.Join(words, " or ")), Kept: true}
	sent, refused := 0, 0
	for _, r := range records {
		sent += len(r.Samples)
		refused += r.Count(Refused)
		if first := r.First(allowed...); first != "" && c.Kept {
			c.Kept, c.Found = false, first
		}
	}
	if c.Kept {
		c.Kept = sent > 0
		c.Found = fmt.Sprintf("%d answers, no verdict", sent)
	} else if refused > 0 {
		c.Found = fmt.Sprintf("%d of %d were verdicts; %s", refused, sent, c.Found)
	}
	return c
}

// onlyUnavailable: every request is answered by 503 with Retry-After.
func onlyUnavailable(what string, r Record) Check {
	c := Check{Promise: fmt.Sprintf("%s: 503 with Retry-After %s", r.Name, what), Kept: len(r.Samples) > 0, Found: fmt.Sprintf("%d answers", len(r.Samples))}
	for _, s := range r.Samples {
		if s.Kind != Unavailable || !s.RetryAfter {
			c.Kept, c.Found = false, fmt.Sprintf("at %.1fs: %s", s.Begun.Seconds(), s)
			if s.Kind == Unavailable {
				c.Found += ", without Retry-After"
			}
			break
		}
	}
	return c
}

// within: something took no longer than it may.
func within(promise string, took, most time.Duration) Check {
	return Check{Promise: promise, Kept: took <= most, Found: round(took).String()}
}

// atMost: there were no more of something than there may be.
func atMost(promise string, n, most int) Check {
	return Check{Promise: promise, Kept: n <= most, Found: fmt.Sprint(n)}
}

// holds is a check of a plain fact.
func holds(promise string, kept bool, found string) Check {
	return Check{Promise: promise, Kept: kept, Found: found}
}

// slack is the number of requests by which the shares of two instances may differ in any case: with few requests, two are much.
const slack = 2

// even: each instance has its share of the requests, within 2 %.
func even(what string, shares map[string]int) Check {
	const tolerance = 0.02
	c := Check{Promise: what + ": shared evenly within 2 %", Kept: len(shares) > 1}
	total := 0
	for _, n := range shares {
		total += n
	}
	mean := float64(total) / float64(max(1, len(shares)))
	var found []string
	for _, name := range sorted(shares) {
		off := float64(shares[name]) - mean
		if total == 0 || off > max(tolerance*mean, slack) || -off > max(tolerance*mean, slack) {
			c.Kept = false
		}
		found = append(found, fmt.Sprintf("%s %d", name, shares[name]))
	}
	c.Found = strings.Join(found, ", ")
	return c
}

func names(records []Record) string {
	var all []string
	for _, r := range records {
		all = append(all, r.Name)
	}
	return strings.Join(all, ", ")
}

// round makes a time readable.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
