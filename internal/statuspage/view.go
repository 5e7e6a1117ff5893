package statuspage

import (
	"html/template"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// view is what the template is executed with.
type view struct {
	Title    string
	Style    template.CSS
	Sections []viewSection
	Now      string
}

type viewSection struct {
	Title   string
	Facts   []labelled
	Columns []viewColumn
	Rows    [][]labelled
	Empty   string
}

type labelled struct {
	Label string
	Value shown
}

type viewColumn struct {
	Label  string
	Number bool
}

func (p Page) view(now time.Time) view {
	v := view{Title: p.Title, Style: template.CSS(pageCSS), Now: now.UTC().Format(time.RFC3339)} //nolint:gosec // G203: it is ours
	for _, s := range p.Sections {
		section := viewSection{Title: s.Title, Empty: s.Empty}
		for _, f := range s.Facts {
			section.Facts = append(section.Facts, labelled{f.Label, show(f.Value, now)})
		}
		for _, c := range s.Columns {
			section.Columns = append(section.Columns, viewColumn{Label: c.Label})
		}
		for _, cells := range s.Rows {
			row := make([]labelled, len(cells))
			for i, cell := range cells {
				row[i] = labelled{s.Columns[i].Label, show(cell, now)}
				section.Columns[i].Number = row[i].Value.Number
			}
			section.Rows = append(section.Rows, row)
		}
		v.Sections = append(v.Sections, section)
	}
	return v
}

// wantsHTML reports whether text/html is named, and JSON not preferred to it. Programs name what they want, or nothing (*/*).
func wantsHTML(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return false
	case "html":
		return true
	}
	var html, json float64
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			kind, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			quality := 1.0
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
				quality = q
			}
			switch kind {
			case "text/html":
				html = quality
			case "application/json":
				json = quality
			}
		}
	}
	return html > 0 && html >= json
}
