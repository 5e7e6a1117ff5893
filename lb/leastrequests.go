package lb

import "math/rand/v2"

// LeastRequests is the Policy that draws two upstreams and takes the one with fewer requests in flight for its weight. Two choices are
// enough to steer clear of a slow upstream, and unlike a search for the very least they do not send everybody who looks at the same moment to
// the same place. The zero value is ready.
type LeastRequests struct{}

// Pick returns the better of two of from; the key does not matter.
func (LeastRequests) Pick(_ string, from []*Upstream) *Upstream {
	if len(from) == 1 {
		return from[0]
	}
	i := rand.IntN(len(from))     //nolint:gosec // G404: spreads load, guards nothing
	j := rand.IntN(len(from) - 1) //nolint:gosec // G404
	if j >= i {
		j++
	}
	one, other := from[i], from[j]
	// The request to come counts, else an idle upstream of weight 1 would be as good as an idle one of weight 10.
	if (other.InFlight()+1)*one.Weight() < (one.InFlight()+1)*other.Weight() {
		return other
	}
	return one
}
