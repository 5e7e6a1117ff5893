// Package plot draws lines over a few places as SVG, by the standard library alone: panels with one legend, readable on light and dark pages.
package plot

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Chart is panels, up to three in a row. Lines of the same name look alike in all of them.
type Chart struct {
	Title  string
	Panels []Panel
}

// Panel is one system of axes.
type Panel struct {
	Title string
	X, Y  Axis
	Lines []Line
}

// Axis says what is measured along it. The places of X are those that points have, at equal distances.
type Axis struct {
	Label string // with the unit
	Log   bool   // of Y: decades are equally high; all values must be above 0
}

// Line is what one thing came to at several places.
type Line struct {
	Name   string
	Dashed bool // beside a line of the same colour
	Color  int  // which of the palette, from 0
	Points []Point
}

// Point is a value with the least and the most that were measured.
type Point struct{ X, Y, Least, Most float64 }

// Sizes in pixels of the drawing, which pages scale.
const (
	panelWidth  = 250.0
	panelHeight = 210.0
	left        = 62.0 // of a panel, for the labels of its Y
	right       = 52.0 // for the values of the last points
	head        = 62.0 // of the chart, for title and legend
	top         = 22.0 // for a panel's title
	bottom      = 50.0
)

const palette = 4

const style = `<style>
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}.head{font-weight:600}.quiet{fill:#59636e}
.ground{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}
.line{fill:none;stroke-width:2}.span{stroke-width:1;opacity:.55}.dashed{stroke-dasharray:5 4}
.c0{stroke:#0969da}.c1{stroke:#bc4c00}.c2{stroke:#1a7f37}.c3{stroke:#8250df}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#9198a1}
.c0{stroke:#58a6ff}.c1{stroke:#f0883e}.c2{stroke:#3fb950}.c3{stroke:#bc8cff}
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}}
</style>
`

// SVG draws the chart.
func (c *Chart) SVG() []byte {
	columns := c.columns()
	width := float64(columns) * (left + panelWidth + right)
	rows := (len(c.Panels) + columns - 1) / columns
	height := head + float64(rows)*(top+panelHeight+bottom)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" role="img" aria-label="%s">`+"\n", num(width), num(height), num(width), html.EscapeString(c.Title))
	b.WriteString(style)
	fmt.Fprintf(&b, `<rect class="ground" width="%s" height="%s" rx="6"/>`+"\n", num(width), num(height))
	text(&b, spot{16, 24}, "title", "start", c.Title)
	c.legend(&b)
	for n, panel := range c.Panels {
		s := newScales(&panel, spot{float64(n%columns)*(left+panelWidth+right) + left, head + float64(n/columns)*(top+panelHeight+bottom) + top + panelHeight})
		panel.frame(&b, s)
		panel.draw(&b, s)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// columns is how many panels stand in a row, so that a page need not make them small; and none stands alone below three others.
func (c *Chart) columns() int {
	if len(c.Panels) == 4 {
		return 2
	}
	return min(max(len(c.Panels), 1), 3)
}

// legend names each line once.
func (c *Chart) legend(b *strings.Builder) {
	x, named := 16.0, []string{}
	for _, panel := range c.Panels {
		for _, line := range panel.Lines {
			if slices.Contains(named, line.Name) {
				continue
			}
			named = append(named, line.Name)
			fmt.Fprintf(b, `<path class="%s" d="M%s 42h24"/>`+"\n", line.class(), num(x))
			text(b, spot{x + 30, 46}, "", "start", line.Name)
			x += 30 + 6.6*float64(len([]rune(line.Name))) + 22
		}
	}
}

func (l *Line) class() string {
	class := "line c" + strconv.Itoa(l.Color%palette)
	if l.Dashed {
		class += " dashed"
	}
	return class
}

// frame draws axes, their labels and the grid.
func (p *Panel) frame(b *strings.Builder, s scales) {
	text(b, spot{s.left, s.base - panelHeight - 14}, "head", "start", p.Title)
	for _, tick := range s.ticks {
		y := s.y(tick)
		fmt.Fprintf(b, `<path class="grid" d="M%s %sh%s"/>`+"\n", num(s.left), num(y), num(panelWidth))
		text(b, spot{s.left - 6, y + 4}, "quiet", "end", Short(tick))
	}
	for _, place := range s.places {
		text(b, spot{s.x(place), s.base + 16}, "quiet", "middle", Short(place))
	}
	fmt.Fprintf(b, `<path class="axis" d="M%s %sh%s"/>`+"\n", num(s.left), num(s.base), num(panelWidth))
	text(b, spot{s.left + panelWidth/2, s.base + 36}, "quiet", "middle", p.X.Label)
	fmt.Fprintf(b, `<text class="quiet" text-anchor="middle" transform="translate(%s %s) rotate(-90)">%s</text>`+"\n", num(s.left-48), num(s.base-panelHeight/2),
		html.EscapeString(p.Y.Label))
}

// draw draws the lines, and the value of each one's last point.
func (p *Panel) draw(b *strings.Builder, s scales) {
	var labels []label
	for _, line := range p.Lines {
		if len(line.Points) == 0 {
			continue
		}
		color := strconv.Itoa(line.Color % palette)
		var path strings.Builder
		for n, point := range line.Points {
			x, y := s.x(point.X), s.y(point.Y)
			step := "L"
			if n == 0 {
				step = "M"
			}
			fmt.Fprintf(&path, "%s%s %s", step, num(x), num(y))
			if point.Least < point.Most {
				fmt.Fprintf(b, `<path class="span c%s" d="M%s %sV%s"/>`+"\n", color, num(x), num(s.y(point.Least)), num(s.y(point.Most)))
			}
			fmt.Fprintf(b, `<circle class="f%s" cx="%s" cy="%s" r="2.5"><title>%s, %s: %s (%s–%s)</title></circle>`+"\n", color, num(x), num(y),
				html.EscapeString(line.Name), Short(point.X), Short(point.Y), Short(point.Least), Short(point.Most))
		}
		fmt.Fprintf(b, `<path class="%s" d="%s"/>`+"\n", line.class(), path.String())
		last := line.Points[len(line.Points)-1]
		labels = append(labels, label{s.y(last.Y), Short(last.Y), color})
	}
	for _, l := range apart(labels) {
		fmt.Fprintf(b, `<text class="f%s" x="%s" y="%s">%s</text>`+"\n", l.color, num(s.left+panelWidth+4), num(l.y+4), l.text)
	}
}

// label is the value of a last point.
type label struct {
	y           float64
	text, color string
}

// apart moves labels so that none covers another.
func apart(labels []label) []label {
	slices.SortFunc(labels, func(a, b label) int { return int(math.Copysign(1, a.y-b.y)) })
	for n := 1; n < len(labels); n++ {
		labels[n].y = max(labels[n].y, labels[n-1].y+13)
	}
	return labels
}

// spot is one of the drawing.
type spot struct{ x, y float64 }

func text(b *strings.Builder, at spot, class, anchor, content string) {
	fmt.Fprintf(b, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`+"\n", class, num(at.x), num(at.y), anchor, html.EscapeString(content))
}

// num prints a coordinate.
func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// Short prints a value in a few letters: three digits.
func Short(v float64) string {
	switch size := math.Abs(v); {
	case size >= 999.5e3:
		return digits(v/1e6) + "M"
	case size >= 999.5:
		return digits(v/1e3) + "k"
	}
	return digits(v)
}

func digits(v float64) string {
	if math.Abs(v) >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
