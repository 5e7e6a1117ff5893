package sdk

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

const resourceWellKnown = "/.well-known/oauth-protected-resource"

// Resource is what a resource's metadata says beyond what its verifier knows already (RFC 9728 §2). All of it is optional.
type Resource struct {
	// Name is for people.
	Name string
	// Issuers are further authorization servers whose tokens the resource takes.
	Issuers []string
	// Scopes are those that callers may need.
	Scopes []string
	// Documentation, Policy and TermsOfService are URLs of pages for developers.
	Documentation, Policy, TermsOfService string
	// ClientCertificates: the service asks TLS clients for certificates, so that tokens that are bound to them can be used (RFC 8705). With
	// [WithClientCertFrom] it need not be said.
	ClientCertificates bool
	// BoundTokensOnly: every route of the service asks for bound tokens ([Policy.Bound]). With [WithBoundTokensOnly] it need not be said.
	BoundTokensOnly bool
}

// resourceMetadata is the document of RFC 9728 §2.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
	Policy               string   `json:"resource_policy_uri,omitempty"`
	TermsOfService       string   `json:"resource_tos_uri,omitempty"`
	Certificates         bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	ProofAlgorithms      []string `json:"dpop_signing_alg_values_supported"`
	ProofRequired        bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// ResourceMetadata returns the handler of the resource's metadata (RFC 9728), by which clients find out whom to ask for tokens. It
// is open to everybody and belongs at [Verifier.ResourceMetadataPath]:
//
//	mux.Handle(verifier.ResourceMetadataPath(), verifier.ResourceMetadata(sdk.Resource{Name: "Inventory"}))
//
// It answers GET and HEAD, and may be cached for an hour.
func (v *Verifier) ResourceMetadata(about Resource) http.Handler {
	certificates := about.ClientCertificates || len(v.engine.config.proxies) > 0
	body, _ := json.Marshal(resourceMetadata{ // strings only: cannot fail
		Resource:             v.audience,
		AuthorizationServers: append([]string{v.engine.authority.identifier}, about.Issuers...),
		Scopes:               about.Scopes,
		BearerMethods:        []string{"header"},
		Name:                 about.Name,
		Documentation:        about.Documentation,
		Policy:               about.Policy,
		TermsOfService:       about.TermsOfService,
		Certificates:         certificates,
		ProofAlgorithms:      proofAlgorithms(),
		ProofRequired:        (about.BoundTokensOnly || v.engine.config.boundOnly) && !certificates,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
}

// ResourceMetadataPath returns the path at which the metadata of the verifier's audience belongs (RFC 9728 §3.1): the well-known
// path, inserted between host and path. For https://api.example.com/inventory that is
// /.well-known/oauth-protected-resource/inventory. An audience without a path, such as a URN, has the well-known path alone.
func (v *Verifier) ResourceMetadataPath() string {
	u, err := url.Parse(v.audience)
	if err != nil || u.Path == "/" {
		return resourceWellKnown
	}
	return resourceWellKnown + u.EscapedPath()
}
