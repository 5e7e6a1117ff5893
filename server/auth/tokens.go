package auth

import (
	"context"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// DefaultStaleness is how old the directory may be before a server stops vouching for tokens.
const DefaultStaleness = time.Second

// Resolver finds the token behind what was presented.
type Resolver interface {
	// Resolve returns the token that presented is, or fault.InvalidToken if it is none that this server issued. Expiry and
	// revocation are not looked at. apis are those whose part of the shared token store is worth asking. A part that does not
	// answer and is needed is fault.Unavailable.
	Resolve(ctx context.Context, presented string, apis []APIID) (*Token, error)
}

// TokenStore remembers what presented tokens turned out to be. It speeds things up and is never an authority: what it
// returns was recorded by a server, and whoever asks still looks at expiry and revocations.
type TokenStore interface {
	// Lookup returns the token that was recorded under the key for one of the APIs, or nil. A failure of the store is nil.
	Lookup(ctx context.Context, key TokenKey, apis []APIID) *Token
	// Remember records a token for the rest of its life, as far as there is room. It does not wait.
	Remember(key TokenKey, t *Token)
}

// Revoker writes revocations. It returns after the commit, with the sequence of the revocation, or fault.Unavailable.
type Revoker interface {
	Revoke(ctx context.Context, r Revocation) (sequence uint64, err error)
}

// Tokens answers questions about tokens and takes them back.
type Tokens struct {
	Directory Directory
	Resolver  Resolver
	Revoker   Revoker
	Now       func() time.Time
	Staleness time.Duration // bound on the directory's age
}

// Introspection is the state of a token, RFC 7662 §2.2. If Active is false nothing else is set.
type Introspection struct {
	Active bool
	Token  *Token
	API    *API
	// Fresh is how long the answer holds: within the token's life and the staleness bound.
	Fresh time.Duration
	// Revision is the change-log sequence up to which the answer holds.
	Revision uint64
}

// Introspect says whether the presented token is active, to a caller that may know: a client that serves the token's API,
// the token's own client, or a holder of introspect:all. Whatever else is presented is inactive: unknown, malformed, expired
// and revoked tokens, and tokens of others, look the same (RFC 7662 §2.2, §4). It returns fault.Unavailable when the change log
// could not be read within the staleness bound, or a part that is needed does not answer.
func (s *Tokens) Introspect(ctx context.Context, caller *Caller, presented string) (*Introspection, error) {
	t, err := s.Find(ctx, caller, presented)
	if err != nil {
		return nil, err
	}
	age, err := s.age(ctx)
	if err != nil {
		return nil, err
	}
	revision, now := s.Directory.Sequence(), s.Now()
	if t == nil || !t.Live(now) || !s.mayIntrospect(caller, t) || s.Directory.Denied(t) {
		return &Introspection{}, nil
	}
	api := s.Directory.API(t.API)
	if api == nil {
		return &Introspection{}, nil
	}
	return &Introspection{
		Active: true, Token: t, API: api, Revision: revision,
		Fresh: min(s.Staleness-age, t.Expires.Sub(now)),
	}, nil
}

// Verify returns the live token that presented is if it is for the API with this audience: for callers of our own APIs. It
// returns fault.InvalidToken otherwise, and fault.Unavailable as Introspect does. Since this is how callers are let in, nobody
// who was not must make it read the database: an opaque token is refused unseen where the API has none.
//
// held is what the caller proved to hold: a token that is bound to anything else is refused.
func (s *Tokens) Verify(ctx context.Context, presented, audience string, held Confirmation) (*Token, error) {
	if api := s.Directory.APIByIdentifier(audience); api != nil && api.BuiltIn() && LooksOpaque(presented) {
		return nil, errNotVerified()
	}
	t, err := s.Find(ctx, nil, presented)
	if err != nil {
		return nil, err
	}
	if _, err := s.age(ctx); err != nil {
		return nil, err
	}
	api := s.Directory.APIByIdentifier(audience)
	if t == nil || api == nil || t.API != api.ID || !t.Live(s.Now()) || s.Directory.Denied(t) || !t.Confirmation.HeldBy(held) {
		return nil, errNotVerified()
	}
	return t, nil
}

// patience is how long a question waits for a directory that has fallen behind, as that of a process that was stopped for a while has.
const patience = 100 * time.Millisecond

// age returns that of the directory, or fault.Unavailable if it is beyond the staleness bound.
func (s *Tokens) age(ctx context.Context) (time.Duration, error) {
	age := s.Directory.Age()
	if age > s.Staleness {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if s.Directory.Refresh(ctx) == nil {
			age = s.Directory.Age()
		}
	}
	if age > s.Staleness {
		return 0, fault.New(fault.Unavailable, "the change log could not be read in time, so no token can be vouched for")
	}
	return age, nil
}

func errNotVerified() error {
	return fault.New(fault.InvalidToken, "the access token is expired, revoked, malformed or not for this server")
}

// Revoke takes the presented token back (RFC 7009 §2.1), for its own client or a holder of revoke:all. A token that is
// unknown, malformed or dead already is a success (RFC 7009 §2.2), and so is, without effect, one of another client. The
// revocation is committed when Revoke returns nil; fault.Unavailable says that it is not known to be.
func (s *Tokens) Revoke(ctx context.Context, caller *Caller, actor Actor, presented string) error {
	t, err := s.Find(ctx, caller, presented)
	if err != nil {
		return err
	}
	now := s.Now()
	mine := t != nil && (t.Client == caller.Client.ID || caller.Scopes.Has(ScopeRevokeAll))
	if !mine || !t.Live(now) || s.Directory.Denied(t) {
		return nil
	}
	_, err = s.Revoker.Revoke(ctx, Revocation{
		Change: Change{Kind: RevokeToken, Subject: t.ID, At: now},
		Event:  AuditEvent{ID: EventID(newID(now)), At: now, Actor: actor, Action: "token.revoke", Target: t.ID.String()},
	})
	return err
}

// Find returns the token that presented is, or nil if it is none of ours. Expiry and revocation are not looked at, but the directory is at
// least as new afterwards as what the token was decided from: an instance that lags must not judge by what it does not know yet. It returns
// fault.Unavailable if a part that is needed does not answer.
func (s *Tokens) Find(ctx context.Context, caller *Caller, presented string) (*Token, error) {
	var apis []APIID
	if caller != nil {
		apis = caller.Serves
	}
	t, err := s.Resolver.Resolve(ctx, presented, apis)
	if found := fault.From(err); found != nil && found.Code != fault.InvalidToken {
		return nil, err
	}
	if t != nil && t.Revision > s.Directory.Sequence() {
		if err := s.Directory.Reach(ctx, t.Revision); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (s *Tokens) mayIntrospect(caller *Caller, t *Token) bool {
	return t.Client == caller.Client.ID || slices.Contains(caller.Serves, t.API) || caller.Scopes.Has(ScopeIntrospectAll)
}
