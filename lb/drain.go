package lb

import "fmt"

// Drain gives the upstream at address, as Status shows it, no new requests until Undrain; those in flight are finished. It goes on to be
// checked.
func (p *Pool) Drain(address string) error { return p.setDrained(address, true) }

// Undrain takes Drain back.
func (p *Pool) Undrain(address string) error { return p.setDrained(address, false) }

func (p *Pool) setDrained(address string, drained bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := find(p.members, address)
	if u == nil {
		return fmt.Errorf("pool %s: no upstream %s", p.cfg.Name, address)
	}
	if u.drained == drained {
		return nil
	}
	u.drained = drained
	if !drained {
		p.startSlowly(u)
	}
	p.publish()
	p.cfg.Logger.Info("upstream drained or undrained", "pool", p.cfg.Name, "upstream", address, "drained", drained)
	return nil
}
