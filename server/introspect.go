package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
)

// inactive is the whole answer for every token that is not active: why is nobody's business (RFC 7662 §2.2).
const inactive = `{"active":false}`

// introspect serves RFC 7662 §2, and RFC 9701 where the caller asks for it.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) error {
	var room typicalForm
	f, err := s.readForm(w, r, room[:0])
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
	buffer := s.buffers.take()
	defer s.buffers.put(buffer)
	if !found.Active {
		if err := s.config.Guard.Inactive(caller.Client.ID, httpx.From(r.Context()).Address); err != nil {
			s.refused(r.Context(), err)
			return err
		}
		httpx.NoStore(w.Header())
		return s.answer(w, r, caller, auth.ES256, append(*buffer, inactive...))
	}
	w.Header()["Cache-Control"] = privateFor(found.Fresh)
	if *buffer, err = s.appendActive(*buffer, found); err != nil {
		return err
	}
	return s.answer(w, r, caller, found.API.Algorithm, *buffer)
}

// privateFor is a Cache-Control for an answer that holds for so long.
func privateFor(fresh time.Duration) []string {
	if fresh < time.Second { // as always within the default bound
		return privateNow
	}
	return []string{"private, max-age=" + strconv.FormatInt(int64(fresh/time.Second), 10)}
}

// revoke serves RFC 7009 §2. Its success says that the revocation is committed, or that there was nothing to revoke.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) error {
	var room typicalForm
	f, err := s.readForm(w, r, room[:0])
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
