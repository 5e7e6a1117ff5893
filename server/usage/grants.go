package usage

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/countersign/countersign/server/auth"
)

// maxScopes bounds how many combinations of client, API and scopes are told apart between two flushes. Beyond it tokens are still counted
// for their grant, but not for their scopes.
const maxScopes = 50_000

type grantKey struct {
	client auth.ClientID
	api    auth.APIID
	scope  string // of the token; empty: not told
}

// grantUses are the grants under which tokens were issued of late.
type grantUses struct {
	all    sync.Map // of *grantUse by grantKey
	length atomic.Int64
}

type grantUse struct {
	minute atomic.Int64 // of the last token
	tokens atomic.Int64 // that are not written; below 0: dropped, no longer in the map
}

func (g *grantUses) use(key grantKey, minute int64) {
	for {
		found, ok := g.all.Load(key)
		if !ok {
			found = g.add(key)
		}
		u := found.(*grantUse) //nolint:errcheck,forcetypeassert // nothing else is stored
		// First the time, so that no token is written without one.
		for m := u.minute.Load(); m < minute; m = u.minute.Load() {
			u.minute.CompareAndSwap(m, minute)
		}
		if u.tokens.Add(1) > 0 {
			return
		}
		g.remove(key, u)
	}
}

// add returns a new entry. A scope may be part of a request's text, which is not to be kept with it.
func (g *grantUses) add(key grantKey) any {
	if g.length.Load() >= maxScopes {
		key.scope = ""
	}
	key.scope = strings.Clone(key.scope)
	entry, loaded := g.all.LoadOrStore(key, &grantUse{})
	if !loaded {
		g.length.Add(1)
	}
	return entry
}

func (g *grantUses) remove(key grantKey, u *grantUse) {
	if g.all.CompareAndDelete(key, u) {
		g.length.Add(-1)
	}
}

// tally is what is to be written of one grant, in one transaction: all of it is written, or nothing.
type tally struct {
	rows map[string]auth.GrantUse // by scope; empty: the grant as a whole
	from []portion
}

// portion is what was taken from an entry.
type portion struct {
	of     *grantUse
	tokens int64
}

type grantID struct {
	client auth.ClientID
	api    auth.APIID
}

// take returns what is to be written, and drops what has been idle since before oldest.
func (g *grantUses) take(oldest int64) map[grantID]*tally {
	all := map[grantID]*tally{}
	g.all.Range(func(k, v any) bool {
		key, u := k.(grantKey), v.(*grantUse) //nolint:errcheck,forcetypeassert // nothing else is stored
		// First the number, so that its last token is not later than the time.
		tokens := u.tokens.Swap(0)
		minute := u.minute.Load()
		if tokens == 0 {
			if minute < oldest && u.tokens.CompareAndSwap(0, math.MinInt64/2) {
				g.remove(key, u)
			}
			return true
		}
		id := grantID{key.client, key.api}
		t := all[id]
		if t == nil {
			t = &tally{rows: map[string]auth.GrantUse{}}
			all[id] = t
		}
		t.from = append(t.from, portion{u, tokens})
		t.count(key, "", minute, tokens)
		for scope := range strings.FieldsSeq(key.scope) {
			t.count(key, scope, minute, tokens)
		}
		return true
	})
	return all
}

func (t *tally) count(key grantKey, scope string, minute, tokens int64) {
	row := auth.GrantUse{Client: key.client, API: key.api, Scope: scope, Last: timeOf(minute), Tokens: tokens + t.rows[scope].Tokens}
	if before := t.rows[scope].Last; before.After(row.Last) {
		row.Last = before
	}
	t.rows[scope] = row
}

// putBack undoes the taking.
func (t *tally) putBack() {
	for _, p := range t.from {
		p.of.tokens.Add(p.tokens)
	}
}
