package issuer

import "sync/atomic"

// A retry costs one and a success gives a tenth, so that a server in trouble gets at most a tenth more requests than a healthy one, and a
// single failure is still made good at once.
const (
	retryCost   = 10 // tenths
	successGain = 1
	budgetLimit = 10 * retryCost
)

// budget is a token bucket for retries.
type budget struct{ tenths atomic.Int64 }

func (b *budget) fill() { b.tenths.Store(budgetLimit) }

func (b *budget) gain() {
	for {
		held := b.tenths.Load()
		if held >= budgetLimit || b.tenths.CompareAndSwap(held, held+successGain) {
			return
		}
	}
}

// spend takes a retry and tells whether there was one.
func (b *budget) spend() bool {
	for {
		held := b.tenths.Load()
		if held < retryCost {
			return false
		}
		if b.tenths.CompareAndSwap(held, held-retryCost) {
			return true
		}
	}
}
