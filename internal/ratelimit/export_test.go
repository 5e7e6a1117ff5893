package ratelimit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

// Ledger is the accounts in Redis with a clock that the test sets. What is stored stays for a minute longer, since Redis' own
// clock goes on.
type Ledger struct {
	conn   *redisconn.Conn
	script *redisconn.Script
}

// NewLedger changes the script.
func NewLedger(conn *redisconn.Conn) (*Ledger, error) {
	text := scriptText
	for _, change := range [][2]string{
		{"redis.call('TIME')", "{ARGV[3], ARGV[4]}"},
		{"'PX', ", "'PX', 60000 + "},
	} {
		if strings.Count(text, change[0]) != 1 {
			return nil, fmt.Errorf("the script does not have %s once", change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	return &Ledger{conn, redisconn.NewScript(text)}, nil
}

// Take is what Allow asks Redis, at a time of the test's choice.
func (g *Ledger) Take(ctx context.Context, key string, l Limit, now time.Time) (Verdict, error) {
	answer, err := g.conn.Eval(ctx, g.script, []string{key}, l.interval().Microseconds(), l.Burst, now.Unix(), now.Nanosecond()/1000)
	if err != nil {
		return Verdict{}, err
	}
	return read(answer)
}

// Interval is the time between two requests that come evenly.
func (l Limit) Interval() time.Duration { return l.interval() }

// Accounts is how many accounts are in memory that are not as good as new ones.
func (l *Limiter) Accounts() int {
	l.local.accounts.Sweep(l.config.Now())
	return l.local.accounts.Len()
}
