package sdktest

import (
	"crypto/ed25519"
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/sdk/proof"
)

// serveMetadata answers with the document of RFC 8414 §2.
func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	i.mayCache(w)
	i.answer(w, MetadataEndpoint, i.metadata())
}

func (i *Issuer) metadata() map[string]any {
	m := map[string]any{
		"issuer": i.url, "token_endpoint": i.url + tokenPath, "jwks_uri": i.url + jwksPath,
		"introspection_endpoint": i.url + introspectPath, "revocation_endpoint": i.url + revokePath,
		"grant_types_supported": []string{"client_credentials", tokenExchange}, "response_types_supported": []string{"none"},
	}
	m["introspection_signing_alg_values_supported"] = []string{string(i.Key().algorithm)}
	if methods := i.config.methods; len(methods) > 0 {
		m["token_endpoint_auth_methods_supported"] = methods
		m["introspection_endpoint_auth_methods_supported"] = methods
		m["revocation_endpoint_auth_methods_supported"] = methods
	}
	if !i.config.withoutDPoP {
		m["dpop_signing_alg_values_supported"] = proof.Algorithms()
	}
	if !i.config.foreign {
		m["countersign_revocation_endpoint"] = i.url + feedPath
	}
	if i.storeKey != nil {
		public, _ := i.storeKey.Public().(ed25519.PublicKey)
		m["countersign_token_store_keys"] = []any{map[string]any{"version": storeKeyVersion, "key": encode(public)}}
	}
	return m
}

// serveKeys answers with the JWK set, RFC 7517 §5.
func (i *Issuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	i.mayCache(w)
	i.mu.Lock()
	keys := make([]any, len(i.keys))
	for at, k := range i.keys {
		keys[at] = k.JWK()
	}
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/jwk-set+json")
	i.answer(w, JWKSEndpoint, map[string]any{"keys": keys})
}

func (i *Issuer) mayCache(w http.ResponseWriter) {
	if age := i.config.maxAge; age > 0 {
		w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(age/time.Second)))
	}
}

// metadataPaths are where the metadata lies. RFC 8414 §3.1 puts the issuer's path behind the well-known part, OpenID Connect
// Discovery §4 before it.
func (i *Issuer) metadataPaths() []string {
	if i.config.openID {
		return []string{i.config.path + openIDPath}
	}
	return []string{metadataPath + i.config.path, openIDPath + i.config.path, i.config.path + openIDPath}
}
