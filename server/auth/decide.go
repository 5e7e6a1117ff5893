package auth

import (
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// TokenRequest is what an authenticated client asks for.
type TokenRequest struct {
	Caller   *Caller
	Resource []string // the `resource` parameters as sent, RFC 8707 §2
	Scope    string   // the `scope` parameter as sent, RFC 6749 §3.3
}

// Decision is a token that may be issued, before its id and its form are made.
type Decision struct {
	Client     ClientID
	Credential SecretID
	API        *API
	Scope      string
	Revision   uint64
}

// Decide says which token the request gets: for one API, with scopes that a grant allows. With no scope asked, the whole
// grant is given; a scope outside it is fault.InvalidScope, never trimmed. An API that is unknown, not granted, or
// one of several is fault.InvalidTarget. revision must have been read from the directory before the caller was authenticated or,
// for a decision made again, before Still was asked.
func Decide(d Directory, r TokenRequest, revision uint64) (*Decision, error) {
	api, grant, err := target(d, r)
	if err != nil {
		return nil, err
	}
	allowed := grant.Scopes
	asked, err := ParseScopes(r.Scope)
	if err != nil {
		return nil, err
	}
	if len(asked) == 0 {
		asked = allowed
	} else if !allowed.Contains(asked) {
		return nil, fault.New(fault.InvalidScope, "the client's grant for this resource does not hold every requested scope").At("scope")
	}
	return &Decision{Client: r.Caller.Client.ID, Credential: r.Caller.Credential, API: api, Scope: asked.String(), Revision: revision}, nil
}

// target finds the API that the request is about and the grant for it.
func target(d Directory, r TokenRequest) (*API, *Grant, error) {
	record := d.Client(r.Caller.Client.ID)
	if record == nil {
		return nil, nil, errNotAuthenticated()
	}
	var api *API
	switch resource, several := onlyOne(r.Resource); {
	case several:
		return nil, nil, fault.New(fault.InvalidTarget, "a token is for one resource; ask for one token each").At("resource")
	case resource == "":
		if api = d.API(record.Client.DefaultResource); api == nil {
			return nil, nil, fault.New(fault.InvalidTarget, "the client has no default resource; name one by the resource parameter").At("resource")
		}
	case !ValidResource(resource):
		return nil, nil, fault.New(fault.InvalidTarget, "must be an absolute URI without fragment").At("resource")
	default:
		api = d.APIByIdentifier(resource)
	}
	if api != nil {
		if grant := record.Grants[api.ID]; grant != nil {
			return api, grant, nil
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
	return &Token{
		ID: NewTokenID(issued, expires), Client: d.Client, Credential: d.Credential, API: d.API.ID, Scope: d.Scope,
		Issued: issued, Expires: expires, Revision: d.Revision,
	}
}
