package abuse

import (
	"net/netip"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/server/auth"
)

// What an address may have of its client's tokens, whatever others get: twelve in the time in which a client that keeps its tokens asks
// for one, so that with tokens of an hour a process may crash every five minutes, which is how often Kubernetes restarts one that does; and twenty at once,
// for processes that begin together behind one address.
const (
	shareTokens = 12
	shareBurst  = 20
)

// renewal is the time after which a client asks for the next token: 70% of a lifetime, as sdk does.
func renewal(lifetime time.Duration) time.Duration { return lifetime / 10 * 7 }

func (g *Guard) limits(api *auth.API) (share, budget ratelimit.Limit) {
	per := renewal(api.Lifetime)
	return ratelimit.Limit{Requests: shareTokens, Per: per, Burst: shareBurst},
		ratelimit.Limit{Requests: g.config.TokenBudget, Per: per, Burst: g.config.TokenBudget}
}

// Spend counts a token for the API that a client, which authenticated, is about to get. It returns fault.TooMany if the client has got so
// many that it cannot be keeping them. So that replicas that do keep theirs go on when another one does not, and that any number of them
// can begin at once, each address has a share of its own.
func (g *Guard) Spend(client auth.ClientID, api *auth.API, from netip.Addr) error {
	if g == nil || g.config.TokenBudget == 0 {
		return nil
	}
	share, budget := g.limits(api)
	var buffer [keySize]byte
	own := g.shares.Take(shareKey(buffer[:0], client, api, from), share)
	if own.Allowed {
		return nil
	}
	common := g.clients.Take(append(append(append(buffer[:0], ofBudget), client[:]...), api.ID[:]...), budget)
	if common.Allowed {
		return nil
	}
	wait := min(own.RetryAfter, common.RetryAfter)
	g.refused(notice{reason: runaway, client: client}, "address", from.String(), "api", api.Identifier)
	return tooMany("too many tokens for this resource: request tokens once and cache them, see "+Docs, wait, refusal(client, auth.OverBudget))
}

// Unspend gives back a token that was counted and not issued.
func (g *Guard) Unspend(client auth.ClientID, api *auth.API, from netip.Addr) {
	if g == nil || g.config.TokenBudget == 0 {
		return
	}
	share, _ := g.limits(api)
	var buffer [keySize]byte
	g.shares.Return(shareKey(buffer[:0], client, api, from), share)
}

func shareKey(buffer []byte, client auth.ClientID, api *auth.API, from netip.Addr) []byte {
	network := networkOf(from)
	return append(append(append(append(buffer, ofShare), client[:]...), api.ID[:]...), network[:]...)
}

// Inactive counts an introspection of a client that found no live token. It returns fault.TooMany in place of that answer if there
// are so many that somebody is guessing. Live tokens are never kept from a client, so that whoever sends it inventions to ask about shuts
// nobody out.
func (g *Guard) Inactive(client auth.ClientID, from netip.Addr) error {
	if g == nil || g.config.ScanLimit == 0 {
		return nil
	}
	var buffer [keySize]byte
	limit := ratelimit.Limit{Requests: g.config.ScanLimit, Per: time.Minute, Burst: g.config.ScanLimit}
	verdict := g.clients.Take(append(append(buffer[:0], ofScan), client[:]...), limit)
	if verdict.Allowed {
		return nil
	}
	g.refused(notice{reason: scanning, client: client}, "address", from.String())
	return tooMany("too many introspections that find no live token, see "+Docs, verdict.RetryAfter, refusal(client, auth.Scanning))
}
