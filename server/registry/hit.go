package registry

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Hit says how many tokens a change took back.
type Hit struct {
	Tokens int64 // that were live and not taken back before
	Exact  bool  // false: there may be more than were counted
}

// none is the Hit of a change that takes nothing back.
func none() Hit { return Hit{Exact: true} }

// Counting must not keep anybody waiting who takes something back in a hurry.
const (
	countRows = 100_000
	countTime = 2 * time.Second
	countPage = 1000
)

var errEnough = errors.New("enough is counted")

// count returns how many live tokens match that are not taken back yet: of one client, or of all if client is zero. It looks at
// no more than countRows tokens and for no longer than countTime.
func (r *Registry) count(ctx context.Context, match func(*auth.Token) bool, client auth.ClientID) (Hit, error) {
	if r.Ledger == nil {
		return Hit{}, nil
	}
	bounded, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	c := counter{match: match, denied: r.Denied, now: r.Now()}
	var err error
	if client == (auth.ClientID{}) {
		err = r.Ledger.EachToken(bounded, c.first(), c.add)
	} else {
		err = c.addClient(bounded, r.Ledger, client)
	}
	switch {
	case err == nil:
		return Hit{Tokens: c.hit, Exact: true}, nil
	case errors.Is(err, errEnough), bounded.Err() != nil && ctx.Err() == nil:
		return Hit{Tokens: c.hit}, nil
	}
	return Hit{}, err
}

type counter struct {
	match  func(*auth.Token) bool
	denied func(*auth.Token) bool
	now    time.Time
	seen   int
	hit    int64
}

// first returns an id that no token which is still live is below.
func (c *counter) first() auth.TokenID { return auth.FirstTokenID(auth.Bucket(c.now)) }

func (c *counter) add(t *auth.Token) error {
	if c.seen++; c.seen > countRows {
		return errEnough
	}
	if t.Live(c.now) && c.match(t) && (c.denied == nil || !c.denied(t)) {
		c.hit++
	}
	return nil
}

func (c *counter) addClient(ctx context.Context, ledger auth.Ledger, client auth.ClientID) error {
	for after := c.first(); ; {
		page, err := ledger.ClientTokens(ctx, client, after, countPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := c.add(t); err != nil {
				return err
			}
			after = t.ID
		}
		if len(page) < countPage {
			return nil
		}
	}
}
