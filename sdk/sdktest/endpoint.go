package sdktest

import (
	"net/http"
	"slices"
	"strings"
)

// Endpoint is one of an issuer's endpoints, for switches and counters.
type Endpoint string

// The endpoints of an issuer. Polls and streams of the revocation feed share an address and are told apart by the Accept header.
const (
	MetadataEndpoint      Endpoint = "metadata"      // RFC 8414, by either of its addresses
	JWKSEndpoint          Endpoint = "jwks"          // RFC 7517
	TokenEndpoint         Endpoint = "token"         // RFC 6749 §3.2
	IntrospectionEndpoint Endpoint = "introspection" // RFC 7662
	RevocationEndpoint    Endpoint = "revocation"    // RFC 7009
	FeedPoll              Endpoint = "feed poll"     // docs/revocation-feed.md
	FeedStream            Endpoint = "feed stream"
	Elsewhere             Endpoint = "elsewhere" // every other address, answered by 404
)

func everyEndpoint() []Endpoint {
	return []Endpoint{
		MetadataEndpoint, JWKSEndpoint, TokenEndpoint, IntrospectionEndpoint, RevocationEndpoint, FeedPoll, FeedStream, Elsewhere,
	}
}

const (
	metadataPath   = "/.well-known/oauth-authorization-server"
	openIDPath     = "/.well-known/openid-configuration"
	tokenPath      = "/oauth2/token" //nolint:gosec // a path, no credential
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	feedPath       = "/oauth2/revocations"
	jwksPath       = "/oauth2/jwks"
	eventStream    = "text/event-stream"
)

// route tells the endpoint of a request, and how it is answered when nothing is wrong.
func (i *Issuer) route(r *http.Request) (Endpoint, http.HandlerFunc) {
	path := r.URL.EscapedPath()
	if slices.Contains(i.metadataPaths(), path) {
		return MetadataEndpoint, only(http.MethodGet, i.serveMetadata)
	}
	own, ok := strings.CutPrefix(path, i.config.path)
	if !ok {
		return Elsewhere, http.NotFound
	}
	switch own {
	case jwksPath:
		return JWKSEndpoint, only(http.MethodGet, i.serveKeys)
	case tokenPath:
		return TokenEndpoint, only(http.MethodPost, i.serveToken)
	case introspectPath:
		return IntrospectionEndpoint, only(http.MethodPost, i.serveIntrospection)
	case revokePath:
		return RevocationEndpoint, only(http.MethodPost, i.serveRevocation)
	case feedPath:
		if i.config.foreign {
			break
		}
		if strings.Contains(r.Header.Get("Accept"), eventStream) {
			return FeedStream, byEither(i.serveStream)
		}
		return FeedPoll, byEither(i.servePoll)
	}
	return Elsewhere, http.NotFound
}

// byEither is for the feed, which is asked by POST where the client's credentials go into a body.
func byEither(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h(w, r)
			return
		}
		only(http.MethodGet, h)(w, r)
	}
}

func only(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed, "", "")
			return
		}
		h(w, r)
	}
}
