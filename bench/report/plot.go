package report

import (
	"slices"

	"github.com/countersign/countersign/bench/plot"
)

// Plot is a picture of the report's rows, NAME.svg: a panel for each kind of work, in it a line for each side and figure over the rows' At.
type Plot struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Figures []string `json:"figures"` // of one unit; the second is dashed
	X       string   `json:"x"`       // what At is, with its unit
	Y       string   `json:"y"`       // with the unit
	Log     bool     `json:"log,omitempty"`
}

// draw makes the picture.
func (r *Report) draw(p Plot) []byte {
	chart := plot.Chart{Title: p.Title}
	for _, row := range r.Rows {
		if row.At == 0 {
			continue
		}
		n := slices.IndexFunc(chart.Panels, func(panel plot.Panel) bool { return panel.Title == row.Work })
		if n < 0 {
			n = len(chart.Panels)
			chart.Panels = append(chart.Panels, plot.Panel{Title: row.Work, X: plot.Axis{Label: p.X}, Y: plot.Axis{Label: p.Y, Log: p.Log}})
		}
		for color, side := range row.Sides {
			for k, name := range p.Figures {
				if f := side.Figure(name); f != nil {
					add(&chart.Panels[n], p.label(side.Name, name), color, k > 0, f.point(row.At))
				}
			}
		}
	}
	return chart.SVG()
}

// label names a line. The figure is said if there are several.
func (p *Plot) label(side, figure string) string {
	if len(p.Figures) == 1 {
		return side
	}
	return side + ", " + figure
}

func (f *Figure) point(at float64) plot.Point {
	p := plot.Point{X: at, Y: f.Value, Least: f.Value, Most: f.Value}
	if len(f.Rounds) > 0 {
		p.Least, p.Most = slices.Min(f.Rounds), slices.Max(f.Rounds)
	}
	return p
}

// add appends a point to the line of this name, which it makes if there is none.
func add(panel *plot.Panel, name string, color int, dashed bool, point plot.Point) {
	n := slices.IndexFunc(panel.Lines, func(l plot.Line) bool { return l.Name == name })
	if n < 0 {
		n = len(panel.Lines)
		panel.Lines = append(panel.Lines, plot.Line{Name: name, Color: color, Dashed: dashed})
	}
	panel.Lines[n].Points = append(panel.Lines[n].Points, point)
}
