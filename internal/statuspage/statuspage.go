// Package statuspage shows how a process is: to people as one page of HTML without scripts, to programs as JSON of the same values.
package statuspage

import (
	"encoding/json"
	"time"
)

// Page is what there is to be told. Whatever it holds is shown to everybody who can reach the port: no secrets.
type Page struct {
	Title    string
	Sections []Section
}

// Section is a list of facts or a table.
type Section struct {
	Key   string // its name in JSON
	Title string
	Facts []Fact

	Columns []Column
	Rows    [][]any // of values, as many as there are columns; in JSON an array of objects
	Empty   string  // what is said of a table without rows
}

// Fact is one value with its name.
type Fact struct {
	Key   string // its name in JSON
	Label string // for people
	Value any    // a State, a Said, or a plain value
}

// Column is one of a table.
type Column struct {
	Key   string // its name in JSON
	Label string // for people
}

// Mood says how a State is to be taken.
type Mood string

// The moods of a State.
const (
	Good Mood = "good"
	Warn Mood = "warn"
	Bad  Mood = "bad"
	Dull Mood = "dull" // neither good nor bad
)

// State is a value that people are to see at a glance. In JSON it is its Text.
type State struct {
	Text string
	Mood Mood
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.Text), nil }

// Said is a value that people read in words of its own.
type Said struct {
	Value any // for programs
	Text  string
}

// MarshalJSON makes an object of it, with a member for each section: an object of its facts, or an array of its rows.
func (p Page) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(p.Sections)+1)
	all["title"] = p.Title
	for _, s := range p.Sections {
		all[s.Key] = s.value()
	}
	return json.Marshal(all) //nolint:wrapcheck // encoding/json names it
}

func (s Section) value() any {
	if len(s.Columns) == 0 {
		facts := make(map[string]any, len(s.Facts))
		for _, f := range s.Facts {
			facts[f.Key] = forJSON(f.Value)
		}
		return facts
	}
	rows := make([]map[string]any, 0, len(s.Rows))
	for _, cells := range s.Rows {
		row := make(map[string]any, len(cells))
		for i, cell := range cells {
			row[s.Columns[i].Key] = forJSON(cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// forJSON is value in the form that programs read: a time in UTC by RFC 3339 or null, a duration in seconds.
func forJSON(value any) any {
	switch v := value.(type) {
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.Seconds()
	case Said:
		return forJSON(v.Value)
	}
	return value
}
