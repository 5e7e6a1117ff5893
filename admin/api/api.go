// Package api is the HTTP of the admin API: it reads a request, calls the one operation of the registry that it asks for, and writes
// the answer. Who may do what, and its record in the audit log, are the registry's; the form of requests and
// answers is described by an OpenAPI document that is made from the same code as the routes.
package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// Authenticator knows who calls.
type Authenticator interface {
	// Authenticate returns the client to which an access token for the admin API was issued, with its scope; Source and Request
	// are set by others. What was revoked or disabled before the call is refused. It returns fault.InvalidToken for a token
	// that is not good for this API, and fault.Unavailable when that cannot be told.
	Authenticate(ctx context.Context, bearer string) (auth.Actor, error)
}

// Config says what the API needs. A field is required unless it says otherwise.
type Config struct {
	Registry      *registry.Registry
	Authenticator Authenticator
	Now           func() time.Time
	// TokenURL is where access tokens come from, for the OpenAPI document. Empty: the token endpoint on the same host.
	TokenURL string
	// Version is the one of the program, for the OpenAPI document. Empty: "dev".
	Version string
	// Docs is the address of the page that explains the errors; empty is httpx.DefaultDocs.
	Docs string
	// Draining is closed when the server is about to end, which ends streams. Nil: never.
	Draining <-chan struct{}
	// Follow is how often a stream looks for news; 0 is every second.
	Follow time.Duration
}

// service has a method for each operation.
type service struct {
	Config

	huma  huma.API
	write httpx.FaultWriter
	large gate
}

// New returns the handler of everything under wire.Base. It expects to be within an httpx.Edge. It does no I/O and starts nothing.
func New(c Config) http.Handler {
	setHuma()
	if c.Docs == "" {
		c.Docs = httpx.DefaultDocs
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.TokenURL == "" {
		c.TokenURL = "/oauth2/token"
	}
	if c.Follow == 0 {
		c.Follow = time.Second
	}
	s := &service{Config: c, write: httpx.Problems(c.Docs), large: make(gate, largeAtOnce)}
	front := newRouter(s)
	s.huma = huma.NewAPI(s.describe(), front)
	for _, add := range []func(){
		s.clients, s.secrets, s.apis, s.grants, s.issuers, s.exchanges, s.tokens, s.keys, s.audit, s.insights, s.declarations,
	} {
		add()
	}
	s.publish(front)
	return front
}

// setHuma sets what huma keeps for the whole program. Nothing else here uses huma, and each is what JSON and JSON Schema say anyway:
// member names differ by case, and a list is not null.
var setHuma = sync.OnceFunc(func() { //nolint:gochecknoglobals // guards variables of another package
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
})
