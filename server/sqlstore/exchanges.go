package sqlstore

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/server/auth"
)

const (
	selectExchanges = "SELECT client_id, source, target, revision, scopes, created, updated FROM exchange_grants "
	insertExchange  = "INSERT INTO exchange_grants (scopes, created, updated, revision, client_id, source, target) VALUES (?, ?, ?, ?, ?, ?, ?)"
	updateExchange  = "UPDATE exchange_grants SET scopes = ?, created = ?, updated = ?, revision = ? " +
		"WHERE client_id = ? AND source = ? AND target = ? AND revision = ?"
	exchangeKey = "WHERE client_id = ? AND source = ? AND target = ?"
)

func scanExchange(row scanner) (*auth.ExchangeGrant, error) {
	g := new(auth.ExchangeGrant)
	return g, row.Scan(fixed(g.Client[:]), fixed(g.Source[:]), fixed(g.Target[:]), &g.Revision, asJSON{&g.Scopes}, micros{&g.Created}, micros{&g.Updated})
}

// Exchange implements auth.Exchanges.
func (t *tx) Exchange(ctx context.Context, client auth.ClientID, source, target auth.APIID) (*auth.ExchangeGrant, error) {
	return one(ctx, t, scanExchange, selectExchanges+exchangeKey, client[:], source[:], target[:])
}

// ClientExchanges implements auth.Exchanges.
func (t *tx) ClientExchanges(ctx context.Context, id auth.ClientID) ([]*auth.ExchangeGrant, error) {
	return list(ctx, t, scanExchange, selectExchanges+"WHERE client_id = ? ORDER BY source, target", id[:])
}

// PutExchange implements auth.Exchanges.
func (t *tx) PutExchange(ctx context.Context, g *auth.ExchangeGrant) error {
	scopes, err := json.Marshal(g.Scopes)
	if err != nil {
		return err
	}
	return t.put(ctx, &g.Revision, insertExchange, updateExchange, string(scopes), g.Created.UnixMicro(), g.Updated.UnixMicro(), g.Revision+1,
		g.Client[:], g.Source[:], g.Target[:])
}

// DeleteExchange implements auth.Exchanges.
func (t *tx) DeleteExchange(ctx context.Context, client auth.ClientID, source, target auth.APIID) error {
	return t.remove(ctx, "delete exchange grant", "DELETE FROM exchange_grants "+exchangeKey, client[:], source[:], target[:])
}

// EachExchange implements auth.Exchanges.
func (t *tx) EachExchange(ctx context.Context, do func(*auth.ExchangeGrant) error) error {
	const inOrder = "ORDER BY client_id, source, target LIMIT ?"
	return each(func(last *auth.ExchangeGrant) ([]*auth.ExchangeGrant, error) {
		if last == nil {
			return list(ctx, t, scanExchange, selectExchanges+inOrder, pageSize)
		}
		return list(ctx, t, scanExchange, selectExchanges+"WHERE client_id >= ? AND (client_id > ? OR source > ? OR source = ? AND target > ?) "+inOrder,
			last.Client[:], last.Client[:], last.Source[:], last.Source[:], last.Target[:], pageSize)
	}, do)
}
