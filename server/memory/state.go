package memory

import (
	"bytes"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/countersign/countersign/server/auth"
)

// state is all that the directory answers from. Readers take no lock. Records are never changed, only replaced; a reload
// replaces the whole.
type state struct {
	clients *table[auth.ClientID, *auth.ClientRecord]
	apis    atomic.Pointer[apiIndex]
	issuers atomic.Pointer[map[auth.TrustedIssuerID]*auth.TrustedIssuer]
	denied  *denySet
}

func newState() *state {
	s := &state{
		clients: newTable[auth.ClientID, *auth.ClientRecord](func(id auth.ClientID) int { return shardOf(id) }),
		denied:  newDenySet(),
	}
	s.apis.Store(indexAPIs(nil))
	s.issuers.Store(&map[auth.TrustedIssuerID]*auth.TrustedIssuer{})
	return s
}

// apiIndex is every API. It is immutable: APIs are few beside clients, and change seldom.
type apiIndex struct {
	byID         map[auth.APIID]*auth.API
	byIdentifier map[string]*auth.API
	servedBy     map[auth.ClientID][]auth.APIID
}

func indexAPIs(byID map[auth.APIID]*auth.API) *apiIndex {
	index := &apiIndex{byID: byID, byIdentifier: make(map[string]*auth.API, len(byID)), servedBy: map[auth.ClientID][]auth.APIID{}}
	for id, api := range byID {
		index.byIdentifier[api.Identifier] = api
		for _, client := range api.Servers {
			index.servedBy[client] = append(index.servedBy[client], id)
		}
	}
	for _, apis := range index.servedBy {
		slices.SortFunc(apis, func(a, b auth.APIID) int { return bytes.Compare(a[:], b[:]) })
	}
	return index
}

// using returns the clients that have a grant for the API, exchange tokens for it, or have it as their default.
func (s *state) using(id auth.APIID) (clients []auth.ClientID) {
	s.clients.each(func(client auth.ClientID, record *auth.ClientRecord) {
		exchanges := func(g *auth.ExchangeGrant) bool { return g.Source == id || g.Target == id }
		if record.Grants[id] != nil || record.Client.DefaultResource == id || slices.ContainsFunc(record.Exchanges, exchanges) {
			clients = append(clients, client)
		}
	})
	return clients
}

// made reports whether c was made in place of another client that had its id. Its deletion took away what that one served.
func (s *state) made(id auth.ClientID, c *auth.Client) bool {
	before, known := s.clients.get(id)
	return known && !before.Client.Created.Equal(c.Created)
}

// apply takes over what was read again. The sequence that it belongs to must be published after it.
func (s *state) apply(d *delta) {
	index := s.apis.Load()
	edit := s.clients.edit()
	if len(d.apis) > 0 {
		byID := maps.Clone(index.byID)
		if byID == nil {
			byID = map[auth.APIID]*auth.API{}
		}
		servers := map[auth.ClientID]bool{}
		for id, api := range d.apis {
			for _, version := range []*auth.API{byID[id], api} {
				if version != nil {
					for _, client := range version.Servers {
						servers[client] = true
					}
				}
			}
			if byID[id] = api; api == nil {
				delete(byID, id)
			}
		}
		index = indexAPIs(byID)
		s.apis.Store(index)
		for client := range servers {
			if record, ok := edit.get(client); ok {
				replaced := *record
				replaced.Serves = index.servedBy[client]
				edit.put(client, &replaced)
			}
		}
	}
	for id, record := range d.clients {
		if record == nil {
			edit.remove(id)
			continue
		}
		record.Serves = index.servedBy[id]
		edit.put(id, record)
	}
	edit.publish()
	if d.issuers {
		trusted := make(map[auth.TrustedIssuerID]*auth.TrustedIssuer, len(d.trusted))
		for _, issuer := range d.trusted {
			trusted[issuer.ID] = issuer
		}
		s.issuers.Store(&trusted)
	}
	s.denied.add(d.revocations)
}
