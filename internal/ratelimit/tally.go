package ratelimit

import (
	"context"
	_ "embed"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

// reportsApart is the time between two rounds of reports of a Tally, so that what one key does meanwhile is one report.
const reportsApart = 200 * time.Millisecond

const (
	reportKeys = 100  // accounts in one report, so that none keeps Redis from others for long
	dueKeys    = 8192 // accounts that wait for their report; those beyond count in their process alone until their next request
)

//go:embed report.lua
var reportText string

//nolint:gochecknoglobals // compiled once, never changed
var reportScript = redisconn.NewScript(reportText)

// Tally counts requests that must not wait for Redis. Run shares what it counts. Its methods may be called by any number of goroutines.
type Tally struct {
	config Config
	local  *local
	due    chan *account
}

// NewTally returns a Tally. It does no I/O.
func NewTally(cfg Config) (*Tally, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Tally{cfg, newLocal(cfg.Keys, cfg.Now), make(chan *account, dueKeys)}, nil
}

// Take takes one request from the account of key under the limit, if one is allowed as far as this process knows. A key may be any bytes;
// under another limit it has another account.
func (t *Tally) Take(key []byte, limit Limit) Verdict {
	if limit.Validate() != nil {
		return Verdict{}
	}
	a := t.local.open(nameOf(key, limit), limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.take(t.config.Now())
	if v.Allowed && t.config.Redis != nil {
		a.untold++
	}
	t.enqueue(a)
	return v
}

// enqueue has the account reported if there is need, and room.
func (t *Tally) enqueue(a *account) {
	if a.queued || a.untold == 0 {
		return
	}
	select {
	case t.due <- a:
		a.queued = true
	default:
	}
}

// Look says what Take would, and takes nothing. A key that nothing was taken from costs no memory.
func (t *Tally) Look(key []byte, limit Limit) Verdict {
	if limit.Validate() != nil {
		return Verdict{}
	}
	a, ok := t.local.accounts.Get(nameOf(key, limit))
	if !ok {
		return Verdict{Allowed: true, Remaining: limit.Burst}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.look(t.config.Now())
}

// Return gives one request back to the account of key, in this process alone.
func (t *Tally) Return(key []byte, limit Limit) {
	if a, ok := t.local.accounts.Get(nameOf(key, limit)); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.full -= limit.interval().Microseconds() // what is before now is as good as now
	}
}

// Len is how many accounts are in memory.
func (t *Tally) Len() int { return t.local.accounts.Len() }

// Run tells Redis what is counted, until ctx ends. Call it once, before Redis is closed. Without Redis it does nothing.
func (t *Tally) Run(ctx context.Context) {
	apart := time.NewTicker(reportsApart)
	defer apart.Stop()
	for t.config.Redis != nil {
		select {
		case <-ctx.Done():
			return
		case <-apart.C:
			for len(t.due) > 0 && ctx.Err() == nil {
				t.report(ctx, t.batch())
			}
		}
	}
}

// batch returns accounts that are due.
func (t *Tally) batch() (all []*account) {
	for len(all) < reportKeys {
		select {
		case a := <-t.due:
			all = append(all, a)
		default:
			return all
		}
	}
	return all
}

// report takes from the accounts in Redis what was taken from these, and from these what was taken from those. What Redis does not
// hear of now is part of the next report.
func (t *Tally) report(ctx context.Context, all []*account) {
	keys, args, told := make([]string, len(all)), make([]any, 0, 3*len(all)), make([]int, len(all))
	now := t.config.Now()
	for i, a := range all {
		keys[i], told[i] = a.name.in(t.config.Prefix), a.untoldAt(now)
		args = append(args, a.limit.interval().Microseconds(), a.limit.Burst, told[i])
	}
	resets, err := t.tell(ctx, keys, args)
	if err != nil {
		t.config.Fallbacks.Inc()
	}
	now = t.config.Now()
	for i, a := range all {
		if err != nil {
			a.keep(told[i])
			continue
		}
		a.learn(now, micros(resets[i]))
	}
}

// untoldAt takes what is to be told: no more than what has not come back by itself meanwhile.
func (a *account) untoldAt(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(a.untold, a.limit.Burst-a.look(now).Remaining)
	a.untold, a.queued = 0, false
	return n
}

// keep puts back what could not be told.
func (a *account) keep(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.untold += n
}

func (t *Tally) tell(ctx context.Context, keys []string, args []any) ([]int64, error) {
	answer, err := t.config.Redis.Eval(ctx, reportScript, keys, args...)
	if err != nil {
		return nil, err
	}
	return numbersOf(answer, len(keys))
}

// learn takes over that it takes so long until a whole burst is there again, by what everybody told. What happened here since the report is
// on top of that.
func (a *account) learn(now time.Time, reset time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	since := time.Duration(a.untold) * a.limit.interval()
	a.full = max(a.full, now.Add(min(reset, a.limit.full())+since).UnixMicro())
}
