package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

// snapshot is all that a document can declare, as it was at one moment. It is never changed.
type snapshot struct {
	position auth.Position
	apis     map[string]*auth.API    // by identifier
	clients  map[string]*auth.Client // by name
	apiByID  map[auth.APIID]*auth.API
	byID     map[auth.ClientID]*auth.Client
	grants   map[grantKey]*auth.Grant
	of       map[auth.ClientID][]*auth.Grant
	secrets  map[auth.ClientID][]*auth.Secret

	issuers    map[string]*auth.TrustedIssuer // by name
	issuerByID map[auth.TrustedIssuerID]*auth.TrustedIssuer
	exchanges  map[exchangeKey]*auth.ExchangeGrant
	exchangeOf map[auth.ClientID][]*auth.ExchangeGrant
}

type exchangeKey struct {
	client         auth.ClientID
	source, target auth.APIID
}

type grantKey struct {
	client auth.ClientID
	api    auth.APIID
}

// look reads everything once, in pages: a query for each client would be slower by far.
func (r *Registry) look(ctx context.Context, withSecrets bool) (s *snapshot, err error) {
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		s = &snapshot{
			apis: map[string]*auth.API{}, clients: map[string]*auth.Client{}, apiByID: map[auth.APIID]*auth.API{}, byID: map[auth.ClientID]*auth.Client{},
			grants: map[grantKey]*auth.Grant{}, of: map[auth.ClientID][]*auth.Grant{}, secrets: map[auth.ClientID][]*auth.Secret{},
			issuers: map[string]*auth.TrustedIssuer{}, issuerByID: map[auth.TrustedIssuerID]*auth.TrustedIssuer{},
			exchanges: map[exchangeKey]*auth.ExchangeGrant{}, exchangeOf: map[auth.ClientID][]*auth.ExchangeGrant{},
		}
		return s.read(ctx, tx, withSecrets)
	})
	return s, err
}

func (s *snapshot) read(ctx context.Context, tx auth.Tx, withSecrets bool) (err error) {
	if s.position, err = tx.Changes().Position(ctx); err != nil {
		return err
	}
	if err := tx.APIs().EachAPI(ctx, s.addAPI); err != nil {
		return err
	}
	if err := tx.Clients().EachClient(ctx, s.addClient); err != nil {
		return err
	}
	if err := tx.Grants().EachGrant(ctx, s.addGrant); err != nil {
		return err
	}
	issuers, err := tx.Issuers().TrustedIssuers(ctx)
	if err != nil {
		return err
	}
	for _, i := range issuers {
		s.issuers[i.Name], s.issuerByID[i.ID] = i, i
	}
	if err := tx.Exchanges().EachExchange(ctx, s.addExchange); err != nil {
		return err
	}
	if withSecrets {
		if err := tx.Secrets().EachSecret(ctx, s.addSecret); err != nil {
			return err
		}
	}
	for _, c := range s.byID {
		if s.grants[grantKey{c.ID, c.DefaultResource}] == nil {
			c.DefaultResource = auth.APIID{} // a default without a grant is none: nothing is issued by it
		}
	}
	return nil
}

func (s *snapshot) addAPI(a *auth.API) error {
	s.apis[a.Identifier], s.apiByID[a.ID] = a, a
	return nil
}

func (s *snapshot) addClient(c *auth.Client) error {
	s.clients[c.Name], s.byID[c.ID] = c, c
	return nil
}

func (s *snapshot) addGrant(g *auth.Grant) error {
	s.grants[grantKey{g.Client, g.API}] = g
	s.of[g.Client] = append(s.of[g.Client], g)
	return nil
}

func (s *snapshot) addExchange(g *auth.ExchangeGrant) error {
	s.exchanges[exchangeKey{g.Client, g.Source, g.Target}] = g
	s.exchangeOf[g.Client] = append(s.exchangeOf[g.Client], g)
	return nil
}

func (s *snapshot) addSecret(secret *auth.Secret) error {
	s.secrets[secret.Client] = append(s.secrets[secret.Client], secret)
	return nil
}
