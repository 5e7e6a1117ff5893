package doctor

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/countersign/countersign/internal/terminal"
)

// Worst returns the worst level among the findings.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// Write tells the findings to people: a line each, the cure below, and a sum at the end.
func Write(out io.Writer, all []Finding, palette terminal.Palette) error {
	paint := map[Level]func(string) string{OK: palette.Good, Warn: palette.Warn, Fail: palette.Bad}
	width := 0
	for _, f := range all {
		width = max(width, len(f.Check))
	}
	count := map[Level]int{}
	text := bufio.NewWriter(out)
	for _, f := range all {
		count[f.Level]++
		fmt.Fprintf(text, "%s  %-*s  %s\n", paint[f.Level](fmt.Sprintf("%-4s", f.Level)), width, f.Check, oneLine(f.Found))
		if f.Cure != "" {
			fmt.Fprintf(text, "      %-*s  ▸ %s\n", width, "", oneLine(f.Cure))
		}
	}
	fmt.Fprintf(text, "\n%d ok, %d to look at, %d to mend\n", count[OK], count[Warn], count[Fail])
	return text.Flush() //nolint:wrapcheck // standard output is gone
}

// oneLine keeps what other programs said from breaking the table or moving the cursor.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
