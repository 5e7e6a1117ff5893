package server

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const (
	jsonType   = "application/json"
	signedType = "application/token-introspection+jwt"
)

// answer writes an introspection answer: JSON, or a JWT around the same JSON for a caller that asks for one (RFC 9701 §5).
func (s *Server) answer(w http.ResponseWriter, r *http.Request, to *auth.Caller, alg auth.Algorithm, text []byte) error {
	w.Header()["Vary"] = varyAccept
	if !wantsSigned(r.Header["Accept"]) {
		send(w, text)
		return nil
	}
	signed, err := s.config.Keys.SignAnswer(alg, keys.Answer{Audience: to.Client.ID, Issued: s.config.Now(), Text: text})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", signedType)
	_, _ = io.WriteString(w, signed) //nolint:gosec // a JWT is no page; who has gone cannot be told
	return nil
}

// wantsSigned tells whether a caller names the signed form, and likes it no less than JSON (RFC 9110 §12.5.1). A wildcard does not name it.
func wantsSigned(accept []string) bool {
	if len(accept) == 0 {
		return false
	}
	ranges := []string{"*/*", "application/*", jsonType} // that JSON is in; the last one that is named counts
	signed, plain, named := 0.0, 0.0, -1
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == signedType {
				signed = weight(parameters)
			} else if i := slices.Index(ranges, name); i > named {
				plain, named = weight(parameters), i
			}
		}
	}
	return signed > 0 && signed >= plain
}

// weight returns the quality value among the parameters of a media range, from 0 to 1. It is 1 if there is none, and 0 if it is malformed.
func weight(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(0 <= q && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
