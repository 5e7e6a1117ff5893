package registry

import (
	"context"
	"errors"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Selector names a set of tokens: exactly one of its fields is set, or Client and API together.
type Selector struct {
	Client     auth.ClientID
	API        auth.APIID
	Credential auth.SecretID
	Key        auth.KeyID
	All        bool
}

// Revocation is what taking back a set of tokens came to.
type Revocation struct {
	Hit
	Sequence uint64 // of the entry of the change log; of the newest one if nothing was left to take back
}

// Revoke takes back all tokens of the set that were issued up to now, and nothing else: who is granted something may ask for new
// ones. To revoke what a key signed is to revoke the key, which needs keys:write too. It needs tokens:write and returns
// fault.InvalidRequest for a selector that names no set or more than one, fault.NotFound for something that does not exist, and
// fault.Conflict for a key that signs now. A secret that was deleted can be named as long as tokens live that were asked for with it.
func (r *Registry) Revoke(ctx context.Context, actor auth.Actor, s Selector) (*Revocation, error) {
	if err := need(actor, auth.ScopeTokensWrite); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	if s.Key != (auth.KeyID{}) {
		return r.RevokeKey(ctx, actor, s.Key)
	}
	hit, err := r.count(ctx, s.matches, s.Client)
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (Revocation, error) {
		change, target, err := s.change(ctx, tx, hit)
		if err != nil {
			return Revocation{}, err
		}
		if err := r.note(ctx, tx, record{actor, "tokens.revoke", target, nil, hitView(hit)}, change); err != nil {
			return Revocation{}, err
		}
		return r.revocation(ctx, tx, hit)
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// revocation is the answer to what was appended to the change log last.
func (r *Registry) revocation(ctx context.Context, tx auth.Tx, hit Hit) (Revocation, error) {
	position, err := tx.Changes().Position(ctx)
	return Revocation{hit, position.Sequence}, err
}

func (s Selector) validate() error {
	named := 0
	for _, set := range []bool{
		s.Client != (auth.ClientID{}) || s.API != (auth.APIID{}), s.Credential != (auth.SecretID{}), s.Key != (auth.KeyID{}), s.All,
	} {
		if set {
			named++
		}
	}
	if named != 1 {
		return fault.New(fault.InvalidRequest, "name exactly one of client_id, api_id, secret_id, kid and all, or client_id and api_id together")
	}
	return nil
}

func (s Selector) matches(t *auth.Token) bool {
	return (s.Client == (auth.ClientID{}) || s.Client == t.Client) && (s.API == (auth.APIID{}) || s.API == t.API) &&
		(s.Credential == (auth.SecretID{}) || s.Credential == t.Credential)
}

// change returns the entry of the change log that takes the set back, and what the audit log calls the set.
func (s Selector) change(ctx context.Context, tx auth.Tx, hit Hit) (c auth.Change, target string, err error) {
	if s.All {
		return auth.Change{Kind: auth.RevokeAll}, "all", nil
	}
	if s.Credential != (auth.SecretID{}) {
		_, err := tx.Secrets().Secret(ctx, s.Credential)
		if errors.Is(err, fault.NotFound) && hit.Tokens > 0 {
			err = nil // it was deleted, but what it was used for lives on
		}
		return auth.Change{Kind: auth.RevokeCredential, Subject: s.Credential}, s.Credential.String(), err
	}
	if s.Client != (auth.ClientID{}) {
		if _, err := tx.Clients().Client(ctx, s.Client); err != nil {
			return c, "", err
		}
	}
	if s.API == (auth.APIID{}) {
		return auth.Change{Kind: auth.RevokeClient, Subject: s.Client}, s.Client.String(), nil
	}
	a, err := tx.APIs().API(ctx, s.API)
	switch {
	case err != nil:
		return c, "", err
	case s.Client == (auth.ClientID{}):
		return auth.Change{Kind: auth.RevokeAPI, Subject: s.API, Audience: a.Identifier}, s.API.String(), nil
	}
	return auth.Change{Kind: auth.RevokeGrant, Subject: s.Client, Object: s.API, Audience: a.Identifier}, grantTarget(s.Client, s.API), nil
}
