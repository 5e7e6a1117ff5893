package server

import (
	"context"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
)

// revocations serves the revocation feed to clients that serve an API and to holders of auth.ScopeRevocationsRead. By POST, what GET has in the
// query is in the form, where the credentials of many a client go.
func (s *Server) revocations(w http.ResponseWriter, r *http.Request) error {
	var f form
	if r.Method == http.MethodPost {
		var err error
		if f, err = s.readForm(w, r, nil); err != nil {
			return err
		}
		r = r.Clone(r.Context())
		r.URL.RawQuery = url.Values{"after": {f.value("after")}}.Encode()
	}
	who, err := s.identify(r, f)
	if err != nil {
		return err
	}
	caller, err := s.admit(r, &who, auth.ScopeRevocationsRead)
	if err != nil {
		return err
	}
	httpx.From(r.Context()).Client = caller.Client.ID.String()
	if len(caller.Serves) == 0 && !caller.Scopes.Has(auth.ScopeRevocationsRead) {
		return fault.New(fault.InsufficientScope, "the client serves no API and has no grant for this").At(auth.ScopeRevocationsRead)
	}
	return s.config.Feed.Serve(w, r, caller.Client.ID, func() bool { return s.stillReads(r.Context(), who, caller) })
}

// stillReads tells whether a caller that was let in would be let in again. A stream that lives on a secret uses it all the time.
func (s *Server) stillReads(ctx context.Context, who identity, c *auth.Caller) bool {
	if who.bearer != "" {
		_, err := s.bearer(ctx, who, auth.ScopeRevocationsRead)
		return err == nil
	}
	record, own := s.config.Directory.Client(c.Client.ID), s.config.Directory.APIByIdentifier(auth.ServerAPI)
	if record == nil || own == nil || !s.config.Authenticator.Still(ctx, c) {
		return false
	}
	s.config.Uses.Authenticated(c.Client.ID, c.Credential, httpx.From(ctx).Address)
	grant := record.Grants[own.ID]
	return len(record.Serves) > 0 || grant != nil && grant.Scopes.Has(auth.ScopeRevocationsRead)
}
