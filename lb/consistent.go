package lb

import (
	"math"
	"math/rand/v2"
)

// Consistent is the Policy that sends equal keys to the same upstream, in every process that knows the same upstreams, and keeps to the
// shares that their weights say (rendezvous hashing). If an upstream goes down its keys are spread over the others, and come back with
// it; all other keys stay where they are. Requests without a key are spread at random. The zero value is ready.
type Consistent struct{}

// Pick returns the upstream of from that the key belongs to. It takes time in proportion to len(from).
func (Consistent) Pick(key string, from []*Upstream) *Upstream {
	if key == "" {
		return from[rand.IntN(len(from))] //nolint:gosec // G404: spreads load, guards nothing
	}
	hash := hashText(key)
	var best *Upstream
	most := math.Inf(-1)
	for _, u := range from {
		// Each upstream draws a number of its own for the key, uniform between 0 and 1; the greatest weight/-ln wins, which
		// upstreams do in proportion to their weights.
		drawn := (float64(scramble(u.seed^hash)>>11) + 0.5) / (1 << 53)
		if score := float64(u.Weight()) / -math.Log(drawn); score > most {
			best, most = u, score
		}
	}
	return best
}

// hashText is FNV-1a of 64 bits: the same in every process, so that several balancers agree.
func hashText(text string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return h
}

// scramble makes every bit of x matter for every bit of the result, as FNV does not (the finalizer of SplitMix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
