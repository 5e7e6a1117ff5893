package server

import (
	"encoding/json"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/oauth"
)

// token serves the token endpoint, RFC 6749 §3.2.
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	var room typicalForm
	f, err := s.readForm(w, r, room[:0])
	if err != nil {
		return err
	}
	who, err := s.identify(r, f)
	if err != nil {
		return err
	}
	if who.bearer != "" {
		return s.nobody(r.Context(), auth.Malformed, fault.New(fault.InvalidClient, "a client does not authenticate here by an access token"))
	}
	s.offerNonce(w, r)
	answer, err := s.issuer.Token(r.Context(), oauth.Request{
		Credentials: who.credentials, Certificate: who.held.Certificate, Prove: s.prove(r), GrantType: f.value("grant_type"), Scope: f.value("scope"), Resource: f.values("resource"),
		Exchange: exchangeOf(f),
	})
	s.metrics.exchanged(f, err)
	if err != nil {
		s.refused(r.Context(), err)
		return err
	}
	httpx.NoStore(w.Header())
	buffer := s.buffers.take()
	defer s.buffers.put(buffer)
	*buffer = appendIssued(*buffer, answer)
	send(w, *buffer)
	return nil
}

func writeJSON(w http.ResponseWriter, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	send(w, body)
	return nil
}
