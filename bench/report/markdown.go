package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Markdown is the report as a section of a page.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", r.Title, r.Setting)
	for _, p := range r.Plots {
		fmt.Fprintf(&b, "![%s](%s.svg)\n\n", p.Title, p.Name)
	}
	b.WriteString(Tables(r.Rows))
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	fmt.Fprintf(&b, "\nMeasured on %s.%s\n", r.when(), r.versions())
	return b.String()
}

// Tables are rows as tables of figures, with a line for each side, and one of verdicts. A figure is the median
// of its rounds, with the least and the most of them.
func Tables(rows []Row) string {
	var b strings.Builder
	for rest := rows; len(rest) > 0; {
		alike := 1
		for alike < len(rest) && slices.Equal(rest[0].columns(), rest[alike].columns()) {
			alike++
		}
		figureTable(&b, rest[:alike])
		rest = rest[alike:]
	}
	verdictTable(&b, rows)
	return strings.TrimPrefix(b.String(), "\n")
}

// when says when and on what the report was measured.
func (r *Report) when() string {
	return fmt.Sprintf("%s: %s, %d cores, %s of memory, %s", r.Time.Format(time.DateOnly), r.Machine.Processor, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel)
}

// what names the work, and where it was done.
func (r *Row) what() string {
	if r.At == 0 {
		return r.Work
	}
	return r.Work + ", " + Number(r.At) + " " + r.AtUnit
}

// columns are the heads of the row's figures, in their order.
func (r *Row) columns() (heads []string) {
	for _, side := range r.Sides {
		for _, f := range side.Figures {
			if head := f.head(); !slices.Contains(heads, head) {
				heads = append(heads, head)
			}
		}
	}
	return heads
}

func (f *Figure) head() string {
	switch {
	case f.Unit == "":
		return f.Name
	case strings.HasPrefix(f.Unit, "/"):
		return f.Name + f.Unit
	}
	return f.Name + ", " + f.Unit
}

func figureTable(b *strings.Builder, rows []Row) {
	heads := rows[0].columns()
	worked, lacking := false, false
	for _, row := range rows {
		for _, side := range row.Sides {
			worked, lacking = worked || len(side.CPU) > 0, lacking || side.Lacks != ""
		}
	}
	columns := append([]string{"work", "by"}, heads...)
	if worked {
		columns = append(columns, "CPU, ms per 1,000 requests")
	}
	if lacking {
		columns = append(columns, "without")
	}
	fmt.Fprintf(b, "\n| %s |\n%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for _, row := range rows {
		for n, side := range row.Sides {
			cells := []string{row.what(), side.Name}
			if n > 0 {
				cells[0] = ""
			}
			for _, head := range heads {
				cells = append(cells, side.cell(head))
			}
			if worked {
				cells = append(cells, side.cpu())
			}
			if lacking {
				cells = append(cells, side.Lacks)
			}
			fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// cell is the side's figure below a head: the median, and how far its rounds lie apart.
func (s *Side) cell(head string) string {
	n := slices.IndexFunc(s.Figures, func(f Figure) bool { return f.head() == head })
	if n < 0 {
		return "–"
	}
	f := s.Figures[n]
	least, most := f.Value, f.Value
	if len(f.Rounds) > 0 {
		least, most = slices.Min(f.Rounds), slices.Max(f.Rounds)
	}
	if least == most {
		return Number(f.Value)
	}
	return fmt.Sprintf("%s (%s–%s)", Number(f.Value), Number(least), Number(most))
}

func (s *Side) cpu() string {
	parts := make([]string, 0, len(s.CPU))
	for _, name := range slices.Sorted(maps.Keys(s.CPU)) {
		parts = append(parts, fmt.Sprintf("%s %s", name, Number(s.CPU[name])))
	}
	return strings.Join(parts, ", ")
}

func verdictTable(b *strings.Builder, rows []Row) {
	begun := false
	for _, row := range rows {
		for _, v := range row.Verdicts {
			if !begun {
				b.WriteString("\n| work | judged | is | floor | goal |\n|---|---|---|---|---|\n")
				begun = true
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", row.what(), v.what(), v.is(), v.bound(v.Floor), v.goal())
		}
	}
}

// bound prints a floor or goal.
func (v *Verdict) bound(value float64) string {
	switch {
	case v.AtMost:
		return "≤ " + v.say(value)
	case value == 0: // which is none
		return "–"
	}
	return v.say(value)
}

func (v *Verdict) goal() string {
	if v.Goal == 0 {
		return "–"
	}
	return v.bound(v.Goal)
}

func quantity(value float64, unit string) string {
	if unit == "" || strings.HasPrefix(unit, "/") {
		return Number(value) + unit
	}
	return Number(value) + " " + unit
}

// Number prints three digits or more, thousands apart.
func Number(n float64) string {
	switch size := math.Abs(n); {
	case n == math.Trunc(n) && size < 100:
		return fmt.Sprintf("%.0f", n)
	case size < 9.995:
		return fmt.Sprintf("%.2f", n)
	case size < 99.95:
		return fmt.Sprintf("%.1f", n)
	}
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
