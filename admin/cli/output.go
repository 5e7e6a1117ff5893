package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// The forms of output.
const (
	table  = "table"
	asJSON = "json"
	asYAML = "yaml"
)

// printer writes answers in the form that the user chose.
type printer struct {
	out  io.Writer
	form string
	now  func() time.Time
}

func newPrinter(env Environment, form string) (*printer, error) {
	switch form {
	case "":
		form = table
	case table, asJSON, asYAML:
	default:
		return nil, usagef("--output is %q: allowed is table, json, yaml", form)
	}
	return &printer{out: env.Stdout, form: form, now: env.Now}, nil
}

// machine reports whether a program reads the output.
func (p *printer) machine() bool { return p.form != table }

// line writes one line for people, nothing for programs.
func (p *printer) line(format string, args ...any) {
	if !p.machine() {
		fmt.Fprintln(p.out, printable(fmt.Sprintf(format, args...)))
	}
}

// raw writes what the server answered, for programs.
func (p *printer) raw(body json.RawMessage) error {
	var text []byte
	if p.form == asYAML {
		made, err := yamlOf(body)
		if err != nil {
			return err
		}
		text = made
	} else {
		var indented bytes.Buffer
		if err := json.Indent(&indented, body, "", "  "); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		text = append(bytes.TrimRight(indented.Bytes(), "\n"), '\n')
	}
	if _, err := p.out.Write(text); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

// value writes what is made here, for programs.
func (p *printer) value(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return p.raw(body)
}

// column is one of a table.
type column[T any] struct {
	title string
	cell  func(T) string
}

// printList writes a list: for people a table, for programs an array of what the server answered.
func printList[T any](p *printer, items []json.RawMessage, columns []column[T]) error {
	if p.machine() {
		if items == nil {
			items = []json.RawMessage{}
		}
		body, err := json.Marshal(items)
		if err != nil {
			return fmt.Errorf("encode the list: %w", err)
		}
		return p.raw(body)
	}
	rows := make([]T, len(items))
	for i, item := range items {
		decoded, err := decode[T](item)
		if err != nil {
			return err
		}
		rows[i] = decoded
	}
	return printTable(p.out, rows, columns)
}

func printTable[T any](out io.Writer, rows []T, columns []column[T]) error {
	grid := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	fmt.Fprintln(grid, strings.Join(titles, "\t"))
	for _, item := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = orDash(printable(c.cell(item)))
		}
		fmt.Fprintln(grid, strings.Join(cells, "\t"))
	}
	return flush(grid)
}

// sortRows puts rows in order of their first two columns.
func sortRows[T any](rows []T, columns []column[T]) {
	slices.SortStableFunc(rows, func(a, b T) int {
		return cmp.Or(strings.Compare(columns[0].cell(a), columns[0].cell(b)), strings.Compare(columns[1].cell(a), columns[1].cell(b)))
	})
}

// row is a member of one thing and its value.
type row struct{ name, value string }

// printOne writes one thing: for people its members, those that are empty left out; for programs what the server answered.
func printOne[T any](p *printer, body json.RawMessage, rows func(T) []row) error {
	if p.machine() {
		return p.raw(body)
	}
	decoded, err := decode[T](body)
	if err != nil {
		return err
	}
	return printRows(p.out, rows(decoded))
}

func printRows(out io.Writer, rows []row) error {
	grid := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if r.value != "" {
			fmt.Fprintf(grid, "%s\t%s\n", r.name, printable(r.value))
		}
	}
	return flush(grid)
}

func flush(grid *tabwriter.Writer) error {
	if err := grid.Flush(); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

// printable keeps what others wrote from moving the cursor of a terminal or breaking a table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r): // such as the marks that reverse the direction of writing
			return -1
		}
		return r
	}, text)
}

func orDash(text string) string {
	if text = strings.ReplaceAll(text, "\n", " "); text == "" {
		return "-"
	}
	return text
}
