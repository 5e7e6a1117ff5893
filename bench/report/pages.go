package report

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// pages include tables of results, between <!-- bench:NAME --> and <!-- /bench -->. NAME is summary, peers, sizing, or that of a report.
func pages() []string { return []string{"README.md", "docs/performance.md", "docs/sizing.md"} }

var block = regexp.MustCompile(`(?s)(<!-- bench:([a-z]+) -->\n).*?(<!-- /bench -->)`)

// Pages returns the pages of the repository at root as they are with the results of bench/results in them, by path.
func Pages(root string) (map[string]string, error) {
	reports, err := readAll(filepath.Join(root, "bench", "results"))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, page := range pages() {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page))) //nolint:gosec // a page of ours
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		results := strings.Repeat("../", strings.Count(page, "/")) + "bench/results/"
		all[page] = block.ReplaceAllStringFunc(string(text), func(found string) string {
			parts := block.FindStringSubmatch(found)
			return parts[1] + include(reports, parts[2], results) + parts[3]
		})
	}
	return all, nil
}

// UpdatePages brings the results into the pages.
func UpdatePages(root string) error {
	all, err := Pages(root)
	if err != nil {
		return err
	}
	for page, text := range all {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(page)), []byte(text), 0o644); err != nil { //nolint:gosec // to be read
			return fmt.Errorf("write page: %w", err)
		}
	}
	return nil
}

// readAll returns the reports of a folder: in the order of what people ask first, and others by name.
func readAll(folder string) (reports []*Report, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find reports: %w", err)
	}
	if len(files) == 0 {
		return nil, errors.New("no reports in " + folder)
	}
	for _, file := range files {
		r, err := Read(folder, strings.TrimSuffix(path.Base(filepath.ToSlash(file)), ".json"))
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	order := []string{"server", "latency", "peers", "sdk", "edge"}
	slices.SortStableFunc(reports, func(a, b *Report) int { return rank(order, a.Name) - rank(order, b.Name) })
	return reports, nil
}

func rank(order []string, name string) int {
	if n := slices.Index(order, name); n >= 0 {
		return n
	}
	return len(order)
}

// include returns what stands between the marks of a name. What was not measured yet leaves them empty.
func include(reports []*Report, name, results string) string {
	if name == "summary" {
		return Summary(reports)
	}
	of := name
	if name == "sizing" {
		of = "instances"
	}
	n := slices.IndexFunc(reports, func(r *Report) bool { return r.Name == of })
	switch {
	case n < 0:
		return ""
	case name == "peers":
		return Peers(reports[n])
	case name == "sizing":
		return Sizing(reports[n])
	}
	return strings.ReplaceAll(reports[n].Markdown(), "](", "]("+results)
}

// Summary is a table of all verdicts that want to be in it, one line each.
func Summary(reports []*Report) string {
	var b strings.Builder
	b.WriteString("| what | Countersign | beside it | | is | floor | goal |\n|---|---|---|---|---|---|---|\n")
	versions := map[string]string{}
	for _, r := range reports {
		for _, row := range r.Rows {
			for _, v := range row.Verdicts {
				if v.Summary != "" {
					fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", v.Summary, row.said(v.Of, v.Figure), v.Beside, row.said(v.Beside, v.Figure),
						v.is(), v.bound(v.Floor), v.goal())
					maps.Copy(versions, r.Versions)
				}
			}
		}
	}
	last := slices.MaxFunc(reports, func(a, b *Report) int { return a.Time.Compare(b.Time) })
	fmt.Fprintf(&b, "\nMeasured until %s.%s\n", last.when(), said(versions))
	return b.String()
}

// said prints a figure of a side with its unit.
func (r *Row) said(side, name string) string {
	f, err := r.figure(side, name)
	if err != nil {
		return "–"
	}
	return quantity(f.Value, f.Unit)
}

// Peers is a table with a line for each program and a column for the rate of each kind of work.
func Peers(r *Report) string {
	var b strings.Builder
	var works, names []string
	lacks, cells := map[string]string{}, map[[2]string]string{}
	for _, row := range r.Rows {
		for _, side := range row.Sides {
			if side.Figure(Rate) == nil {
				continue
			}
			if !slices.Contains(works, row.Work) {
				works = append(works, row.Work)
			}
			if !slices.Contains(names, side.Name) {
				names = append(names, side.Name)
			}
			cells[[2]string{side.Name, row.Work}] = row.said(side.Name, Rate)
			lacks[side.Name] = cmp.Or(lacks[side.Name], side.Lacks)
		}
	}
	fmt.Fprintf(&b, "| program | %s | without |\n|%s\n", strings.Join(works, " | "), strings.Repeat("---|", len(works)+2))
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, work := range works {
			fmt.Fprintf(&b, " %s |", cmp.Or(cells[[2]string{name, work}], "–"))
		}
		fmt.Fprintf(&b, " %s |\n", lacks[name])
	}
	fmt.Fprintf(&b, "\nMeasured on %s.%s\n", r.when(), r.versions())
	return b.String()
}
