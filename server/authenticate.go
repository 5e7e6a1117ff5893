package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
)

// authenticate tells who calls an endpoint that takes a client's own credentials as well as a bearer token of ours for
// auth.ServerAPI. A token must hold scope: it was made for this.
func (s *Server) authenticate(r *http.Request, f form, scope string) (*auth.Caller, error) {
	who, err := s.identify(r, f)
	if err != nil {
		return nil, err
	}
	caller, err := s.admit(r, &who, scope)
	if err != nil {
		return nil, err
	}
	id := who.credentials.ClientID // has one text only, so that this is the text of caller's id
	if who.bearer != "" {
		id = caller.Client.ID.String()
	}
	httpx.From(r.Context()).Client = id
	if named := f.value("client_id"); named != "" && named != id {
		return nil, fault.New(fault.InvalidRequest, "is not the client that authenticated").At("client_id")
	}
	return caller, nil
}

// authenticator is an auth.Authenticator that limits failures.
type authenticator struct {
	*auth.Authenticator

	guard *abuse.Guard
}

// Authenticate returns fault.TooMany in place of fault.InvalidClient where too many failed before.
func (a *authenticator) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Caller, error) {
	if c.ClientID == "" && a.Assertions != nil {
		c.ClientID = a.Assertions.ClientOf(c.Assertion)
	}
	attempt := a.guard.Attempt(c.ClientID, httpx.From(ctx).Address)
	c.Frugal = attempt.Frugal()
	caller, err := a.Authenticator.Authenticate(ctx, c)
	if err == nil {
		attempt.Succeeded()
		return caller, nil
	}
	if _, refused := errors.AsType[*auth.Refusal](err); refused {
		err = attempt.Failed(err)
	}
	return nil, err
}

// identify is as the function of this name, and counts and takes down what it refuses.
func (s *Server) identify(r *http.Request, f form) (identity, error) {
	chain, err := s.certificates(r)
	var who identity
	if err == nil {
		who, err = identify(r.Header, f, chain)
	}
	if err != nil {
		err = s.nobody(r.Context(), auth.Malformed, err)
		return identity{}, err
	}
	if len(chain) > 0 {
		who.held.Certificate = proof.CertificateThumbprint(chain[0])
	}
	return who, nil
}

// nobody counts and takes down an authentication that failed without a client. It returns why, or fault.TooMany.
func (s *Server) nobody(ctx context.Context, reason string, why error) error {
	s.refused(ctx, &auth.Refusal{Reason: reason})
	return s.config.Guard.Attempt("", httpx.From(ctx).Address).Failed(why)
}

// admit tells who calls. What the sender of a token proved to hold is in who afterwards.
func (s *Server) admit(r *http.Request, who *identity, scope string) (*auth.Caller, error) {
	ctx := r.Context()
	if who.bearer != "" {
		use, err := s.proveToken(r, who)
		if errors.Is(err, fault.InvalidProof) {
			err = s.nobody(ctx, auth.BadToken, err)
		}
		if err != nil {
			return nil, err
		}
		caller, err := s.bearer(ctx, *who, scope)
		if errors.Is(err, fault.InvalidToken) {
			err = s.nobody(ctx, auth.BadToken, err)
		}
		if err != nil {
			return nil, err
		}
		// Not before: whoever has no token could have the database record as many proofs as he likes.
		if err := s.spend(ctx, use); err != nil {
			return nil, replayedProof(err)
		}
		return caller, nil
	}
	caller, err := s.clients.Authenticate(ctx, who.credentials)
	if err != nil {
		s.refused(ctx, err)
		return nil, err
	}
	if err := s.spend(ctx, caller.Uses); err != nil {
		err = caller.RefuseReplay(err)
		s.refused(ctx, err)
		return nil, err
	}
	s.config.Uses.Authenticated(caller.Client.ID, caller.Credential, httpx.From(ctx).Address)
	return caller, nil
}

// refused takes down why a caller was sent away, if err says it.
func (s *Server) refused(ctx context.Context, err error) {
	if refusal, ok := errors.AsType[*auth.Refusal](err); ok {
		x := httpx.From(ctx)
		s.config.Uses.Failed(refusal.Client, refusal.Reason, x.Address, x.ID)
		x.Details = append(x.Details, slog.String("reason", refusal.Reason))
		if refusal.Detail != "" {
			x.Details = append(x.Details, slog.String("detail", refusal.Detail))
		}
	}
}

func (s *Server) bearer(ctx context.Context, who identity, scope string) (*auth.Caller, error) {
	token, err := s.config.Tokens.Verify(ctx, who.bearer, auth.ServerAPI, who.held)
	if err != nil {
		return nil, err
	}
	if who.dpop && token.Confirmation.JWK == [32]byte{} {
		return nil, fault.New(fault.InvalidToken, "the access token is not bound to a key: send it by the scheme Bearer")
	}
	record := s.config.Directory.Client(token.Client)
	if record == nil || record.Client.Status != auth.Active {
		return nil, fault.New(fault.InvalidToken, "the client of the access token is gone")
	}
	scopes, err := auth.ParseScopes(token.Scope)
	if err != nil {
		return nil, err
	}
	// Who serves an API may ask about its tokens, and read the feed, by a token as by its own credentials.
	if !scopes.Has(scope) && (scope == auth.ScopeRevokeAll || len(record.Serves) == 0) {
		return nil, fault.New(fault.InsufficientScope, "the access token does not hold the scope that this needs").At(scope)
	}
	return &auth.Caller{Client: record.Client, Credential: token.Credential, Scopes: scopes, Serves: record.Serves}, nil
}

// actor is the caller as the audit log names it.
func actor(r *http.Request, c *auth.Caller) auth.Actor {
	x := httpx.From(r.Context())
	return auth.Actor{
		Client: c.Client.ID, Credential: c.Credential, Name: c.Client.Name, Source: x.Address.String(), Request: x.ID,
	}
}
