package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type registryClient = registry.ClientDetail

// clientOf returns the client that a body describes.
func (s *service) clientOf(ctx context.Context, body *wire.ClientBody) (c auth.Client, err error) {
	issuers, err := s.issuersOf(ctx, body.Federation)
	if err != nil {
		return c, err
	}
	if err := setClient(&c, body, issuers); err != nil {
		return c, err
	}
	c.DefaultResource, err = s.Registry.Resource(ctx, body.DefaultResource)
	return c, err
}

// setClient sets what a body says, but for the default resource, which it names in another way.
func setClient(c *auth.Client, body *wire.ClientBody, issuers map[string]auth.TrustedIssuerID) (err error) {
	c.Name, c.Description, c.Owner, c.Labels = body.Name, body.Description, body.Owner, body.Labels
	c.AuthMethod = auth.Method(body.AuthMethod)
	if c.AuthMethod == "" {
		c.AuthMethod = auth.SecretBasic
	}
	c.Proofs, err = proofsOf(&body.Proofs, issuers)
	return err
}

func bodyOfClient(c *auth.Client) wire.ClientBody {
	return wire.ClientBody{
		Name: c.Name, Description: c.Description, Owner: c.Owner, Labels: c.Labels, AuthMethod: string(c.AuthMethod), Proofs: showProofs(&c.Proofs),
	}
}

// showClients returns how these clients are shown: with the identifiers of their default resources.
func (s *service) showClients(ctx context.Context, clients ...*registryClient) (func(*registryClient) wire.Client, error) {
	plain := make([]*auth.Client, len(clients))
	for i, c := range clients {
		plain[i] = &c.Client
	}
	resources, err := s.Registry.Resources(ctx, plain...)
	if err != nil {
		return nil, err
	}
	return func(c *registryClient) wire.Client {
		return wire.Client{
			ID: c.ID.String(), Name: c.Name, Description: c.Description, Owner: c.Owner, Labels: c.Labels, Status: string(c.Status),
			AuthMethod: string(c.AuthMethod), DefaultResource: resources[c.DefaultResource],
			Proofs: showProofs(&c.Proofs), Thumbprints: registry.Thumbprints(c.Proofs.JWKS),
			Created: c.Created.UTC(), Updated: c.Updated.UTC(), LastUsed: optional(c.LastUsed),
		}
	}, nil
}

func (s *service) oneClient(ctx context.Context, c *registryClient, status int) (*single[wire.Client], error) {
	show, err := s.showClients(ctx, c)
	if err != nil {
		return nil, err
	}
	return one(show(c), c.Revision, status, "clients", c.ID.String()), nil
}

// secretOf shows a secret of whose use nothing is known.
func (s *service) secretOf(secret auth.Secret) wire.Secret {
	return s.secretDetail(&registry.SecretDetail{Secret: secret, SafeToDelete: !secret.Usable(s.Now())})
}

func (s *service) secretDetail(d *registry.SecretDetail) wire.Secret {
	status := string(d.Status)
	if d.Status == auth.Active && !d.Usable(s.Now()) {
		status = "expired"
	}
	return wire.Secret{
		ID: d.ID.String(), Client: d.Client.String(), Hint: d.Hint, Status: status, Imported: d.Imported != "",
		Created: d.Created.UTC(), CreatedBy: textUnlessZero(d.By), Expires: optional(d.Expires),
		FirstUsed: optional(d.Use.First), LastUsed: optional(d.Use.Last), LastUsedFrom: d.Use.Source,
		SafeToDelete: d.SafeToDelete, Why: d.Why,
	}
}

func (s *service) newSecret(made *registry.NewSecret) *single[wire.NewSecret] {
	body := wire.NewSecret{Secret: s.secretOf(made.Secret), Value: made.Value.Reveal()}
	for _, old := range made.Retiring {
		body.Retiring = append(body.Retiring, s.secretOf(old))
	}
	return one(body, made.Secret.Revision, http.StatusCreated, "clients", body.Client, "secrets", body.ID)
}

func (s *service) secretChange(change *registry.SecretChange) wire.SecretChange {
	return wire.SecretChange{Secret: s.secretOf(change.Secret), Reached: textOf(change.Reached), Hit: hitOf(change.Revoked)}
}
