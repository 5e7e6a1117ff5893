package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/admin/wire"
)

const day = 24 * time.Hour

// ago tells how long ago at was, or how far ahead it is, in its largest unit.
func (p *printer) ago(at time.Time) string {
	passed := p.now().Sub(at)
	switch {
	case passed.Abs() < time.Second:
		return "just now"
	case passed < 0:
		return "in " + span(-passed)
	}
	return span(passed) + " ago"
}

// since is ago for a time that may never have come.
func (p *printer) since(at *time.Time, never string) string {
	if at == nil {
		return never
	}
	return p.ago(*at)
}

// span rounds to the unit in which the time is one or more.
func span(d time.Duration) string {
	for _, unit := range []struct {
		below time.Duration
		of    time.Duration
		name  string
	}{{time.Minute, time.Second, "s"}, {time.Hour, time.Minute, "m"}, {2 * day, time.Hour, "h"}} {
		if rounded := d.Round(unit.of); rounded < unit.below {
			return strconv.Itoa(int(rounded/unit.of)) + unit.name
		}
	}
	return strconv.Itoa(int(d.Round(day)/day)) + "d"
}

// moment writes a time exactly, and how long ago that is.
func (p *printer) moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339) + " (" + p.ago(at) + ")"
}

func (p *printer) momentOr(at *time.Time, never string) string {
	if at == nil {
		return never
	}
	return p.moment(*at)
}

func labels(of map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, name+"="+of[name])
	}
	return strings.Join(list, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// widestScopes is how many characters of scopes a table shows at most, so that a line of it fits a terminal.
const widestScopes = 60

// brief joins scopes for a table. Of many it shows the first, and how many there are.
func brief(scopes []string) string {
	text := strings.Join(scopes, " ")
	if len(text) <= widestScopes || len(scopes) < 2 {
		return text
	}
	shown, width := 1, len(scopes[0])
	for width+1+len(scopes[shown]) <= widestScopes {
		width += 1 + len(scopes[shown])
		shown++
	}
	return fmt.Sprintf("%s … (%d)", strings.Join(scopes[:shown], " "), len(scopes))
}

// tookBack tells what a change did to living tokens.
func tookBack(hit wire.Hit) string {
	least := ""
	if !hit.Exact {
		least = "at least "
	}
	if hit.Tokens == 1 {
		return least + "1 living token taken back"
	}
	return fmt.Sprintf("%s%d living tokens taken back", least, hit.Tokens)
}
