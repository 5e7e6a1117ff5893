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

// OAuth returns a writer of RFC 6749 §5.2 errors whose `error_uri` points into the page docs.
func OAuth(docs string) FaultWriter {
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
		challenge(h, e)
		w.WriteHeader(Status(e.Code))
		_, _ = w.Write(append(body, '\n')) // who has gone cannot be told
	}
}

// challenge sets WWW-Authenticate where a status needs it: Basic for a client (RFC 6749 §5.2), Bearer for a token
// (RFC 6750 §3). Of an insufficient scope the fault's field is the scope that would do.
func challenge(h http.Header, e *fault.Error) {
	switch e.Code { //nolint:exhaustive // only these are about who is calling
	case fault.InvalidClient:
		h.Set("WWW-Authenticate", `Basic realm="`+Realm+`"`)
	case fault.InvalidToken:
		h.Set("WWW-Authenticate", bearer(e))
	case fault.InsufficientScope:
		h.Set("WWW-Authenticate", bearer(e)+`, scope="`+quotable(e.Field)+`"`)
	default:
	}
}

func bearer(e *fault.Error) string {
	return `Bearer realm="` + Realm + `", error="` + wireOf(e.Code).oauth + `", error_description="` + quotable(e.Detail) + `"`
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
