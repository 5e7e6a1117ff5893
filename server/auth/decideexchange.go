package auth

import (
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// ExchangeRequest is what an authenticated client asks for by exchange, RFC 8693 §2.1.
type ExchangeRequest struct {
	// TokenRequest is as in any other request. Its Resource holds the `audience` parameters too: either names an API by its identifier.
	TokenRequest

	Subject *Token // the token to be exchanged; nil: what was presented is none of ours
	// HasActor says that an actor token was presented; Actor is it, nil if it is none of ours.
	HasActor bool
	Actor    *Token
	JWT      bool // whether nothing but a JWT will do
}

// DecideExchange says which token the request gets. It has at most the scopes that a grant of the caller allows for those of the subject token,
// does not outlive it, and names it as its ancestor, so that whatever takes the subject token back takes the new one back. What
// cannot be had is refused, never trimmed. revision is as in Decide.
//
// A subject token that is bound to a key or certificate (RFC 9449, RFC 8705) is exchanged like any other, though the caller cannot prove to
// hold what its client holds: that it was called with the token, and so has checked the proof, is what serving the token's API
// means. A client that does not serve it, whatever grant it has, may not exchange the token at all, bound or not.
//
// A client without any grant to exchange is fault.UnauthorizedClient; a subject or actor token that is not live, or not the caller's to
// exchange, fault.InvalidGrant; a target that is unknown, not granted, missing, or one of several, fault.InvalidTarget.
func DecideExchange(d Directory, r ExchangeRequest, revision uint64, now time.Time) (*Decision, error) {
	record := d.Client(r.Caller.Client.ID)
	if record == nil {
		return nil, errNotAuthenticated()
	}
	if len(record.Exchanges) == 0 {
		return nil, fault.New(fault.UnauthorizedClient, "the client has no grant to exchange tokens").At("grant_type")
	}
	source, err := r.exchangeable(d, record, now)
	if err != nil {
		return nil, err
	}
	target, grant, err := r.exchangeTarget(d, record)
	if err != nil {
		return nil, err
	}
	if r.JWT && target.Format != JWT {
		return nil, fault.New(fault.InvalidRequest, "the resource has opaque tokens, no JWTs").At("requested_token_type")
	}
	scope, err := r.exchangeScope(grant)
	if err != nil {
		return nil, err
	}
	bound, err := r.bind(&record.Client.Proofs, target)
	if err != nil {
		return nil, err
	}
	return &Decision{
		Client: r.Caller.Client.ID, Credential: r.Caller.Credential, API: target, Scope: scope.String(), Revision: revision,
		Confirmation: bound, Lineage: r.Subject.child(source, r.Caller.Client.ID), Uses: r.uses(), Until: r.Subject.Expires,
	}, nil
}

// child is the lineage of what a client makes of the token, which is for the API source.
func (t *Token) child(source *API, client ClientID) Lineage {
	parent := Ancestor{
		ID: t.ID, Client: t.Client, Audience: source.Identifier, Revision: t.Revision, Credential: t.Credential, Key: t.Key,
	}
	l := Lineage{Ancestors: append([]Ancestor{parent}, t.Lineage.Ancestors...)}
	if subject := t.Subject(); subject != client {
		l.Subject = subject
	}
	return l
}

// exchangeable tells whether the tokens that were presented are good, and good for this caller. It returns the API of the subject token.
func (r *ExchangeRequest) exchangeable(d Directory, record *ClientRecord, now time.Time) (*API, error) {
	refused := func(field, detail string) (*API, error) { return nil, fault.New(fault.InvalidGrant, detail).At(field) }
	live := func(t *Token) bool { return t != nil && t.Live(now) && !d.Denied(t) }
	if !live(r.Subject) || !slices.Contains(record.Serves, r.Subject.API) {
		return refused("subject_token", "the token is expired, revoked, malformed, or not for an API that the client serves")
	}
	source := d.API(r.Subject.API)
	switch mayAct := r.Subject.Lineage.MayAct; {
	case source == nil:
		return refused("subject_token", "the API of the token is gone")
	case mayAct != ClientID{} && mayAct != record.Client.ID:
		return refused("subject_token", "the token names another client by may_act")
	case len(r.Subject.Lineage.Ancestors) >= MaxAncestors:
		return refused("subject_token", "the token was exchanged five times already, one after the other")
	case r.HasActor && (!live(r.Actor) || r.Actor.Client != record.Client.ID):
		return refused("actor_token", "the token is expired, revoked, malformed, or not of the client that authenticated")
	}
	return source, nil
}

// exchangeTarget finds the API that the new token is for, and the grant for it.
func (r *ExchangeRequest) exchangeTarget(d Directory, record *ClientRecord) (*API, *ExchangeGrant, error) {
	resource, several := onlyOne(r.Resource)
	switch {
	case several:
		return nil, nil, fault.New(fault.InvalidTarget, "a token is for one resource; ask for one token each").At("resource")
	case resource == "":
		return nil, nil, fault.New(fault.InvalidTarget, "name the API that the new token is for").At("resource")
	case !ValidResource(resource):
		return nil, nil, fault.New(fault.InvalidTarget, "must be an absolute URI without fragment").At("resource")
	}
	if api := d.APIByIdentifier(resource); api != nil {
		for _, grant := range record.Exchanges {
			if grant.Source == r.Subject.API && grant.Target == api.ID {
				return api, grant, nil
			}
		}
	}
	return nil, nil, fault.New(fault.InvalidTarget, "the resource is unknown, or the client has no grant to exchange the token for one for it").At("resource")
}

// exchangeScope says which scopes the new token has: what was asked for or, if nothing was, all that may be had.
func (r *ExchangeRequest) exchangeScope(grant *ExchangeGrant) (Scopes, error) {
	held, err := ParseScopes(r.Subject.Scope)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "", err) // was checked when the token was issued
	}
	asked, err := ParseScopes(r.Scope)
	if err != nil {
		return nil, err
	}
	allowed := grant.Allowed(held)
	asked, ok := allowed.pick(asked)
	if len(asked) == 0 {
		asked = allowed
	}
	if len(asked) == 0 || !ok {
		return nil, fault.New(fault.InvalidScope, "the scopes of the token do not allow every requested scope of this resource").At("scope")
	}
	return asked, nil
}
