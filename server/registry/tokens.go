package registry

import (
	"context"
	"errors"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// TokenStatus says whether a token can be used.
type TokenStatus string

// The states of a token. One that is both expired and revoked is expired.
const (
	TokenActive  TokenStatus = "active"
	TokenExpired TokenStatus = "expired"
	TokenRevoked TokenStatus = "revoked"
)

// TokenDetail is an issued token and what became of it. Proof and Key are not set. Since the row of a token does not say which key
// signed it, a token that only its key's revocation refuses is shown as active.
type TokenDetail struct {
	auth.Token
	Status TokenStatus
	// RefusedBy is the revocation that refuses the token itself, Ancestors what is known of those that it was made from: Token alone sets both.
	RefusedBy *auth.Change
	Ancestors []AncestorDetail
}

// AncestorDetail is a token that another was made from, and what became of it.
type AncestorDetail struct {
	auth.Ancestor
	Row       *auth.Token // nil: its row is gone
	Status    TokenStatus // as that of a TokenDetail
	RefusedBy *auth.Change
}

func (r *Registry) tokenDetail(t *auth.Token) *TokenDetail {
	d := &TokenDetail{Token: *t, Status: TokenActive}
	switch {
	case !t.Live(r.Now()):
		d.Status = TokenExpired
	case r.Denied != nil && r.Denied(t):
		d.Status = TokenRevoked
	}
	d.Proof = [32]byte{}
	return d
}

// tokenPage is how many rows of the ledger are read at once.
const tokenPage = 1000

// ClientTokens returns at most limit active tokens of a client, in order of id, whose id is above after. It needs tokens:read, and
// returns fault.NotFound for a client that does not exist.
func (r *Registry) ClientTokens(ctx context.Context, actor auth.Actor, client auth.ClientID, after auth.TokenID, limit int) ([]*TokenDetail, error) {
	if err := need(actor, auth.ScopeTokensRead); err != nil {
		return nil, err
	}
	err := r.Store.View(ctx, func(tx auth.Tx) error {
		_, err := tx.Clients().Client(ctx, client)
		return err
	})
	if err != nil {
		return nil, err
	}
	if first := auth.FirstTokenID(auth.Bucket(r.Now())); string(after[:]) < string(first[:]) {
		after = first // what lies below has expired
	}
	var found []*TokenDetail
	for {
		page, err := r.Ledger.ClientTokens(ctx, client, after, tokenPage)
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			after = t.ID
			if d := r.tokenDetail(t); d.Status == TokenActive {
				found = append(found, d)
			}
			if len(found) == limit {
				return found, nil
			}
		}
		if len(page) < tokenPage {
			return found, nil
		}
	}
}

// Token returns a token that was issued, as long as its row is kept, or fault.NotFound. It needs tokens:read.
func (r *Registry) Token(ctx context.Context, actor auth.Actor, id auth.TokenID) (*TokenDetail, error) {
	if err := need(actor, auth.ScopeTokensRead); err != nil {
		return nil, err
	}
	t, err := r.Ledger.Token(ctx, id)
	if err != nil {
		return nil, err
	}
	d := r.tokenDetail(t)
	return d, r.explain(ctx, d)
}

// explain adds what refuses the token, and all that it was made from.
func (r *Registry) explain(ctx context.Context, d *TokenDetail) error {
	refusals := make([]*auth.Change, 1+len(d.Lineage.Ancestors))
	if r.Refusals != nil {
		refusals = r.Refusals(&d.Token)
	}
	d.RefusedBy = refusals[0]
	for i, a := range d.Lineage.Ancestors {
		row, err := r.Ledger.Token(ctx, a.ID)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return err
		}
		one := AncestorDetail{Ancestor: a, RefusedBy: refusals[1+i], Status: TokenActive}
		if err == nil {
			one.Row = row
		}
		switch {
		case one.Row == nil || !one.Row.Live(r.Now()):
			one.Status = TokenExpired
		case one.RefusedBy != nil:
			one.Status = TokenRevoked
		}
		d.Ancestors = append(d.Ancestors, one)
	}
	return nil
}

// RevokeToken takes a token back. One that is expired or revoked already is hit no more, which is no error; one of which there is no
// row is fault.NotFound. It needs tokens:write.
func (r *Registry) RevokeToken(ctx context.Context, actor auth.Actor, id auth.TokenID) (Hit, error) {
	if err := need(actor, auth.ScopeTokensWrite); err != nil {
		return Hit{}, err
	}
	t, err := r.Ledger.Token(ctx, id)
	if err != nil {
		return Hit{}, err
	}
	hit := r.hitOne(t)
	return update(ctx, r, func(tx auth.Tx) (Hit, error) {
		if hit.Tokens == 0 {
			return hit, nil
		}
		return hit, r.note(ctx, tx, record{actor, "token.revoke", id.String(), nil, hitView(hit)}, tokenRevoked(id))
	})
}

// hitOne counts a single token.
func (r *Registry) hitOne(t *auth.Token) Hit {
	hit := none()
	if r.tokenDetail(t).Status == TokenActive {
		hit.Tokens = 1
	}
	return hit
}

func tokenRevoked(id auth.TokenID) auth.Change {
	return auth.Change{Kind: auth.RevokeToken, Subject: id}
}

// hitView is a hit as the audit log shows it.
func hitView(h Hit) map[string]any {
	return map[string]any{"revoked_tokens": h.Tokens, "revoked_tokens_exact": h.Exact}
}
