package registry

import (
	"context"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// SecretRef names a secret of a client, in the state in which it must be.
type SecretRef struct {
	Client auth.ClientID
	ID     auth.SecretID
	Match  Match
}

// SecretChange is what enabling or disabling a secret came to.
type SecretChange struct {
	Secret  auth.Secret
	Revoked Hit
	Reached []auth.SecretID // secrets that were made with it, or with one of those, and are disabled too
}

// find returns the secret, or fault.NotFound if it is not the client's.
func (ref SecretRef) find(ctx context.Context, tx auth.Tx) (*auth.Secret, error) {
	s, err := tx.Secrets().Secret(ctx, ref.ID)
	if err != nil {
		return nil, err
	}
	if s.Client != ref.Client {
		return nil, fault.New(fault.NotFound, "the client has no such secret")
	}
	return s, nil
}

// ExpireSecret sets when a secret expires, which must be in the future; zero: never. It needs what AddSecret needs; fault.Conflict if
// it would soon leave nobody who can administer everything.
func (r *Registry) ExpireSecret(ctx context.Context, actor auth.Actor, ref SecretRef, expires time.Time) (*auth.Secret, error) {
	if err := needSecrets(actor, ref.Client); err != nil {
		return nil, err
	}
	expires, err := expiry(expires, r.Now())
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (auth.Secret, error) {
		s, err := ref.find(ctx, tx)
		if err != nil {
			return auth.Secret{}, err
		}
		if err := r.outranks(ctx, tx, actor, s.Client, powers{}); err != nil {
			return auth.Secret{}, err
		}
		if err := ref.Match.check(s.Revision); err != nil || s.Expires.Equal(expires) {
			return bare(s), err
		}
		before := secretView(s)
		s.Expires = expires
		err = r.keeping(ctx, tx, actor, func() error { return tx.Secrets().PutSecret(ctx, s) })
		if err != nil {
			return auth.Secret{}, err
		}
		return bare(s), r.note(ctx, tx, record{actor, "secret.expire", s.ID.String(), before, secretView(s)}, clientChanged(s.Client))
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// DisableSecret makes a secret unusable. If it is compromised, the tokens that were asked for with it are taken back as well, and so it
// goes with every secret that was made with it, or with one of those. It needs secrets:write, or if the client is the caller,
// secrets:own, and every scope of Countersign's own APIs that the clients of those secrets hold; fault.Conflict if nobody would
// be left who can administer everything.
func (r *Registry) DisableSecret(ctx context.Context, actor auth.Actor, id auth.SecretID, compromised bool) (*SecretChange, error) {
	if err := needAny(actor, auth.ScopeSecretsWrite, auth.ScopeSecretsOwn); err != nil {
		return nil, err
	}
	hit := none()
	if compromised {
		var err error
		if hit, err = r.countCompromised(ctx, id); err != nil {
			return nil, err
		}
	}
	done, err := update(ctx, r, func(tx auth.Tx) (SecretChange, error) {
		s, err := tx.Secrets().Secret(ctx, id)
		if err != nil {
			return SecretChange{}, err
		}
		if s.Client != actor.Client {
			if err := need(actor, auth.ScopeSecretsWrite); err != nil {
				return SecretChange{}, err
			}
		}
		ended := SecretChange{Revoked: hit}
		err = r.keeping(ctx, tx, actor, func() (err error) {
			if compromised {
				return r.disableAll(ctx, tx, actor, s, &ended)
			}
			return r.turnSecret(ctx, tx, actor, s, auth.Disabled)
		})
		ended.Secret = bare(s)
		return ended, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// turnSecret enables or disables one secret and nothing else.
func (r *Registry) turnSecret(ctx context.Context, tx auth.Tx, actor auth.Actor, s *auth.Secret, status auth.Status) error {
	if err := r.outranks(ctx, tx, actor, s.Client, powers{}); err != nil || s.Status == status {
		return err
	}
	before, action := secretView(s), "secret.disable"
	if status == auth.Active {
		action = "secret.enable"
	}
	s.Status = status
	if err := tx.Secrets().PutSecret(ctx, s); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, action, s.ID.String(), before, secretView(s)}, clientChanged(s.Client))
}

// disableAll disables a compromised secret with what it reaches.
func (r *Registry) disableAll(ctx context.Context, tx auth.Tx, actor auth.Actor, s *auth.Secret, ended *SecretChange) error {
	family, err := descent(ctx, tx, s)
	if err != nil {
		return err
	}
	var asked []auth.ClientID
	for _, one := range family {
		if slices.Contains(asked, one.Client) {
			continue
		}
		asked = append(asked, one.Client)
		if err := r.outranks(ctx, tx, actor, one.Client, powers{}); err != nil {
			return err
		}
	}
	before := secretView(s)
	reached, changes, err := r.compromise(ctx, tx, actor, s)
	if err != nil {
		return err
	}
	ended.Reached = reached
	after := telling(secretView(s), ended.Revoked)
	after["compromised"], after["disabled_secrets"] = true, reached
	return r.note(ctx, tx, record{actor, "secret.disable", s.ID.String(), before, after}, changes...)
}

// EnableSecret makes a secret usable again, unless it has expired. It needs what AddSecret needs.
func (r *Registry) EnableSecret(ctx context.Context, actor auth.Actor, id auth.SecretID) (*SecretChange, error) {
	if err := needAny(actor, auth.ScopeSecretsWrite, auth.ScopeSecretsOwn); err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (SecretChange, error) {
		s, err := tx.Secrets().Secret(ctx, id)
		if err != nil {
			return SecretChange{}, err
		}
		if err := needSecrets(actor, s.Client); err != nil {
			return SecretChange{}, err
		}
		err = r.turnSecret(ctx, tx, actor, s, auth.Active)
		return SecretChange{Secret: bare(s), Revoked: none()}, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// DeleteSecret removes a secret that cannot be used any more; fault.Conflict for one that can. It needs what AddSecret needs.
func (r *Registry) DeleteSecret(ctx context.Context, actor auth.Actor, ref SecretRef) error {
	if err := needSecrets(actor, ref.Client); err != nil {
		return err
	}
	_, err := update(ctx, r, func(tx auth.Tx) (struct{}, error) {
		s, err := ref.find(ctx, tx)
		if err != nil {
			return struct{}{}, err
		}
		if err := r.outranks(ctx, tx, actor, s.Client, powers{}); err != nil {
			return struct{}{}, err
		}
		if err := ref.Match.check(s.Revision); err != nil {
			return struct{}{}, err
		}
		if s.Usable(r.Now()) {
			return struct{}{}, fault.New(fault.Conflict, "the secret can be used; disable it first, which can be undone")
		}
		if err := tx.Secrets().DeleteSecret(ctx, s.ID); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, r.note(ctx, tx, record{actor, "secret.delete", s.ID.String(), secretView(s), nil}, clientChanged(s.Client))
	})
	return err
}
