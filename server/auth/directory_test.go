package auth_test

import (
	"context"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// directory is an auth.Directory whose state a test sets, faults included.
type directory struct {
	sequence  uint64
	age       time.Duration
	clients   map[auth.ClientID]*auth.ClientRecord
	apis      []*auth.API
	denied    map[auth.TokenID]bool
	issuers   map[auth.TrustedIssuerID]*auth.TrustedIssuer
	catchUps  int
	onCatchUp func() error
	onRefresh func() error
	onReach   func() error
}

func (d *directory) Sequence() uint64                           { return d.sequence }
func (d *directory) Age() time.Duration                         { return d.age }
func (d *directory) Client(id auth.ClientID) *auth.ClientRecord { return d.clients[id] }
func (d *directory) Denied(t *auth.Token) bool                  { return d.denied[t.ID] }

func (d *directory) TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer {
	return d.issuers[id]
}

func (d *directory) API(id auth.APIID) *auth.API {
	for _, a := range d.apis {
		if a.ID == id {
			return a
		}
	}
	return nil
}

func (d *directory) APIByIdentifier(identifier string) *auth.API {
	for _, a := range d.apis {
		if a.Identifier == identifier {
			return a
		}
	}
	return nil
}

func (d *directory) Reach(_ context.Context, sequence uint64) error {
	d.sequence = sequence
	return d.onReach()
}

func (d *directory) Refresh(context.Context) error {
	if d.onRefresh != nil {
		return d.onRefresh()
	}
	return nil
}

func (d *directory) CatchUp(context.Context) error {
	d.catchUps++
	if d.onCatchUp != nil {
		return d.onCatchUp()
	}
	return nil
}

// start is the time at which every world begins, half a second past a whole one.
var start = time.Date(2026, 11, 1, 12, 0, 0, 500_000_000, time.UTC) //nolint:gochecknoglobals // Go has no constant times

// world is a directory with one client that may call two APIs, and serves a third.
type world struct {
	*directory
	client  auth.ClientID
	secret  auth.SecretValue
	peppers *auth.Peppers
	stock   *auth.API
	prices  *auth.API
	served  *auth.API
	now     time.Time
}

func newWorld() *world {
	w := &world{now: start, client: auth.NewClientID(start), secret: auth.NewSecretValue(), peppers: auth.NewPeppers(map[uint32][]byte{1: []byte("old pepper"), 2: []byte("new pepper")})}
	api := func(identifier string, scopes ...string) *auth.API {
		a := &auth.API{ID: auth.NewAPIID(start), Identifier: identifier, Lifetime: time.Hour}
		for _, s := range scopes {
			a.Scopes = append(a.Scopes, auth.ScopeDefinition{Name: s})
		}
		return a
	}
	w.stock, w.prices, w.served = api("https://stock.example", "read", "write", "admin"), api("https://prices.example", "read"), api("https://served.example", "read")
	hash, version := w.peppers.Hash(w.secret)
	w.directory = &directory{
		sequence: 41, apis: []*auth.API{w.stock, w.prices, w.served},
		denied: map[auth.TokenID]bool{},
		clients: map[auth.ClientID]*auth.ClientRecord{w.client: {
			Client: &auth.Client{ID: w.client, Status: auth.Active, AuthMethod: auth.SecretBasic, DefaultResource: w.stock.ID},
			Secrets: []*auth.Secret{
				{ID: auth.NewSecretID(start), Client: w.client, Status: auth.Active, Hash: [32]byte{1}, Pepper: 1},
				{ID: auth.NewSecretID(start), Client: w.client, Status: auth.Active, Hash: hash, Pepper: version},
			},
			Grants: map[auth.APIID]*auth.Grant{
				w.stock.ID:  {Client: w.client, API: w.stock.ID, Scopes: auth.NewScopes("read", "write")},
				w.prices.ID: {Client: w.client, API: w.prices.ID, Scopes: auth.NewScopes("read")},
			},
			Serves: []auth.APIID{w.served.ID},
		}},
	}
	return w
}

func (w *world) record() *auth.ClientRecord { return w.clients[w.client] }

func (w *world) clock() time.Time { return w.now }

func (w *world) authenticator() *auth.Authenticator {
	return &auth.Authenticator{Directory: w, Peppers: func() *auth.Peppers { return w.peppers }, Now: w.clock}
}
