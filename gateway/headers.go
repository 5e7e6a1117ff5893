package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/countersign/countersign/sdk"
)

// The headers by which an upstream learns who calls. Nobody but the gateway can set them.
const (
	HeaderClientID = "X-Client-Id"      // the client that the token was issued to (client_id)
	HeaderSubject  = "X-Client-Subject" // on whose behalf it calls (sub)
	HeaderScope    = "X-Client-Scope"   // the token's scopes, space-delimited
	HeaderIssuer   = "X-Client-Issuer"  // who issued the token (iss)
	HeaderTokenID  = "X-Token-Id"       // the token's id (jti); it is no credential
)

const (
	headerRequestID   = "X-Request-Id"
	headerTraceParent = "Traceparent"
	headerTraceState  = "Tracestate"
)

// values holds the values of headers that are set, so that they cost no allocation each.
type values struct {
	texts [11]string
	used  int
}

// set sets a header to one value.
func (v *values) set(h http.Header, name, value string) {
	v.texts[v.used] = value
	v.used++
	h[name] = v.texts[v.used-1 : v.used : v.used]
}

// identify tells who calls. i may be nil: then nobody is told of.
func (v *values) identify(h http.Header, i *sdk.Identity) {
	if i == nil {
		return
	}
	v.set(h, HeaderClientID, i.ClientID())
	v.set(h, HeaderSubject, i.Subject())
	v.set(h, HeaderScope, strings.Join(i.Scopes(), " "))
	v.set(h, HeaderIssuer, i.Issuer())
	if id := i.TokenID(); id != "" {
		v.set(h, HeaderTokenID, id)
	}
}

// canBeTold tells whether headers can hold who calls. They lose blanks at both ends, so that " root" would become root, and cannot have
// control characters.
func canBeTold(i *sdk.Identity) bool {
	return !slices.ContainsFunc([]string{i.ClientID(), i.Subject(), i.Issuer(), i.TokenID()}, changesInHeader) && !slices.ContainsFunc(i.Scopes(), changesInHeader)
}

func changesInHeader(text string) bool {
	return strings.TrimSpace(text) != text || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// impersonates reports whether a header of this name could be taken for one of those above. Servers that make variables of headers
// cannot tell a hyphen from an underscore, and some not from any other mark.
func impersonates(name string) bool {
	if name == "" || name[0] != 'X' && name[0] != 'x' {
		return false
	}
	for _, ours := range []string{"x-client-id", "x-client-subject", "x-client-scope", "x-client-issuer", "x-token-id"} {
		if sameVariable(name, ours) {
			return true
		}
	}
	return false
}

// misleads reports whether a header of this name could have an upstream serve another request than the one that was judged, or send its own
// requests elsewhere (Proxy, which CGI takes for HTTP_PROXY), or is a token that only those inside may issue
// (Txn-Token, draft-ietf-oauth-transaction-tokens).
func misleads(name string) bool {
	var ours []string
	switch {
	case name == "":
		return false
	case name[0] == 'X' || name[0] == 'x':
		ours = []string{"x-original-url", "x-original-uri", "x-original-method", "x-original-host", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"}
	case name[0] == 'P' || name[0] == 'p':
		ours = []string{"proxy"}
	case name[0] == 'T' || name[0] == 't':
		ours = []string{"txn-token"}
	}
	return slices.ContainsFunc(ours, func(lower string) bool { return sameVariable(name, lower) })
}

// sameVariable compares name with a lower-case header name as a server does that turns both into variables.
func sameVariable(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c, want := name[i], lower[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c < '0' || c > '9' && c < 'a' || c > 'z':
			c = '-'
		}
		if c != want {
			return false
		}
	}
	return true
}

// traceParent returns the trace context that goes upstream (W3C Trace Context §3.2): the client's if it is well-formed, else a new one
// that asks nobody to record. kept tells which.
func traceParent(h http.Header) (parent string, kept bool) {
	if given := h[headerTraceParent]; len(given) == 1 && isTraceParent(given[0]) {
		return given[0], true
	}
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails
	text := make([]byte, 55)
	copy(text, "00-")
	hex.Encode(text[3:], random[:16])
	text[35] = '-'
	hex.Encode(text[36:], random[16:])
	copy(text[52:], "-00")
	return string(text), false
}

// isTraceParent accepts version 00, and later ones as far as they begin like it.
func isTraceParent(text string) bool {
	const length = 55
	if len(text) < length || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return false
	}
	version := text[:2]
	if version == "ff" || version == "00" && len(text) != length || len(text) > length && text[length] != '-' {
		return false
	}
	return isLowerHex(version) && isLowerHex(text[3:35]) && isLowerHex(text[36:52]) && isLowerHex(text[53:55]) &&
		strings.Trim(text[3:35], "0") != "" && strings.Trim(text[36:52], "0") != ""
}

func isLowerHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isHex(c) || 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}
