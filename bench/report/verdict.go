package report

import (
	"fmt"
)

// Verdict is a figure of a side, or its ratio to that of another, beside two bounds. They are the least that is accepted and what is aimed at;
// with AtMost both are the most.
type Verdict struct {
	Figure string    `json:"figure"`
	Of     string    `json:"of"`               // a side of the row
	Beside string    `json:"beside,omitempty"` // another, or "" for the figure itself
	Unit   string    `json:"unit,omitempty"`   // of the figure; none of a ratio
	Rounds []float64 `json:"rounds,omitempty"`
	Value  float64   `json:"value"` // their median: of ratios, of rounds that took turns
	AtMost bool      `json:"at_most,omitempty"`
	Floor  float64   `json:"floor"`
	Goal   float64   `json:"goal,omitempty"` // 0: the floor is all that is asked for
	// Summary is how the table in README calls it; "" keeps it out of there.
	Summary string `json:"summary,omitempty"`
}

// Judge works a verdict out and adds it to the row. The error tells that the floor is missed, or that there is no such figure.
func (r *Row) Judge(v Verdict) error {
	of, err := r.figure(v.Of, v.Figure)
	if err != nil {
		return err
	}
	v.Unit, v.Rounds, v.Value = of.Unit, of.Rounds, of.Value
	if v.Beside != "" {
		beside, err := r.figure(v.Beside, v.Figure)
		if err != nil {
			return err
		}
		if len(beside.Rounds) != len(of.Rounds) || len(of.Rounds) == 0 {
			return fmt.Errorf("%s: %d rounds of %s beside %d of %s", r.Work, len(of.Rounds), v.Of, len(beside.Rounds), v.Beside)
		}
		v.Unit, v.Rounds = "", nil
		for n := range of.Rounds {
			v.Rounds = append(v.Rounds, of.Rounds[n]/beside.Rounds[n])
		}
		v.Value = Median(v.Rounds)
	}
	r.Verdicts = append(r.Verdicts, v)
	if v.Missed() {
		return fmt.Errorf("%s: %s is %s, the floor is %s", r.Work, v.what(), v.say(v.Value), v.say(v.Floor))
	}
	return nil
}

func (r *Row) figure(side, name string) (*Figure, error) {
	s := r.Side(side)
	if s == nil {
		return nil, fmt.Errorf("%s: no side %q", r.Work, side)
	}
	f := s.Figure(name)
	if f == nil {
		return nil, fmt.Errorf("%s: %s has no figure %q", r.Work, side, name)
	}
	return f, nil
}

// Missed tells whether the floor is.
func (v *Verdict) Missed() bool {
	if v.AtMost {
		return v.Value > v.Floor
	}
	return v.Value < v.Floor
}

// what names the figure.
func (v *Verdict) what() string {
	if v.Beside == "" {
		return fmt.Sprintf("%s of %s", v.Figure, v.Of)
	}
	return fmt.Sprintf("%s of %s beside %s", v.Figure, v.Of, v.Beside)
}

// is prints the value, and whether it is good enough.
func (v *Verdict) is() string {
	if v.Missed() {
		return fmt.Sprintf("**%s**, missed", v.say(v.Value))
	}
	return fmt.Sprintf("**%s**", v.say(v.Value))
}

// say prints a value as the verdict's: a share in percent, another ratio as a factor, a figure with its unit.
func (v *Verdict) say(value float64) string {
	switch {
	case v.Beside == "":
		return quantity(value, v.Unit)
	case v.AtMost:
		return fmt.Sprintf("%.2f ×", value)
	case value >= 2:
		return Number(value) + " ×"
	}
	return fmt.Sprintf("%.0f %%", value*100)
}
