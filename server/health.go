package server

import (
	"net/http"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

type health struct {
	Status string `json:"status"`
}

// alive says that the process serves requests.
func (*Server) alive(w http.ResponseWriter, _ *http.Request) error {
	httpx.NoStore(w.Header())
	return writeJSON(w, health{"ok"})
}

// ready says whether requests should be sent here: not while draining, nor while this instance can neither issue nor verify.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	if s.draining.Load() {
		return fault.New(fault.Unavailable, "the server is draining")
	}
	if err := s.config.Ready(r.Context()); err != nil {
		detail := "the server is not ready"
		if reason := fault.From(err); reason.Detail != "" {
			detail += ": " + reason.Detail
		}
		return fault.Wrap(fault.Unavailable, detail, err)
	}
	httpx.NoStore(w.Header())
	return writeJSON(w, health{"ready"})
}

// Drain makes the server unready, for good.
func (s *Server) Drain() { s.draining.Store(true) }
