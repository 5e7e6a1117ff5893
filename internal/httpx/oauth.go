package httpx

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/fault"
)

// Realm is the protection space that challenges name.
const Realm = "countersign"

// DefaultDocs is the page that explains the errors, an anchor for each code.
const DefaultDocs = "https://github.com/countersign/countersign/blob/main/docs/errors.md"

// OAuth returns a writer of RFC 6749 §5.2 errors whose `error_uri` points into the page docs. Who presents an access token by the scheme DPoP is
// challenged by it, with the algorithms that proofs may have (RFC 9449 §7.1).
func OAuth(docs string, algorithms ...string) FaultWriter {
	return func(w http.ResponseWriter, r *http.Request, e *fault.Error) {
		text := detail(r, e)
		if e.Field != "" && text != "" && e.Code != fault.InsufficientScope { // whose field is in the challenge
			text = e.Field + ": " + text
		}
		body, err := json.Marshal(struct {
			Error       string `json:"error"`
			Description string `json:"error_description,omitempty"`
			URI         string `json:"error_uri"`
		}{wireOf(e.Code).oauth, quotable(text), docs + "#" + string(e.Code)})
		if err != nil {
			body = []byte(`{"error":"server_error"}`)
		}
		h := w.Header()
		NoStore(h)
		h.Set("Content-Type", "application/json")
		setRetryAfter(h, e)
		w.WriteHeader(challenge(h, r, e, algorithms))
		_, _ = w.Write(append(body, '\n')) // who has gone cannot be told
	}
}

// challenge sets WWW-Authenticate where a status needs it: Basic for a client (RFC 6749 §5.2), Bearer or DPoP for a token
// (RFC 6750 §3, RFC 9449 §7.1). It returns the status, which for a bad proof depends on what it was to prove: a token that was presented is refused by
// 401 (§7.1, §9), a request for one by 400 (§5, §8). Of an insufficient scope the fault's field is the scope that would do.
func challenge(h http.Header, r *http.Request, e *fault.Error, algorithms []string) int {
	const name = "WWW-Authenticate"
	scheme, more := "Bearer", ""
	if byDPoP(r) {
		scheme, more = "DPoP", `, algs="`+strings.Join(algorithms, " ")+`"`
	}
	switch e.Code { //nolint:exhaustive // only these are about who is calling
	case fault.InvalidClient:
		h.Set(name, `Basic realm="`+Realm+`"`)
	case fault.InvalidToken, fault.InsufficientScope:
		h.Set(name, tokenChallenge(scheme, e, more))
	case fault.InvalidProof, fault.UseNonce:
		if scheme == "DPoP" {
			h.Set(name, tokenChallenge(scheme, e, more))
			return http.StatusUnauthorized
		}
	default:
	}
	return Status(e.Code)
}

// byDPoP tells whether the request presents an access token by the scheme DPoP.
func byDPoP(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "DPoP")
}

func tokenChallenge(scheme string, e *fault.Error, more string) string {
	text := scheme + ` realm="` + Realm + `", error="` + wireOf(e.Code).oauth + `", error_description="` + quotable(e.Detail) + `"` + more
	if e.Code == fault.InsufficientScope {
		text += `, scope="` + quotable(e.Field) + `"`
	}
	return text
}

// quotable maps text to what RFC 6749 §5.2 allows in an error_description: %x20-21 / %x23-5B / %x5D-7E.
func quotable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}
