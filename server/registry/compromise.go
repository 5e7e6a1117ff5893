package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

// descent returns a secret and all that was made with it, with what was made with that, and so on.
func descent(ctx context.Context, tx auth.Tx, root *auth.Secret) ([]*auth.Secret, error) {
	found, seen := []*auth.Secret{root}, map[auth.SecretID]bool{root.ID: true}
	for i := 0; i < len(found); i++ {
		made, err := tx.Secrets().SecretsBy(ctx, found[i].ID)
		if err != nil {
			return nil, err
		}
		for _, s := range made {
			if !seen[s.ID] {
				seen[s.ID] = true
				found = append(found, s)
			}
		}
	}
	return found, nil
}

// countCompromised counts what compromise would take back.
func (r *Registry) countCompromised(ctx context.Context, id auth.SecretID) (Hit, error) {
	with, client := map[auth.SecretID]bool{}, auth.ClientID{}
	err := r.Store.View(ctx, func(tx auth.Tx) error {
		root, err := tx.Secrets().Secret(ctx, id)
		if err != nil {
			return err
		}
		all, err := descent(ctx, tx, root)
		clear(with)
		client = root.Client
		for _, s := range all {
			with[s.ID] = true
			if s.Client != root.Client {
				client = auth.ClientID{}
			}
		}
		return err
	})
	if err != nil {
		return Hit{}, err
	}
	return r.count(ctx, func(t *auth.Token) bool { return with[t.Credential] }, client)
}

// compromise disables a secret that somebody else may have, and every secret that was made with it, since who had it could have made
// those. It returns the latter, as far as they were active, and the changes that also take back the tokens of all. Each of the latter is
// recorded; the secret itself, which it changes, is for the caller to record, with the changes.
func (r *Registry) compromise(ctx context.Context, tx auth.Tx, actor auth.Actor, s *auth.Secret) (reached []auth.SecretID, changes []auth.Change, err error) {
	all, err := descent(ctx, tx, s)
	if err != nil {
		return nil, nil, err
	}
	told := map[auth.ClientID]bool{}
	for _, secret := range all {
		before, active := secretView(secret), secret.Status == auth.Active
		if active {
			secret.Status = auth.Disabled
			if err := tx.Secrets().PutSecret(ctx, secret); err != nil {
				return nil, nil, err
			}
			if !told[secret.Client] {
				told[secret.Client] = true
				changes = append(changes, clientChanged(secret.Client))
			}
		}
		changes = append(changes, auth.Change{Kind: auth.RevokeCredential, Subject: secret.ID})
		if !active || secret == s {
			continue
		}
		reached = append(reached, secret.ID)
		after := secretView(secret)
		after["made_with"] = s.ID.String()
		if err := r.note(ctx, tx, record{actor, "secret.disable", secret.ID.String(), before, after}); err != nil {
			return nil, nil, err
		}
	}
	return reached, changes, nil
}
