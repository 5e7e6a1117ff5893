package drill

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Kind is what became of a request.
type Kind string

// The kinds. All but OK are failures, which differ in how bad they are.
const (
	OK          Kind = "ok"
	Unavailable Kind = "503"        // asked to come again
	ServerError Kind = "5xx"        // another status from 500 on
	Refused     Kind = "refused"    // a verdict: 401, 403, an OAuth error, "active": false
	NoAnswer    Kind = "no answer"  // the connection broke, or nothing came in time
	Unexpected  Kind = "unexpected" // any other status
)

// Sample is one request. Times count from the start of the drill.
type Sample struct {
	Begun, Ended time.Duration
	Kind         Kind
	Status       int    // 0: none came
	RetryAfter   bool   // the answer says when to come again (RFC 9110 §10.2.3)
	Detail       string // of a failure, without any secret
}

// Record are the requests of one load.
type Record struct {
	Name    string
	Samples []Sample
}

// Within returns the requests that began and ended from from on and before to: those that were under way at either end may have
// gone either way.
func (r Record) Within(from, to time.Duration) Record {
	part := Record{Name: r.Name}
	for _, s := range r.Samples {
		if s.Begun >= from && s.Ended < to {
			part.Samples = append(part.Samples, s)
		}
	}
	return part
}

// Count returns how many requests were of these kinds.
func (r Record) Count(kinds ...Kind) (n int) {
	for _, s := range r.Samples {
		if slices.Contains(kinds, s.Kind) {
			n++
		}
	}
	return n
}

// Failed returns how many requests were not answered as they should have been.
func (r Record) Failed() int { return len(r.Samples) - r.Count(OK) }

// First describes the first request that is not of these kinds, "" if there is none.
func (r Record) First(not ...Kind) string {
	for _, s := range r.Samples {
		if !slices.Contains(not, s.Kind) {
			return fmt.Sprintf("%s at %.1fs: %s", r.Name, s.Begun.Seconds(), s)
		}
	}
	return ""
}

// String tells what became of the request.
func (s Sample) String() string {
	text := string(s.Kind)
	if s.Status != 0 && s.Kind != Unavailable {
		text += fmt.Sprintf(" (%d %s)", s.Status, http.StatusText(s.Status))
	}
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// LongestGap returns the longest time without a successful answer while at least one request was wanted: from the first request
// after a success, or from that success if others were under way, to the next success. What is measured ends with the answer to the last
// request that was sent: later nothing new is wanted.
func (r Record) LongestGap() (gap time.Duration) {
	type event struct {
		at   time.Duration
		from bool // a request begins; else it ends
		ok   bool
	}
	var events []event
	var last Sample
	for _, s := range r.Samples {
		if s.Begun >= last.Begun {
			last = s
		}
		events = append(events, event{at: s.Begun, from: true}, event{at: s.Ended, ok: s.Kind == OK})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	var since time.Duration
	wanted, underWay := false, 0
	for _, e := range events {
		switch {
		case e.at > last.Ended:
			continue
		case e.from:
			underWay++
			if !wanted {
				wanted, since = true, e.at
			}
		case e.ok:
			underWay--
			gap = max(gap, e.at-since)
			wanted, since = underWay > 0, e.at
		default:
			underWay--
		}
	}
	if wanted {
		gap = max(gap, last.Ended-since)
	}
	return gap
}

// Quantile returns the time that this share of the successful requests took at most, q from 0 to 1; 0 if there was none.
func (r Record) Quantile(q float64) time.Duration {
	var took []time.Duration
	for _, s := range r.Samples {
		if s.Kind == OK {
			took = append(took, s.Ended-s.Begun)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}

// Rate returns successful answers per second.
func (r Record) Rate() float64 {
	if len(r.Samples) == 0 {
		return 0
	}
	first, last := r.Samples[0].Begun, time.Duration(0)
	for _, s := range r.Samples {
		first, last = min(first, s.Begun), max(last, s.Ended)
	}
	if last <= first {
		return 0
	}
	return float64(r.Count(OK)) / (last - first).Seconds()
}
