// Package issuer speaks with one authorization server: it reads its metadata (RFC 8414) and exchanges requests with it by whichever
// of its addresses answers. It knows no business of its callers: what is asked, and what an answer means, is theirs.
//
// Answers are bounded, redirects are refused, and only https is spoken, or http with the machine itself. No error repeats a credential.
package issuer

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// DefaultTimeout is how long a request may take unless said otherwise.
const DefaultTimeout = 5 * time.Second

// Config is what an Issuer is made of.
type Config struct {
	// Identifier is the issuer identifier, byte for byte as the server's metadata has it (RFC 8414 §2).
	Identifier string
	// Addresses are origins, such as "https://10.0.0.7:8443", one for each instance of the server. They take the place of the
	// identifier's own origin in every request. Empty: the identifier's is the only one.
	Addresses []string
	// HTTP carries the requests. A copy of it is used that follows no redirects and keeps no cookies. nil: one of our own.
	HTTP *http.Client
	// Certificate returns the client certificate for connections by TLS (RFC 8705), maybe another one each time. It is asked before every
	// attempt, and its error ends the exchange. HTTP must then have a transport that can be told, a *http.Transport. nil: there is none.
	Certificate func(context.Context) (*tls.Certificate, error)
	// Timeout is for one attempt, answer included. Of several addresses each has an equal part of it, but no less than a second.
	// 0: DefaultTimeout.
	Timeout time.Duration
	// Log hears of addresses that stop answering, and of metadata that could not be refreshed. nil: nobody does.
	Log *slog.Logger
	// Trace is called around every exchange that has an operation; result is "ok", "refused" or "unavailable". It may be nil.
	Trace func(ctx context.Context, operation string) (_ context.Context, end func(result string, err error))
}

// Issuer is one authorization server. It is safe for concurrent use.
type Issuer struct {
	config    Config
	client    *http.Client
	own       *http.Transport // nil: the client is the user's
	shown     atomic.Pointer[tls.Certificate]
	origin    string   // of the identifier
	locations []string // of the metadata
	addresses []*address
	first     atomic.Int64 // which address is asked first
	budget    budget
	discovery discovery
}

// New returns an Issuer. It does no I/O. An error says which part of the configuration is at fault.
func New(c Config) (*Issuer, error) {
	identifier, err := parseIdentifier(c.Identifier)
	if err != nil {
		return nil, fmt.Errorf("issuer %q: %w", c.Identifier, err)
	}
	i := &Issuer{config: c, origin: origin(identifier), locations: locations(identifier)}
	for _, text := range c.Addresses {
		a, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", text, err)
		}
		i.addresses = append(i.addresses, a)
	}
	if len(i.addresses) == 0 {
		i.addresses = []*address{{origin: i.origin}}
	}
	// Every process has an order of its own, so that those of a dead address spread over the others.
	swap := func(a, b int) { i.addresses[a], i.addresses[b] = i.addresses[b], i.addresses[a] }
	rand.Shuffle(len(i.addresses), swap) //nolint:gosec // spreads load, is no secret
	if i.config.Timeout == 0 {
		i.config.Timeout = DefaultTimeout
	}
	if i.config.Log == nil {
		i.config.Log = slog.New(slog.DiscardHandler)
	}
	if i.client, i.own, err = newClient(c.HTTP, i.config.Certificate); err != nil {
		return nil, err
	}
	i.budget.fill()
	return i, nil
}

// Close ends what goes on in the background, waits for it, and drops idle connections. Exchanges that their callers wait for go on.
func (i *Issuer) Close() {
	i.discovery.close()
	if i.own != nil {
		i.own.CloseIdleConnections()
	}
}
