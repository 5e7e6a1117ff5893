package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// need returns fault.InsufficientScope, with the scope that is missing, unless the actor holds it.
func need(actor auth.Actor, scopes ...string) error {
	if actor.System() {
		return nil
	}
	held, err := auth.ParseScopes(actor.Scope)
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		if !held.Has(scope) {
			return fault.New(fault.InsufficientScope, "the access token does not hold the scope "+scope).At(scope)
		}
	}
	return nil
}

// needAny returns fault.InsufficientScope, with the first of the scopes, unless the actor holds one of them.
func needAny(actor auth.Actor, scopes ...string) error {
	for _, scope := range scopes {
		if need(actor, scope) == nil {
			return nil
		}
	}
	return need(actor, scopes[0])
}

// needSecrets returns fault.InsufficientScope unless the actor may make, or go on using, secrets of the client. What a client may do
// with those of others it may not do with its own: who has stolen its token could stay by it.
func needSecrets(actor auth.Actor, client auth.ClientID) error {
	if client == actor.Client {
		return need(actor, auth.ScopeSecretsOwn)
	}
	return need(actor, auth.ScopeSecretsWrite)
}

// stillActive returns fault.InvalidToken if the actor's client was disabled or deleted since its token was looked at: where there was much to
// do in between.
func stillActive(ctx context.Context, tx auth.Tx, actor auth.Actor) error {
	if actor.System() {
		return nil
	}
	c, err := tx.Clients().Client(ctx, actor.Client)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || c.Status != auth.Active {
		return fault.New(fault.InvalidToken, "the client of the access token was disabled or deleted meanwhile")
	}
	return nil
}

// powers are what a client holds, or an actor, of our own APIs.
type powers struct{ admin, server auth.Scopes }

func (p powers) contain(other powers) bool {
	return p.admin.Contains(other.admin) && p.server.Contains(other.server)
}

// outranks returns fault.Forbidden unless the actor holds everything that the target client holds of our own APIs, and what it would
// gain. Who may change a client, or get a secret of it, may act as that client: this is what keeps a part of the
// administration from becoming the whole. Who holds every scope of the AdminAPI may give itself any other, so it holds everything.
func (r *Registry) outranks(ctx context.Context, tx auth.Tx, actor auth.Actor, target auth.ClientID, gain powers) error {
	if actor.System() {
		return nil
	}
	own, err := builtIn(ctx, tx)
	if err != nil {
		return err
	}
	admin, err := auth.ParseScopes(actor.Scope)
	if err != nil {
		return err
	}
	if admin.Contains(own.admin.ScopeNames()) {
		return nil
	}
	held, err := own.of(ctx, tx, actor.Client)
	if err != nil {
		return err
	}
	held.admin = admin
	needed, err := own.of(ctx, tx, target)
	if err != nil {
		return err
	}
	if !held.contain(needed) {
		return fault.New(fault.Forbidden, "the client holds scopes of Countersign's own APIs that the caller does not hold")
	}
	if !held.contain(gain) {
		return fault.New(fault.Forbidden, "the client would gain scopes of Countersign's own APIs that the caller does not hold").At("scopes")
	}
	return nil
}

// ownAPIs are the built-in APIs.
type ownAPIs struct{ admin, server *auth.API }

func builtIn(ctx context.Context, tx auth.Tx) (own ownAPIs, err error) {
	if own.admin, err = tx.APIs().APIByIdentifier(ctx, auth.AdminAPI); err != nil {
		return own, fmt.Errorf("find the admin API: %w", err)
	}
	if own.server, err = tx.APIs().APIByIdentifier(ctx, auth.ServerAPI); err != nil {
		return own, fmt.Errorf("find the server API: %w", err)
	}
	return own, nil
}

// of returns what a client is granted of them.
func (o ownAPIs) of(ctx context.Context, tx auth.Tx, client auth.ClientID) (p powers, err error) {
	if p.admin, err = granted(ctx, tx, client, o.admin.ID); err != nil {
		return p, err
	}
	p.server, err = granted(ctx, tx, client, o.server.ID)
	return p, err
}

func granted(ctx context.Context, tx auth.Tx, client auth.ClientID, api auth.APIID) (auth.Scopes, error) {
	g, err := tx.Grants().Grant(ctx, client, api)
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return g.Scopes, nil
}

// notice is for how long somebody must be left who can do everything: to let the last secret expire in a moment is to end it.
const notice = 10 * time.Minute

// keepAdmin returns fault.Conflict if no client is left that can do everything at that time: that is active, has every scope of the
// AdminAPI, and a secret that can be used or another way to authenticate.
func (r *Registry) keepAdmin(ctx context.Context, tx auth.Tx, at time.Time) error {
	if kept, err := r.ableAdmin(ctx, tx, at); err != nil || kept {
		return err
	}
	return fault.New(fault.Conflict, "this would leave nobody who can administer everything; give another client every scope of "+auth.AdminAPI+" first")
}

// keeping makes a change that takes something away from a client, and ends with keepAdmin. Where nobody could do everything before, it
// takes nothing from anybody who could.
func (r *Registry) keeping(ctx context.Context, tx auth.Tx, actor auth.Actor, change func() error) error {
	if actor.System() {
		return change()
	}
	var had []time.Time
	for _, at := range []time.Time{r.Now(), r.Now().Add(notice)} {
		able, err := r.ableAdmin(ctx, tx, at)
		if err != nil {
			return err
		}
		if able {
			had = append(had, at)
		}
	}
	if err := change(); err != nil {
		return err
	}
	for _, at := range had {
		if err := r.keepAdmin(ctx, tx, at); err != nil {
			return err
		}
	}
	return nil
}

// ableAdmin reports whether there is a client that can do everything at that time.
func (r *Registry) ableAdmin(ctx context.Context, tx auth.Tx, at time.Time) (bool, error) {
	own, err := builtIn(ctx, tx)
	if err != nil {
		return false, err
	}
	grants, err := tx.Grants().APIGrants(ctx, own.admin.ID)
	if err != nil {
		return false, err
	}
	all := own.admin.ScopeNames()
	for _, g := range grants {
		if !g.Scopes.Contains(all) {
			continue
		}
		if able, err := r.able(ctx, tx, g.Client, at); err != nil || able {
			return able, err
		}
	}
	return false, nil
}

// able reports whether the client can authenticate at that time.
func (r *Registry) able(ctx context.Context, tx auth.Tx, id auth.ClientID, at time.Time) (bool, error) {
	c, err := tx.Clients().Client(ctx, id)
	if err != nil || c.Status != auth.Active {
		return false, err
	}
	if !c.AuthMethod.BySecret() {
		return trusting(ctx, tx, c)
	}
	secrets, err := tx.Secrets().ClientSecrets(ctx, id)
	if err != nil {
		return false, err
	}
	for _, s := range secrets {
		if s.Usable(at) {
			return true, nil
		}
	}
	return false, nil
}

// trusting reports whether the client has what it needs to authenticate by something else than a secret, as far as this is known here: an
// issuer that its rules trust is not disabled.
func trusting(ctx context.Context, tx auth.Tx, c *auth.Client) (bool, error) {
	if len(c.Proofs.Federation) == 0 {
		return true, nil // it has keys, or a certificate
	}
	for i := range c.Proofs.Federation {
		issuer, err := tx.Issuers().TrustedIssuer(ctx, c.Proofs.Federation[i].Issuer)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil || issuer.Status == auth.Active {
			return err == nil, err
		}
	}
	return false, nil
}
