package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

// What carries out a step. What is declared is copied: a transaction may run again.

func (a *applying) makeAPI(ctx context.Context, want *auth.API) error {
	made := *want
	return a.addAPI(ctx, a.tx, a.actor, &made)
}

func (a *applying) editAPI(ctx context.Context, want *auth.API) error {
	stored, err := a.tx.APIs().API(ctx, want.ID)
	if err != nil {
		return err
	}
	return a.changeAPI(ctx, a.tx, a.actor, editing[auth.API]{stored: stored, change: func(to *auth.API) error {
		to.Name, to.Scopes, to.Format, to.Lifetime = want.Name, want.Scopes, want.Format, want.Lifetime
		to.Algorithm, to.Constraint = want.Algorithm, want.Constraint
		return nil
	}})
}

// makeClient leaves the default resource to setDefault, since there are no grants yet.
func (a *applying) makeClient(ctx context.Context, want *auth.Client) error {
	made := *want
	made.DefaultResource = auth.APIID{}
	return a.addClient(ctx, a.tx, a.actor, &made)
}

// editClient leaves the default resource to setDefault.
func (a *applying) editClient(ctx context.Context, want *auth.Client) error {
	stored, err := a.tx.Clients().Client(ctx, want.ID)
	if err != nil {
		return err
	}
	err = a.changeClient(ctx, a.tx, a.actor, editing[auth.Client]{stored: stored, change: func(to *auth.Client) error {
		to.Description, to.Owner, to.Labels = want.Description, want.Owner, want.Labels
		to.AuthMethod, to.Proofs = want.AuthMethod, want.Proofs
		return nil
	}})
	if err != nil || stored.Status == want.Status {
		return err
	}
	return a.turnClient(ctx, a.tx, a.actor, &StatusChange{Client: *stored}, want.Status)
}

func (a *applying) setDefault(ctx context.Context, want *auth.Client) error {
	stored, err := a.tx.Clients().Client(ctx, want.ID)
	if err != nil || stored.DefaultResource == want.DefaultResource {
		return err
	}
	return a.changeClient(ctx, a.tx, a.actor, editing[auth.Client]{stored: stored, change: func(to *auth.Client) error {
		to.DefaultResource = want.DefaultResource
		return nil
	}})
}

func (a *applying) setServers(ctx context.Context, id auth.APIID, servers []auth.ClientID) error {
	stored, err := a.tx.APIs().API(ctx, id)
	if err != nil {
		return err
	}
	return a.serve(ctx, a.tx, a.actor, stored, servers)
}

func (a *applying) setGrant(ctx context.Context, want *auth.Grant) error {
	client, api, err := parties(ctx, a.tx, want.Client, want.API)
	if err != nil {
		return err
	}
	if err := a.mayGrant(ctx, a.tx, a.actor, api, want); err != nil {
		return err
	}
	_, err = a.grant(ctx, a.tx, a.actor, entitling{client, api, want.Scopes, want.MayAct, Any})
	return err
}

func (a *applying) makeSecret(ctx context.Context, want *plannedSecret) error {
	row, value := a.values.secret(want, a.actor, a.now())
	if err := a.addSecret(ctx, a.tx, a.actor, &row); err != nil {
		return err
	}
	if want.value == (auth.SecretValue{}) {
		a.made = append(a.made, AppliedSecret{Client: row.Client, Name: want.client.after.Name, Secret: row.ID, Value: value})
	}
	return nil
}
