package api

import (
	"context"
	"net/http"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type secretsInput struct {
	Paging

	Client auth.ClientID `path:"client_id"`
}

type secretInput struct {
	Client auth.ClientID `path:"client_id"`
	Secret auth.SecretID `path:"secret_id"`
}

type addSecret struct {
	Client auth.ClientID `path:"client_id"`
	Body   *wire.SecretBody
}

type rotateSecret struct {
	Client auth.ClientID `path:"client_id"`
	Body   *wire.RotationBody
}

type secretPatch struct {
	Client auth.ClientID `path:"client_id"`
	Secret auth.SecretID `path:"secret_id"`
	Body   wire.SecretPatch
}

type disableSecret struct {
	Client auth.ClientID `path:"client_id"`
	Secret auth.SecretID `path:"secret_id"`
	Body   *wire.DisableBody
}

const ownSecrets = " On a secret of the caller itself it needs `secrets:own` instead, whatever else the caller holds." //nolint:gosec // G101: a sentence

// secrets adds the operations on clients' secrets.
func (s *service) secrets() {
	const all, each = "/clients/{client_id}/secrets", "/clients/{client_id}/secrets/{secret_id}"
	write := [][]string{{auth.ScopeSecretsWrite}, {auth.ScopeSecretsOwn}}
	read := [][]string{{auth.ScopeClientsRead}, {auth.ScopeSecretsOwn}}
	add(s, operation{
		id: "listSecrets", method: http.MethodGet, path: all, tag: tagSecrets, scopes: read, summary: "List the secrets of a client",
		about: "Without their values. `safe_to_delete` says whether anybody can still depend on one." + ownSecrets, faults: codes{fault.NotFound},
	}, s.listSecrets)
	add(s, operation{
		id: "addSecret", method: http.MethodPost, path: all, tag: tagSecrets, scopes: write, summary: "Add a secret to a client",
		about:  "The answer shows its value, this once. A client can have ten." + ownSecrets,
		status: http.StatusCreated, body: true, sent: wire.SecretBody{Expires: new(exampleTime("expires_at"))}, faults: codes{fault.NotFound},
	}, s.addSecret)
	add(s, operation{
		id: "rotateSecrets", method: http.MethodPost, path: all + "/rotate", tag: tagSecrets, scopes: write,
		summary: "Replace the secrets of a client",
		about: "Makes a new secret, whose value the answer shows this once, and lets every other that can be used expire after the overlap, " +
			"unless it does so sooner." + ownSecrets,
		status: http.StatusCreated, body: true, sent: wire.RotationBody{Overlap: new(int64(86400))}, faults: codes{fault.NotFound},
	}, s.rotateSecrets)
	add(s, operation{
		id: "getSecret", method: http.MethodGet, path: each, tag: tagSecrets, scopes: read, summary: "Read a secret",
		about: "Without its value." + ownSecrets, faults: codes{fault.NotFound},
	}, s.getSecret)
	add(s, operation{
		id: "patchSecret", method: http.MethodPatch, path: each, tag: tagSecrets, scopes: write, summary: "Change when a secret expires",
		about: "null: it does not." + ownSecrets, body: true, matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.patchSecret)
	add(s, operation{
		id: "deleteSecret", method: http.MethodDelete, path: each, tag: tagSecrets, scopes: write, summary: "Delete a secret",
		about:   "Only one that is disabled or expired can be deleted." + ownSecrets,
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.deleteSecret)
	add(s, operation{
		id: "disableSecret", method: http.MethodPost, path: each + "/disable", tag: tagSecrets, scopes: write, summary: "Disable a secret",
		about: "It can be enabled again. With `compromised`, what was done with it is undone as well." + ownSecrets,
		body:  true, sent: wire.DisableBody{Compromised: true}, faults: codes{fault.NotFound},
	}, s.disableSecret)
	add(s, operation{
		id: "enableSecret", method: http.MethodPost, path: each + "/enable", tag: tagSecrets, scopes: write, summary: "Enable a secret",
		about: "Never enable one that somebody else may have." + ownSecrets, faults: codes{fault.NotFound},
	}, s.enableSecret)
}

func (s *service) listSecrets(ctx context.Context, in *secretsInput) (*page[wire.Secret], error) {
	c := from(ctx)
	at, err := in.place(c)
	if err != nil {
		return nil, err
	}
	all, err := s.Registry.ListSecrets(ctx, c.actor, in.Client)
	if err != nil {
		return nil, err
	}
	found := after(all, at, func(d registry.SecretDetail) [16]byte { return d.ID })
	return listed(c, in.Paging, found, func(d registry.SecretDetail) wire.Secret { return s.secretDetail(&d) },
		func(d registry.SecretDetail) cursor { return cursor{ID: d.ID[:]} }), nil
}

func (s *service) addSecret(ctx context.Context, in *addSecret) (*single[wire.NewSecret], error) {
	c, asked := from(ctx), registry.NewSecretRequest{}
	if in.Body != nil {
		asked.Expires = timeOf(in.Body.Expires)
		if in.Body.Value != "" {
			asked.Value = auth.PresentedSecret(in.Body.Value)
		}
	}
	made, err := c.registry.AddSecret(ctx, c.actor, in.Client, asked)
	if err != nil {
		return nil, err
	}
	return s.newSecret(made), nil
}

// defaultOverlap is for how long the old secrets go on working where a rotation does not say.
const defaultOverlap = 24 * time.Hour

func (s *service) rotateSecrets(ctx context.Context, in *rotateSecret) (*single[wire.NewSecret], error) {
	c, rotation := from(ctx), registry.Rotation{Overlap: defaultOverlap}
	if in.Body != nil {
		rotation.Expires = timeOf(in.Body.Expires)
		if in.Body.Overlap != nil {
			rotation.Overlap = time.Duration(*in.Body.Overlap) * time.Second
		}
	}
	made, err := c.registry.RotateSecret(ctx, c.actor, in.Client, rotation)
	if err != nil {
		return nil, err
	}
	return s.newSecret(made), nil
}

func (s *service) getSecret(ctx context.Context, in *secretInput) (*single[wire.Secret], error) {
	found, err := s.Registry.Secret(ctx, from(ctx).actor, in.Client, in.Secret)
	if err != nil {
		return nil, err
	}
	return one(s.secretDetail(found), found.Revision, http.StatusOK), nil
}

func (s *service) patchSecret(ctx context.Context, in *secretPatch) (*single[wire.Secret], error) {
	c := from(ctx)
	changed, err := s.Registry.ExpireSecret(ctx, c.actor, registry.SecretRef{Client: in.Client, ID: in.Secret, Match: c.match}, timeOf(in.Body.Expires))
	if err != nil {
		return nil, err
	}
	return one(s.secretOf(*changed), changed.Revision, http.StatusOK), nil
}

func (s *service) deleteSecret(ctx context.Context, in *secretInput) (*struct{}, error) {
	c := from(ctx)
	return nil, s.Registry.DeleteSecret(ctx, c.actor, registry.SecretRef{Client: in.Client, ID: in.Secret, Match: c.match})
}

func (s *service) disableSecret(ctx context.Context, in *disableSecret) (*answer[wire.SecretChange], error) {
	c := from(ctx)
	if err := s.Registry.Belongs(ctx, in.Client, in.Secret); err != nil {
		return nil, err
	}
	change, err := c.registry.DisableSecret(ctx, c.actor, in.Secret, in.Body != nil && in.Body.Compromised)
	if err != nil {
		return nil, err
	}
	return answered(s.secretChange(change), nil)
}

func (s *service) enableSecret(ctx context.Context, in *secretInput) (*answer[wire.SecretChange], error) {
	c := from(ctx)
	if err := s.Registry.Belongs(ctx, in.Client, in.Secret); err != nil {
		return nil, err
	}
	change, err := c.registry.EnableSecret(ctx, c.actor, in.Secret)
	if err != nil {
		return nil, err
	}
	return answered(s.secretChange(change), nil)
}

// timeOf returns the zero time for nil.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
