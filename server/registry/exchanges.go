package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// ExchangeRef names a grant to exchange tokens, in the state in which it must be.
type ExchangeRef struct {
	Client         auth.ClientID
	Source, Target auth.APIID
	Match          Match
}

// ExchangeQuery selects grants to exchange tokens. What is zero selects all.
type ExchangeQuery struct {
	Client         auth.ClientID
	Source, Target auth.APIID
	API            auth.APIID   // as source or as target
	After          *ExchangeRef // where the page before ended
	Limit          int          // 0: all
}

func (q *ExchangeQuery) selects(g *auth.ExchangeGrant) bool {
	return (q.Client == (auth.ClientID{}) || q.Client == g.Client) && (q.Source == (auth.APIID{}) || q.Source == g.Source) &&
		(q.Target == (auth.APIID{}) || q.Target == g.Target) && (q.API == (auth.APIID{}) || q.API == g.Source || q.API == g.Target) &&
		(q.After == nil || cmp.Or(slices.Compare(g.Client[:], q.After.Client[:]), slices.Compare(g.Source[:], q.After.Source[:]),
			slices.Compare(g.Target[:], q.After.Target[:])) > 0)
}

// errFull ends the walk over a list of which no more is wanted.
var errFull = errors.New("the page is full")

func listExchanges(ctx context.Context, tx auth.Tx, q ExchangeQuery) (page []*auth.ExchangeGrant, err error) {
	add := func(g *auth.ExchangeGrant) error {
		if q.selects(g) {
			page = append(page, g)
		}
		if q.Limit > 0 && len(page) == q.Limit {
			return errFull
		}
		return nil
	}
	if q.Client != (auth.ClientID{}) {
		all, err := tx.Exchanges().ClientExchanges(ctx, q.Client)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(all) && err == nil; i++ {
			err = add(all[i])
		}
		return page, unlessFull(err)
	}
	return page, unlessFull(tx.Exchanges().EachExchange(ctx, add))
}

func unlessFull(err error) error {
	if errors.Is(err, errFull) {
		return nil
	}
	return err
}

// exchanging counts the grants that name a scope of the API which is not among those.
func exchanging(ctx context.Context, tx auth.Tx, api auth.APIID, offered auth.Scopes) (n int, err error) {
	all, err := listExchanges(ctx, tx, ExchangeQuery{API: api})
	for _, g := range all {
		if slices.ContainsFunc(g.Scopes, func(s auth.ExchangeScope) bool {
			return g.Target == api && !offered.Has(s.Scope) || g.Source == api && !offered.Has(s.Needs)
		}) {
			n++
		}
	}
	return n, err
}

// PutExchange lets g.Client exchange tokens for g.Source for tokens for g.Target with exactly g.Scopes, if m allows. What the client could exchange and
// cannot any more takes back its tokens for the target. It needs grants:write.
func (r *Registry) PutExchange(ctx context.Context, actor auth.Actor, g auth.ExchangeGrant, m Match) (stored *auth.ExchangeGrant, created bool, err error) {
	if err := need(actor, auth.ScopeGrantsWrite); err != nil {
		return nil, false, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (put[auth.ExchangeGrant], error) {
		want := g
		return r.putExchange(ctx, tx, actor, &want, m)
	})
	if err != nil {
		return nil, false, err
	}
	return &done.Stored, done.Created, nil
}

func (r *Registry) putExchange(ctx context.Context, tx auth.Tx, actor auth.Actor, want *auth.ExchangeGrant, m Match) (done put[auth.ExchangeGrant], err error) {
	source, target, err := exchangeParties(ctx, tx, want)
	if err != nil {
		return done, err
	}
	want.Scopes = sortedScopes(want.Scopes)
	if err := want.Validate(source, target); err != nil {
		return done, err
	}
	now := r.now()
	g, err := tx.Exchanges().Exchange(ctx, want.Client, want.Source, want.Target)
	var before any
	narrowed := false
	switch {
	case errors.Is(err, fault.NotFound):
		g = &auth.ExchangeGrant{Client: want.Client, Source: want.Source, Target: want.Target, Created: now}
		done.Created = true
	case err != nil:
		return done, err
	default:
		before = exchangeView(g)
		narrowed = slices.ContainsFunc(g.Scopes, func(s auth.ExchangeScope) bool { return !slices.Contains(want.Scopes, s) })
	}
	if err := m.check(g.Revision); err != nil {
		return done, err
	}
	if !done.Created && slices.Equal(g.Scopes, want.Scopes) {
		done.Stored = *g
		return done, nil
	}
	g.Scopes, g.Updated = want.Scopes, now
	if err := tx.Exchanges().PutExchange(ctx, g); err != nil {
		return done, err
	}
	done.Stored = *g
	changes := []auth.Change{clientChanged(g.Client)}
	if narrowed {
		changes = append(changes, exchangeRevoked(g, target))
	}
	return done, r.note(ctx, tx, record{actor, "exchange.put", exchangeTarget(g), before, exchangeView(g)}, changes...)
}

// sortedScopes returns the scopes in the order in which they are stored.
func sortedScopes(scopes []auth.ExchangeScope) []auth.ExchangeScope {
	sorted := slices.Clone(scopes)
	slices.SortFunc(sorted, func(a, b auth.ExchangeScope) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Needs, b.Needs))
	})
	return sorted
}

// exchangeParties returns the APIs of a grant, whose client must exist, too.
func exchangeParties(ctx context.Context, tx auth.Tx, g *auth.ExchangeGrant) (source, target *auth.API, err error) {
	if _, source, err = parties(ctx, tx, g.Client, g.Source); err != nil {
		return nil, nil, err
	}
	target, err = tx.APIs().API(ctx, g.Target)
	return source, target, err
}

func exchangeTarget(g *auth.ExchangeGrant) string {
	return g.Client.String() + "/" + g.Source.String() + "/" + g.Target.String()
}

func exchangeRevoked(g *auth.ExchangeGrant, target *auth.API) auth.Change {
	return auth.Change{Kind: auth.RevokeGrant, Subject: g.Client, Object: g.Target, Audience: target.Identifier}
}

// DeleteExchange takes a grant to exchange tokens away, and the client's tokens for its target with it. It needs grants:write.
func (r *Registry) DeleteExchange(ctx context.Context, actor auth.Actor, ref ExchangeRef) (Hit, error) {
	if err := need(actor, auth.ScopeGrantsWrite); err != nil {
		return Hit{}, err
	}
	hit, err := r.count(ctx, func(t *auth.Token) bool { return t.API == ref.Target }, ref.Client)
	if err != nil {
		return Hit{}, err
	}
	return update(ctx, r, func(tx auth.Tx) (Hit, error) { return hit, r.removeExchange(ctx, tx, actor, ref, hit) })
}

func (r *Registry) removeExchange(ctx context.Context, tx auth.Tx, actor auth.Actor, ref ExchangeRef, hit Hit) error {
	g, err := tx.Exchanges().Exchange(ctx, ref.Client, ref.Source, ref.Target)
	if err != nil {
		return err
	}
	_, target, err := exchangeParties(ctx, tx, g)
	if err != nil {
		return err
	}
	if err := ref.Match.check(g.Revision); err != nil {
		return err
	}
	if err := tx.Exchanges().DeleteExchange(ctx, ref.Client, ref.Source, ref.Target); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "exchange.delete", exchangeTarget(g), exchangeView(g), hitView(hit)},
		clientChanged(ref.Client), exchangeRevoked(g, target))
}

// Exchange returns a grant to exchange tokens, or fault.NotFound. It needs grants:read.
func (r *Registry) Exchange(ctx context.Context, actor auth.Actor, ref ExchangeRef) (found *auth.ExchangeGrant, err error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		found, err = tx.Exchanges().Exchange(ctx, ref.Client, ref.Source, ref.Target)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ListExchanges returns a page of the grants to exchange tokens that q selects, in order of client, source and target. It needs grants:read.
func (r *Registry) ListExchanges(ctx context.Context, actor auth.Actor, q ExchangeQuery) (page []*auth.ExchangeGrant, err error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		page, err = listExchanges(ctx, tx, q)
		return err
	})
	return page, err
}
