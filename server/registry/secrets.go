package registry

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// MaxOverlap is how long the secrets that a rotation replaces can go on working.
const MaxOverlap = 30 * 24 * time.Hour

// NewSecretRequest asks for a further secret of a client.
type NewSecretRequest struct {
	Expires time.Time // zero: never
	// Value is one from outside: 16 to 256 printable ASCII characters. Zero: one is made.
	Value auth.SecretValue
}

// Rotation asks for a secret in place of all others of a client.
type Rotation struct {
	Overlap time.Duration // how long the others go on working: whole seconds, at most MaxOverlap
	Expires time.Time     // of the new one; zero: never
}

// NewSecret is a secret that was just made.
type NewSecret struct {
	Secret   auth.Secret
	Value    auth.SecretValue `json:"-"` // cannot be had again; zero: it was brought from outside, or cannot be had any more
	Retiring []auth.Secret    // those that it replaces, with their new expiry
}

func (n *NewSecret) reveal() []string { return []string{n.Value.Reveal()} }

func (n *NewSecret) restore(secrets []string) {
	n.Value = auth.SecretValue{}
	if len(secrets) == 1 {
		n.Value = auth.PresentedSecret(secrets[0])
	}
}

// bare returns a secret without its hash: nobody outside needs that. Of an imported one it is still told that it is.
func bare(s *auth.Secret) auth.Secret {
	shown := *s
	shown.Hash, shown.Pepper = [len(s.Hash)]byte{}, 0
	if s.Imported != "" {
		shown.Imported = "argon2id"
	}
	return shown
}

// AddSecret makes a further secret for a client; fault.Conflict if it authenticates by something else, or has auth.MaxSecrets and the actor is not the
// system. It needs secrets:write and every scope of
// Countersign's own APIs that the client holds, or if the client is the caller, secrets:own.
func (r *Registry) AddSecret(ctx context.Context, actor auth.Actor, client auth.ClientID, n NewSecretRequest) (*NewSecret, error) {
	if err := needSecrets(actor, client); err != nil {
		return nil, err
	}
	made, err := r.newSecret(actor, client, n)
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (NewSecret, error) {
		stored := made.Secret
		err := r.addSecret(ctx, tx, actor, &stored)
		return NewSecret{Secret: bare(&stored), Value: made.Value}, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

func (r *Registry) addSecret(ctx context.Context, tx auth.Tx, actor auth.Actor, s *auth.Secret) error {
	if _, err := r.roomForSecret(ctx, tx, actor, s.Client); err != nil {
		return err
	}
	if err := tx.Secrets().PutSecret(ctx, s); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "secret.create", s.ID.String(), nil, secretView(s)}, clientChanged(s.Client))
}

// newSecret returns a secret that is not stored yet, with its hash.
func (r *Registry) newSecret(actor auth.Actor, client auth.ClientID, n NewSecretRequest) (*NewSecret, error) {
	now := r.now()
	expires, err := expiry(n.Expires, now)
	if err != nil {
		return nil, err
	}
	s := auth.Secret{
		ID: auth.NewSecretID(now), Client: client, Status: auth.Active, Created: now, Expires: expires, By: actor.Credential,
	}
	if n.Value == (auth.SecretValue{}) {
		value := auth.NewSecretValue()
		s.Hint = value.Hint()
		s.Hash, s.Pepper = r.Peppers().Hash(value)
		return &NewSecret{Secret: s, Value: value}, nil
	}
	if r.Import == nil {
		return nil, errors.New("import secret: nothing is set to hash it")
	}
	if s.Imported, err = r.Import(n.Value); err != nil {
		return nil, err
	}
	return &NewSecret{Secret: s}, nil
}

// expiry returns when a secret expires as the stores keep it. One that has ended already is to be disabled instead.
func expiry(expires, now time.Time) (time.Time, error) {
	if expires.IsZero() {
		return time.Time{}, nil
	}
	if !expires.After(now) {
		return time.Time{}, fault.New(fault.InvalidRequest, "must be in the future").At("expires_at")
	}
	return expires.UTC().Truncate(time.Microsecond), nil
}

// roomForSecret returns a client's secrets if the actor may give it one more.
func (r *Registry) roomForSecret(ctx context.Context, tx auth.Tx, actor auth.Actor, client auth.ClientID) ([]*auth.Secret, error) {
	c, err := tx.Clients().Client(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := r.outranks(ctx, tx, actor, client, powers{}); err != nil {
		return nil, err
	}
	if !c.AuthMethod.BySecret() {
		return nil, errNoSecrets(c)
	}
	all, err := tx.Secrets().ClientSecrets(ctx, client)
	if err != nil {
		return nil, err
	}
	if len(all) >= auth.MaxSecrets && !actor.System() { // a start that lost what it was told must not be the last
		return nil, fault.New(fault.Conflict, "the client has 10 secrets, which is the most; delete one that is not used any more")
	}
	return all, nil
}

// RotateSecret makes a further secret for a client and lets every other that can be used expire after the overlap, unless it does so
// sooner. It needs what AddSecret needs; fault.Conflict if it would soon leave nobody who can administer everything.
func (r *Registry) RotateSecret(ctx context.Context, actor auth.Actor, client auth.ClientID, rot Rotation) (*NewSecret, error) {
	if err := needSecrets(actor, client); err != nil {
		return nil, err
	}
	if rot.Overlap < 0 || rot.Overlap > MaxOverlap || rot.Overlap%time.Second != 0 {
		return nil, fault.New(fault.InvalidRequest, "must be 0 to 2592000 whole seconds").At("overlap_seconds")
	}
	made, err := r.newSecret(actor, client, NewSecretRequest{Expires: rot.Expires})
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (NewSecret, error) {
		others, err := r.roomForSecret(ctx, tx, actor, client)
		if err != nil {
			return NewSecret{}, err
		}
		stored := made.Secret
		if err := tx.Secrets().PutSecret(ctx, &stored); err != nil {
			return NewSecret{}, err
		}
		rotated := NewSecret{Secret: bare(&stored), Value: made.Value}
		err = r.keeping(ctx, tx, actor, func() (err error) {
			rotated.Retiring, err = r.retire(ctx, tx, actor, others, stored.Created.Add(rot.Overlap))
			return err
		})
		if err != nil {
			return NewSecret{}, err
		}
		rec := record{actor, "secret.rotate", stored.ID.String(), nil, secretView(&stored)}
		return rotated, r.note(ctx, tx, rec, clientChanged(client))
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// retire lets secrets that can be used expire at end. It leaves it to its caller to tell the change log.
func (r *Registry) retire(ctx context.Context, tx auth.Tx, actor auth.Actor, secrets []*auth.Secret, end time.Time) (retiring []auth.Secret, err error) {
	for _, s := range secrets {
		if !s.Usable(r.Now()) {
			continue
		}
		if s.Expires.IsZero() || s.Expires.After(end) {
			before := secretView(s)
			s.Expires = end
			if err := tx.Secrets().PutSecret(ctx, s); err != nil {
				return nil, err
			}
			if err := r.note(ctx, tx, record{actor, "secret.expire", s.ID.String(), before, secretView(s)}); err != nil {
				return nil, err
			}
		}
		retiring = append(retiring, bare(s))
	}
	return retiring, nil
}
