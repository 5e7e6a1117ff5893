package statuspage

import (
	"fmt"
	"strconv"
	"time"
)

// shown is a value as the template has it.
type shown struct {
	Text   string
	Mood   Mood
	Time   string // RFC 3339, if it is a time
	Number bool   // stands to the right
}

// show turns a value into what people read: how long ago a time is, "yes" or "no", digits in groups. What is empty is a dash.
func show(value any, now time.Time) shown {
	const none = "–"
	switch v := value.(type) {
	case State:
		return shown{Text: v.Text, Mood: v.Mood}
	case Said:
		return shown{Text: v.Text, Number: show(v.Value, now).Number}
	case time.Time:
		if v.IsZero() {
			return shown{Text: none}
		}
		return shown{Text: ago(now.Sub(v)), Time: v.UTC().Format(time.RFC3339)}
	case time.Duration:
		return shown{Text: v.String(), Number: true}
	case bool:
		if v {
			return shown{Text: "yes"}
		}
		return shown{Text: "no"}
	case int:
		return shown{Text: grouped(int64(v)), Number: true}
	case int64:
		return shown{Text: grouped(v), Number: true}
	case uint64:
		return shown{Text: grouped(int64(min(v, 1<<63-1))), Number: true}
	}
	text := fmt.Sprint(value)
	if text == "" || value == nil {
		text = none
	}
	return shown{Text: text}
}

func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in " + rough(-d)
	case d < time.Second:
		return "now"
	}
	return rough(d) + " ago"
}

// rough is d in the greatest unit that makes sense of it.
func rough(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= 2*unit.length {
			return strconv.FormatInt(int64(d/unit.length), 10) + " " + unit.name
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + " s"
}

// grouped writes n with thin spaces between groups of three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(text) - 3; i > first; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
