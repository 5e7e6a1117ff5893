package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
)

// active is the introspection answer for an active token, RFC 7662 §2.2, with members of ours.
type active struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope"`
	ClientID  string `json:"client_id"`
	TokenType string `json:"token_type"`
	Expires   int64  `json:"exp"`
	Issued    int64  `json:"iat"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	ID        string `json:"jti"`
	// Confirmation is what the token is bound to (RFC 7800), Actor who acts for the subject, MayAct who may exchange it (RFC 8693 §4).
	Confirmation *confirmation `json:"cnf,omitempty"`
	Actor        *actorClaim   `json:"act,omitempty"`
	MayAct       *actorClaim   `json:"may_act,omitempty"`
	// Ancestors are the tokens that it was made from, which take it with them.
	Ancestors []ancestor `json:"cs_anc,omitempty"`
	// Credential is with what the token was asked for.
	Credential string `json:"cs_sec,omitempty"`
	// MaxAge is for how many milliseconds the answer holds, Revision the sequence of the change log up to which it does.
	MaxAge   int64  `json:"countersign_max_age_ms"`
	Revision uint64 `json:"countersign_rev"`
}

// inactive is the whole answer for every other token: why is nobody's business (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// introspect serves RFC 7662 §2, and RFC 9701 where the caller asks for it.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) error {
	f, err := readForm(w, r)
	if err != nil {
		return err
	}
	caller, err := s.authenticate(r, f, auth.ScopeIntrospectAll)
	if err != nil {
		return err
	}
	presented, err := presentedToken(f)
	if err != nil {
		return err
	}
	found, err := s.config.Tokens.Introspect(r.Context(), caller, presented)
	if err != nil {
		return err
	}
	if !found.Active {
		if err := s.config.Guard.Inactive(caller.Client.ID, httpx.From(r.Context()).Address); err != nil {
			s.refused(r.Context(), err)
			return err
		}
		httpx.NoStore(w.Header())
		return s.answer(w, r, caller, auth.ES256, inactive{})
	}
	w.Header().Set("Cache-Control", "private, max-age="+strconv.FormatInt(int64(found.Fresh/time.Second), 10))
	t, credential := found.Token, ""
	if t.Credential != (auth.SecretID{}) {
		credential = t.Credential.String()
	}
	return s.answer(w, r, caller, found.API.Algorithm, active{
		Active: true, Scope: t.Scope, ClientID: t.Client.String(), TokenType: t.Confirmation.TokenType(),
		Expires: t.Expires.Unix(), Issued: t.Issued.Unix(), Subject: t.Subject().String(),
		Confirmation: confirmationOf(t), Actor: actorsOf(t), MayAct: mayActOf(t), Ancestors: ancestorsOf(t),
		Audience: found.API.Identifier, Issuer: s.config.Issuer, ID: t.ID.String(),
		Credential: credential, MaxAge: found.Fresh.Milliseconds(), Revision: found.Revision,
	})
}

// revoke serves RFC 7009 §2. Its success says that the revocation is committed, or that there was nothing to revoke.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) error {
	f, err := readForm(w, r)
	if err != nil {
		return err
	}
	caller, err := s.authenticate(r, f, auth.ScopeRevokeAll)
	if err != nil {
		return err
	}
	presented, err := presentedToken(f)
	if err != nil {
		return err
	}
	if err := s.config.Tokens.Revoke(r.Context(), caller, actor(r, caller), presented); err != nil {
		return err
	}
	httpx.NoStore(w.Header())
	w.WriteHeader(http.StatusOK)
	return nil
}

// presentedToken returns the token that the request is about. Its `token_type_hint` is never needed.
func presentedToken(f form) (string, error) {
	presented := f.value("token")
	if presented == "" {
		return "", fault.New(fault.InvalidRequest, "the parameter is missing").At("token")
	}
	return presented, nil
}
