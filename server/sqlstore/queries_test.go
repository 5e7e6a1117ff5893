package sqlstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// pageLimit is how much the admin API lists by default.
const pageLimit = 50

// usesAtOnce is how many uses of each kind are recorded at once.
const usesAtOnce = 500

// A query is a list or a look-up, as administration calls it.
type query struct {
	name string
	call func(ctx context.Context, s *sqlstore.Store) error
	// rows bounds how many rows the database may touch to answer; 0 is a few for each of a page.
	rows int
}

func viewing(name string, rows int, read func(ctx context.Context, tx auth.Tx) error) query {
	return query{name, func(ctx context.Context, s *sqlstore.Store) error {
		return s.View(ctx, func(tx auth.Tx) error { return read(ctx, tx) })
	}, rows}
}

func lookup[T any](name string, read func(ctx context.Context, tx auth.Tx) (T, error)) query {
	return viewing(name, 0, func(ctx context.Context, tx auth.Tx) error {
		_, err := read(ctx, tx)
		return err
	})
}

// both gives a list in both directions, from its beginning and from a place.
func both(name string, rows int, list func(ctx context.Context, tx auth.Tx, descending, further bool) error) (all []query) {
	for _, descending := range []bool{false, true} {
		for _, further := range []bool{false, true} {
			all = append(all, viewing(fmt.Sprintf("%s, descending %v, further %v", name, descending, further), rows, func(ctx context.Context, tx auth.Tx) error {
				return list(ctx, tx, descending, further)
			}))
		}
	}
	return all
}

func (b *big) queries() (all []query) {
	all = append(all, b.clientQueries()...)
	all = append(all, b.apiQueries()...)
	all = append(all, b.grantQueries()...)
	all = append(all, b.auditQueries()...)
	return append(all, b.lookups()...)
}

func (b *big) clientQueries() (all []query) {
	middle := manyClients / 2
	for _, f := range []struct {
		auth.ClientQuery
		scan int // rows that a page in another order than that of the index takes
	}{
		{auth.ClientQuery{}, 0},
		{auth.ClientQuery{Status: auth.Active}, 0},
		{auth.ClientQuery{Status: auth.Disabled}, 0},
		{auth.ClientQuery{Owner: owner(0)}, 0},
		{auth.ClientQuery{Owner: owner(0), Status: auth.Active}, 0},
		{auth.ClientQuery{Label: "tier"}, 0},
		{auth.ClientQuery{Label: "tier", LabelValue: "1"}, 0},
		{auth.ClientQuery{Label: "zone", LabelValue: "7"}, 0},
		{auth.ClientQuery{Label: "nothing"}, 0},
		{auth.ClientQuery{NamePrefix: "service-07"}, 1000}, // 1000 clients, which are not in order of creation
		{auth.ClientQuery{NamePrefix: "service-"}, 0},
		{auth.ClientQuery{NamePrefix: "nothing"}, 0},
	} {
		for _, order := range []auth.Order{auth.ByCreation, auth.ByName} {
			all = append(all, both(fmt.Sprintf("clients %+v by %s", f.ClientQuery, order), f.scan, func(ctx context.Context, tx auth.Tx, descending, further bool) error {
				q := f.ClientQuery
				if q.Order, q.Descending, q.Limit = order, descending, pageLimit; further {
					q.After = &auth.Place{Key: fmt.Sprintf("service-%05d", middle), ID: b.clients[middle]}
				}
				_, err := tx.Clients().ListClients(ctx, q)
				return err
			})...)
		}
	}
	return all
}

func (b *big) apiQueries() (all []query) {
	middle := manyAPIs / 2
	for _, q := range []auth.APIQuery{{}, {NamePrefix: "API 1"}, {Server: b.clients[7]}, {Identifier: "https://api-7.example"}} {
		for _, q.Order = range []auth.Order{auth.ByCreation, auth.ByName} {
			q := q
			all = append(all, both(fmt.Sprintf("apis %+v", q), 2*manyAPIs, func(ctx context.Context, tx auth.Tx, descending, further bool) error {
				q := q
				if q.Descending, q.Limit = descending, pageLimit; further {
					q.After = &auth.Place{Key: fmt.Sprintf("API %03d", middle), ID: b.apis[middle]}
				}
				_, err := tx.APIs().ListAPIs(ctx, q)
				return err
			})...)
		}
	}
	return all
}

func (b *big) grantQueries() (all []query) {
	for _, q := range []auth.GrantQuery{{}, {Client: b.clients[0]}, {API: b.apis[0]}, {Client: b.clients[9], API: b.apis[0]}} {
		all = append(all, both(fmt.Sprintf("grants %v", q), 0, func(ctx context.Context, tx auth.Tx, descending, further bool) error {
			q := q
			if q.Descending, q.Limit = descending, pageLimit; further {
				q.After = &auth.Place{ID: b.clients[manyClients/4], Second: b.apis[manyAPIs/2]}
			}
			_, err := tx.Grants().ListGrants(ctx, q)
			return err
		})...)
	}
	return all
}

func (b *big) auditQueries() (all []query) {
	target := b.clients[3*3000%manyClients].String()
	hours := func(n int) time.Time { return b.now.Add(-time.Duration(n) * time.Hour) }
	for _, q := range []auth.AuditQuery{
		{},
		{Actor: b.clients[3]},
		{Action: "grant.put"},
		{Action: "none"},
		{Target: target},
		{Target: target + "/" + b.apis[0].String()},
		{From: hours(100)},
		{Until: hours(100)},
		{From: hours(101), Until: hours(100)},
		{Actor: b.clients[3], From: hours(100)},
		{Actor: b.clients[3], Action: "grant.put", Until: hours(400)},
	} {
		all = append(all, both(fmt.Sprintf("audit %+v", q), 0, func(ctx context.Context, tx auth.Tx, descending, further bool) error {
			q := q
			if q.Descending, q.Limit = descending, pageLimit; further {
				q.After = manyEvents / 2
			}
			_, err := tx.Audit().ListEvents(ctx, q)
			return err
		})...)
	}
	return all
}

func (b *big) lookups() []query {
	client, api, secret := b.clients[4321], b.apis[321], b.secrets[4321]
	return []query{
		lookup("client", func(ctx context.Context, tx auth.Tx) (*auth.Client, error) { return tx.Clients().Client(ctx, client) }),
		lookup("client by name", func(ctx context.Context, tx auth.Tx) (*auth.Client, error) {
			return tx.Clients().ClientByName(ctx, name(77))
		}),
		lookup("api", func(ctx context.Context, tx auth.Tx) (*auth.API, error) { return tx.APIs().API(ctx, api) }),
		lookup("api by identifier", func(ctx context.Context, tx auth.Tx) (*auth.API, error) {
			return tx.APIs().APIByIdentifier(ctx, "https://api-321.example")
		}),
		lookup("secret", func(ctx context.Context, tx auth.Tx) (*auth.Secret, error) { return tx.Secrets().Secret(ctx, secret) }),
		lookup("secret by hash", func(ctx context.Context, tx auth.Tx) (*auth.Secret, error) {
			return tx.Secrets().SecretByHash(ctx, [32]byte(b.hash(4321)))
		}),
		lookup("secrets by credential", func(ctx context.Context, tx auth.Tx) ([]*auth.Secret, error) {
			return tx.Secrets().SecretsBy(ctx, secret)
		}),
		lookup("secrets of a client", func(ctx context.Context, tx auth.Tx) ([]*auth.Secret, error) {
			return tx.Secrets().ClientSecrets(ctx, client)
		}),
		lookup("grants of a client", func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) {
			return tx.Grants().ClientGrants(ctx, client)
		}),
		lookup("grants of an api", func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) { return tx.Grants().APIGrants(ctx, api) }),
		lookup("uses of a client's secrets", func(ctx context.Context, tx auth.Tx) ([]auth.SecretUse, error) {
			return tx.Usage().SecretUses(ctx, client)
		}),
		lookup("use of a client", func(ctx context.Context, tx auth.Tx) (time.Time, error) { return tx.Usage().ClientUse(ctx, client) }),
		viewing("uses of a client's grants", 0, func(ctx context.Context, tx auth.Tx) error {
			return tx.Usage().GrantUses(ctx, client, func(auth.GrantUse) error { return nil })
		}),
		lookup("failures", func(ctx context.Context, tx auth.Tx) ([]*auth.Failure, error) {
			return tx.Audit().ListFailures(ctx, nil, pageLimit)
		}),
		lookup("failures of a client", func(ctx context.Context, tx auth.Tx) ([]*auth.Failure, error) {
			return tx.Audit().ListFailures(ctx, &b.clients[7], pageLimit)
		}),
		lookup("replay", func(ctx context.Context, tx auth.Tx) (*auth.Replay, error) {
			return tx.Replays().Replay(ctx, [32]byte(b.hash(7)))
		}),
		{"tokens of the busy client", func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.ClientTokens(ctx, b.clients[0], b.tokens[busyTokens/2], pageLimit)
			return err
		}, 0},
		{"tokens of another client", func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.ClientTokens(ctx, client, auth.TokenID{}, pageLimit)
			return err
		}, 0},
		{"token", func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Token(ctx, b.tokens[77]); return err }, 0},
		{"uses", func(ctx context.Context, s *sqlstore.Store) error {
			return s.RecordUses(ctx, b.secretUses, b.grantUses)
		}, 20 * usesAtOnce},
		{"a thousand tokens", func(ctx context.Context, s *sqlstore.Store) error {
			n := 0
			err := s.EachToken(ctx, b.tokens[busyTokens], func(*auth.Token) error {
				if n++; n == 1000 {
					return context.Canceled
				}
				return nil
			})
			if n == 1000 {
				return nil
			}
			return err
		}, 1200},
	}
}
