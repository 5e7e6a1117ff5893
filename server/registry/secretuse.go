package registry

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// SecretDetail is a secret, without its hash, and what is known of its use.
type SecretDetail struct {
	auth.Secret
	Use auth.SecretUse // zero: it was never used
	// SafeToDelete says that nobody can depend on the secret any more; Why says why, or what is lacking.
	SafeToDelete bool
	Why          string
}

// useDelay is how late at most it is known that a secret was used.
const useDelay = 5 * time.Minute

// ListSecrets returns the secrets of a client in order of id. It needs clients:read, or if the client is the caller, secrets:own.
func (r *Registry) ListSecrets(ctx context.Context, actor auth.Actor, client auth.ClientID) (found []SecretDetail, err error) {
	scopes := []string{auth.ScopeClientsRead}
	if client == actor.Client {
		scopes = append(scopes, auth.ScopeSecretsOwn)
	}
	if err := needAny(actor, scopes...); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		if _, err := tx.Clients().Client(ctx, client); err != nil {
			return err
		}
		secrets, err := tx.Secrets().ClientSecrets(ctx, client)
		if err != nil {
			return err
		}
		uses, err := tx.Usage().SecretUses(ctx, client)
		found = secretDetails(secrets, uses, r.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Secret returns one of a client's secrets, or fault.NotFound. It needs what ListSecrets needs.
func (r *Registry) Secret(ctx context.Context, actor auth.Actor, client auth.ClientID, id auth.SecretID) (*SecretDetail, error) {
	all, err := r.ListSecrets(ctx, actor, client)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ID == id {
			return &all[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "the client has no such secret")
}

func secretDetails(secrets []*auth.Secret, uses []auth.SecretUse, now time.Time) []SecretDetail {
	details := make([]SecretDetail, 0, len(secrets))
	for _, s := range secrets {
		d := SecretDetail{Secret: bare(s)}
		if i := slices.IndexFunc(uses, func(u auth.SecretUse) bool { return u.Secret == s.ID }); i >= 0 {
			d.Use = uses[i]
		}
		details = append(details, d)
	}
	for i := range details {
		details[i].SafeToDelete, details[i].Why = details[i].safe(details, now)
	}
	return details
}

// safe tells whether nobody can depend on a secret any more. While a newer one is in use, whoever still had only this one would have
// used it within the longest life of a token: he needs a new token by then.
func (d *SecretDetail) safe(all []SecretDetail, now time.Time) (safe bool, why string) {
	switch {
	case d.Status == auth.Disabled:
		return true, "it is disabled"
	case !d.Usable(now):
		return true, "it has expired"
	}
	var successor time.Time // when the first newer one was first used
	for _, other := range all {
		first := other.Use.First
		newer := cmp.Or(other.Created.Compare(d.Created), slices.Compare(other.ID[:], d.ID[:])) > 0
		if newer && other.Usable(now) && !first.IsZero() && (successor.IsZero() || first.Before(successor)) {
			successor = first
		}
	}
	if successor.IsZero() {
		return false, "no newer secret of the client is in use"
	}
	last := successor
	if d.Use.Last.After(last) {
		last = d.Use.Last
	}
	since := last.UTC().Format(time.RFC3339)
	if end := last.Add(auth.MaxLifetime + useDelay); !end.Before(now) {
		return false, "a newer secret is in use, but this one may be missed until " + end.UTC().Format(time.RFC3339)
	}
	return true, "a newer secret is in use, and this one was not used since " + since
}
