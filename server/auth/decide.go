package auth

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// TokenRequest is what an authenticated client asks for.
type TokenRequest struct {
	Caller   *Caller
	Resource []string // the `resource` parameters as sent, RFC 8707 §2
	Scope    string   // the `scope` parameter as sent, RFC 6749 §3.3
	// Confirmation is what the caller proved to hold, beyond its credentials.
	Confirmation Confirmation
	// Uses are the proofs of it that are good for one use; those of the Caller are its own.
	Uses []ProofUse
}

// Decision is a token that may be issued, before its id and its form are made.
type Decision struct {
	Client     ClientID
	Credential SecretID
	API        *API
	Scope      string
	Revision   uint64

	Confirmation Confirmation
	Lineage      Lineage
	Uses         []ProofUse
	// Until is when the token has to have expired; zero: it is not bounded beyond the API's lifetime.
	Until time.Time
}

// Decide says which token the request gets: for one API, with scopes that a grant allows. With no scope asked, the whole
// grant is given; a scope outside it is fault.InvalidScope, never trimmed. An API that is unknown, not granted, or
// one of several is fault.InvalidTarget. A client that serves an API needs no grant for [ServerAPI]: its token has no scope then. revision must have been read from the directory before the caller was authenticated or,
// for a decision made again, before Still was asked.
func Decide(d Directory, r TokenRequest, revision uint64) (*Decision, error) {
	record := d.Client(r.Caller.Client.ID)
	if record == nil {
		return nil, errNotAuthenticated()
	}
	api, grant, err := target(d, record, r.Resource)
	if err != nil {
		return nil, err
	}
	allowed := grant.Scopes
	asked, err := ParseScopes(r.Scope)
	if err != nil {
		return nil, err
	}
	asked, ok := allowed.pick(asked)
	if !ok {
		return nil, fault.New(fault.InvalidScope, "the client's grant for this resource does not hold every requested scope").At("scope")
	}
	if len(asked) == 0 {
		asked = allowed
	}
	bound, err := r.bind(&record.Client.Proofs, api)
	if err != nil {
		return nil, err
	}
	return &Decision{
		Client: r.Caller.Client.ID, Credential: r.Caller.Credential, API: api, Scope: asked.String(), Revision: revision,
		Confirmation: bound, Lineage: Lineage{MayAct: grant.MayAct}, Uses: r.uses(),
	}, nil
}

// uses returns every proof that the request uses up.
func (r *TokenRequest) uses() []ProofUse {
	if len(r.Caller.Uses) == 0 {
		return r.Uses
	}
	return slices.Concat(r.Caller.Uses, r.Uses)
}

// bind says what the token of a client that wants this is bound to: to a DPoP key whenever the client proved to have one, to its certificate if the client or the API
// wants that, as the directory knows it now. What the client or the API wants and the request does not bring is fault.InvalidProof or fault.InvalidRequest.
func (r *TokenRequest) bind(wants *Proofs, api *API) (Confirmation, error) {
	bound := r.Confirmation
	wantsCertificate := wants.CertificateBound || api.Constraint == CertificateTLS || api.Constraint == AnyBinding && bound.JWK == [sha256.Size]byte{}
	if !wantsCertificate {
		bound.Certificate = [sha256.Size]byte{}
	}
	switch {
	case wants.DPoPBound && bound.JWK == [sha256.Size]byte{}:
		return bound, fault.New(fault.InvalidProof, "the client's tokens are bound to a DPoP key, and the request has no DPoP header")
	case wants.CertificateBound && bound.Certificate == [sha256.Size]byte{}:
		return bound, fault.New(fault.InvalidRequest, "the client's tokens are bound to its certificate, and the connection has none")
	case api.Constraint == DPoPBinding && !api.Constraint.Met(bound):
		return bound, fault.New(fault.InvalidProof, "the resource takes tokens that are bound to a DPoP key, and the request has no DPoP header")
	case !api.Constraint.Met(bound):
		return bound, fault.New(fault.InvalidRequest, "the resource takes tokens that are bound to a certificate or a DPoP key, and the request has neither")
	}
	return bound, nil
}

// target finds the API that the request is about and the grant for it.
func target(d Directory, record *ClientRecord, resources []string) (*API, *Grant, error) {
	var api *API
	switch resource, several := onlyOne(resources); {
	case several:
		return nil, nil, fault.New(fault.InvalidTarget, "a token is for one resource; ask for one token each").At("resource")
	case resource == "":
		if api = d.API(record.Client.DefaultResource); api == nil {
			return nil, nil, fault.New(fault.InvalidTarget, "the client has no default resource; name one by the resource parameter").At("resource")
		}
	default: // what names an API is valid, and looking costs less than telling
		if api = d.APIByIdentifier(resource); api == nil && !ValidResource(resource) {
			return nil, nil, fault.New(fault.InvalidTarget, "must be an absolute URI without fragment").At("resource")
		}
	}
	if api != nil {
		if grant := record.Grants[api.ID]; grant != nil {
			return api, grant, nil
		}
		if api.Identifier == ServerAPI && len(record.Serves) > 0 { // what it may do there follows from what it serves, no scope needed
			return api, &Grant{Client: record.Client.ID, API: api.ID}, nil
		}
	}
	return nil, nil, fault.New(fault.InvalidTarget, "the resource is unknown, or the client has no grant for it").At("resource")
}

// onlyOne returns the one distinct resource that was named, if one was, and whether there are several.
func onlyOne(resources []string) (resource string, several bool) {
	for _, r := range resources {
		if r != "" && resource != "" && r != resource {
			return "", true
		}
		if r != "" {
			resource = r
		}
	}
	return resource, false
}

// Token makes the row of a new token from the decision: a fresh id, times in whole seconds.
func (d *Decision) Token(now time.Time) *Token {
	issued := now.Truncate(time.Second).UTC()
	expires := issued.Add(d.API.Lifetime)
	if !d.Until.IsZero() && d.Until.Before(expires) {
		expires = d.Until.Truncate(time.Second).UTC()
	}
	return &Token{
		ID: NewTokenID(issued, expires), Client: d.Client, Credential: d.Credential, API: d.API.ID, Scope: d.Scope,
		Issued: issued, Expires: expires, Revision: d.Revision,
		Confirmation: d.Confirmation, Lineage: d.Lineage, Uses: d.Uses,
	}
}
