package lb

import "sync"

// Weighted is the Policy that takes upstreams in turn, each as often as its weight says. Turns of one upstream are spread among
// those of the others: with weights 5, 1 and 1 no upstream is picked more than four times in a row. The zero value is ready; it must not be
// copied, nor shared by pools.
type Weighted struct {
	mu sync.Mutex
}

// Pick gives every upstream credit by its weight, and the turn to the one that has most, which pays for it with the weights of all. The key
// does not matter.
func (p *Weighted) Pick(_ string, from []*Upstream) *Upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	var picked *Upstream
	all := 0
	for _, u := range from {
		all += u.Weight()
		u.credit += u.Weight()
		if picked == nil || u.credit > picked.credit {
			picked = u
		}
	}
	picked.credit -= all
	return picked
}
