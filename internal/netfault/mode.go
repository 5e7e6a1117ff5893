package netfault

import (
	"fmt"
	"strings"
	"time"
)

// Mode is one way in which a network can be, by the word that people type for it.
type Mode string

// The modes.
const (
	Pass      Mode = "pass"       // all is well
	Delay     Mode = "delay"      // every byte takes DelayTime longer, each way
	Refuse    Mode = "refuse"     // connections are reset, and new ones refused
	Hang      Mode = "hang"       // nothing comes, until all of it does
	BlackHole Mode = "black-hole" // every byte is lost
)

// DelayTime is how long the mode Delay holds every byte, each way.
const DelayTime = 200 * time.Millisecond

// Modes returns every mode.
func Modes() []Mode { return []Mode{Pass, Delay, Refuse, Hang, BlackHole} }

// ParseMode returns the mode of this name.
func ParseMode(name string) (Mode, error) {
	var names []string
	for _, m := range Modes() {
		if string(m) == name {
			return m, nil
		}
		names = append(names, string(m))
	}
	return "", fmt.Errorf("no fault is called %q: allowed are %s", name, strings.Join(names, ", "))
}

// Set lifts what faults there are and brings about this one.
func (p *Proxy) Set(m Mode) error {
	if m == Refuse { // not open in between
		p.net.set(func(paths *[2]path) { *paths = [2]path{} })
		return p.Refuse()
	}
	if err := p.Pass(); err != nil {
		return err
	}
	switch m {
	case Delay:
		p.Delay(DelayTime, DelayTime)
	case Hang:
		p.Hang()
	case BlackHole:
		p.BlackHole()
	case Pass, Refuse:
	}
	return nil
}
