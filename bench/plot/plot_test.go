package plot_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/countersign/countersign/bench/plot"
)

func chart(log bool) *plot.Chart {
	return &plot.Chart{Title: "A < B", Panels: []plot.Panel{
		{
			Title: "one", X: plot.Axis{Label: "connections"}, Y: plot.Axis{Label: "requests/s", Log: log},
			Lines: []plot.Line{
				{Name: "ours", Points: []plot.Point{{1, 1000, 900, 1200}, {2, 2500, 2400, 2600}, {128, 12345, 12000, 13000}}},
				{Name: "limit", Color: 1, Dashed: true, Points: []plot.Point{{1, 2000, 2000, 2000}, {128, 12350, 12350, 12350}}},
			},
		},
		{Title: "two", Lines: []plot.Line{{Name: "ours", Points: []plot.Point{{1, 3, 3, 3}}}, {Name: "nothing"}}, Y: plot.Axis{Log: log}},
		{Title: "empty", Y: plot.Axis{Log: log}},
	}}
}

// A picture is XML, says what it is about, and has a point for each value.
func TestSVG(t *testing.T) {
	t.Parallel()
	for _, log := range []bool{false, true} {
		text := string(chart(log).SVG())
		var words []string
		circles := 0
		for tokens := xml.NewDecoder(strings.NewReader(text)); ; {
			token, err := tokens.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v:\n%s", err, text)
			}
			switch token := token.(type) {
			case xml.StartElement:
				if token.Name.Local == "circle" {
					circles++
				}
			case xml.CharData:
				words = append(words, string(token))
			}
		}
		if circles != 6 {
			t.Errorf("%d points", circles)
		}
		all := "\n" + strings.Join(words, "\n") + "\n"
		for _, want := range []string{"A < B", "ours", "limit", "one", "two", "connections", "requests/s", "1", "2", "128", "12.3k", "ours, 1: 1k (900–1.2k)"} {
			if !strings.Contains(all, "\n"+want+"\n") {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("places that do not exist:\n%s", text)
		}
	}
}

// Four panels stand two by two, and no more than three in a row, so that pages need not make them small.
func TestRows(t *testing.T) {
	t.Parallel()
	one := (&plot.Chart{Panels: make([]plot.Panel, 1)}).SVG()
	width, height := size(t, one)
	for panels, want := range map[int][2]float64{0: {1, 1}, 2: {2, 1}, 3: {3, 1}, 4: {2, 2}, 5: {3, 2}, 7: {3, 3}} {
		w, h := size(t, (&plot.Chart{Panels: make([]plot.Panel, panels)}).SVG())
		if w != want[0]*width || (h > height) != (want[1] > 1) || h > want[1]*height {
			t.Errorf("%d panels are %v × %v, one is %v × %v", panels, w, h, width, height)
		}
	}
}

// size is that of the drawing.
func size(t *testing.T, svg []byte) (width, height float64) {
	t.Helper()
	var root struct {
		ViewBox string `xml:"viewBox,attr"`
	}
	if err := xml.Unmarshal(svg, &root); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(root.ViewBox, "0 0 %g %g", &width, &height); err != nil {
		t.Fatal(err)
	}
	return width, height
}

func TestShort(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]float64{"0": 0, "0.125": 0.125, "12.3": 12.345, "128": 128, "999": 999.4, "1k": 999.5, "5.09k": 5094, "10k": 9999, "12.3k": 12345, "147k": 146789, "1M": 999500, "20k": 20000, "1.23M": 1234567} {
		if got := plot.Short(v); got != want {
			t.Errorf("%v is printed as %s, want %s", v, got, want)
		}
	}
}
