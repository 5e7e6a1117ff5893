package lb

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	budgetUnit  = 1000                // parts of one repeat, so that shares add up in integers
	budgetCap   = 1000 * budgetUnit   // repeats that a quiet time can save up
	floorRate   = rate.Limit(10)      // repeats a second that are free
	floorBurst  = 100                 // of these at once, so that a pool without history survives a kill
	repeatShare = budgetUnit * 2 / 10 // what each request earns
)

// budget bounds repeats to a share of the requests plus a floor, so that upstreams which fail under
// load are not given more of it. It is safe for concurrent use.
type budget struct {
	earned atomic.Int64 // in parts of a repeat
	floor  *rate.Limiter
	now    func() time.Time
}

func newBudget(now func() time.Time) *budget {
	return &budget{floor: rate.NewLimiter(floorRate, floorBurst), now: now}
}

// earn counts one request.
func (b *budget) earn() {
	// Concurrent callers may pass the cap by a few parts, which does no harm; a full budget costs
	// a read and no write to shared memory.
	if b.earned.Load() < budgetCap {
		b.earned.Add(repeatShare)
	}
}

// spend reports whether one more repeat is allowed, and counts it.
func (b *budget) spend() bool {
	for {
		have := b.earned.Load()
		if have < budgetUnit {
			return b.floor.AllowN(b.now(), 1)
		}
		if b.earned.CompareAndSwap(have, have-budgetUnit) {
			return true
		}
	}
}
