package trace

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Painter colours what is printed, or leaves it as it is.
type Painter interface {
	Strong(text string) string
	Faint(text string) string
}

// The widths of the columns: 119 in all.
const (
	hopWidth  = 29
	timeWidth = 9
	textWidth = 34
)

// Print writes two requests side by side: one that finds nothing known, and one that finds everything known.
func Print(out io.Writer, paint Painter, cold, warm *Request) error {
	var b strings.Builder
	title := func(name string, r *Request) string {
		return fmt.Sprintf("%s: %d in %s", name, r.Status, duration(r.Took))
	}
	columns := textWidth + timeWidth + 1
	fmt.Fprintf(&b, "%s %s %s\n", paint.Strong(pad("HOP", hopWidth)), paint.Strong(pad(title("COLD", cold), columns)), paint.Strong(title("WARM", warm)))
	fmt.Fprintf(&b, "%s %s %s\n", pad("", hopWidth), paint.Faint(pad(cold.TraceID, columns)), paint.Faint(warm.TraceID))
	for i := range cold.Hops {
		name := label(cold.Hops[i], i > 0 && cold.Hops[i-1].Number == cold.Hops[i].Number)
		left, right := cell(cold.Hops[i]), cell(warm.Hops[i])
		for line := 0; line < max(1, len(left), len(right)); line++ {
			row := pad(name, hopWidth) + " " + shade(paint, cold.Hops[i], pad(at(left, line), columns)) + " " + shade(paint, warm.Hops[i], at(right, line))
			b.WriteString(strings.TrimRight(row, " ") + "\n")
			name = ""
		}
	}
	_, err := io.WriteString(out, b.String())
	return err //nolint:wrapcheck // standard output is gone
}

func label(h Hop, again bool) string {
	number := fmt.Sprintf("%2d", h.Number)
	if again {
		number = "  "
	}
	return number + "  " + h.From + " ▶ " + h.To
}

func shade(paint Painter, h Hop, text string) string {
	if h.Needed {
		return text
	}
	return paint.Faint(text)
}

func at(lines []string, n int) string {
	if n < len(lines) {
		return lines[n]
	}
	return ""
}

// cell is the lines of one hop of one request: when, where and what.
func cell(h Hop) []string {
	when := ""
	if h.Needed {
		when = "+" + duration(h.At)
	}
	text := h.What
	if h.Instance != "" {
		where := h.Instance
		if h.Through != "" {
			where += " through " + h.Through
		}
		text = where + ": " + text
	}
	if h.Token != "" && h.Needed {
		text += ", token " + h.Token
	}
	if h.Took > 0 {
		text += " (" + duration(h.Took) + ")"
	}
	lines := wrap(text)
	for i, line := range lines {
		lines[i] = pad(when, timeWidth) + " " + line
		when = ""
	}
	return lines
}

// wrap breaks a text into lines of at most textWidth, between words. A duration stays in one piece.
func wrap(text string) (lines []string) {
	const gap = "\u00a0"
	line, together := "", strings.NewReplacer(" ms)", gap+"ms)", " µs)", gap+"µs)")
	for word := range strings.SplitSeq(together.Replace(text), " ") {
		word = strings.ReplaceAll(word, gap, " ")
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// duration prints microseconds.
func duration(micros int64) string {
	d := time.Duration(micros) * time.Microsecond
	if d < time.Millisecond {
		return fmt.Sprintf("%d µs", micros)
	}
	return fmt.Sprintf("%.1f ms", float64(micros)/1000)
}
