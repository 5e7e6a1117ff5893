package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type clientInput struct {
	Client auth.ClientID `path:"client_id"`
}

type clientsInput struct {
	Paging

	Status     string `query:"status" enum:"active,disabled" doc:"Only those of this status."`
	Owner      string `query:"owner" maxLength:"200" doc:"Only those of this owner."`
	Name       string `query:"name" maxLength:"200" doc:"Only the one with this name."`
	NamePrefix string `query:"name_prefix" maxLength:"200" doc:"Only those whose name begins with this."`
	Label      string `query:"label" maxLength:"401" doc:"Only those with this label: its name, or name=value." example:"team=payments"`
	Sort       string `query:"sort" enum:"created,-created,name,-name" default:"created" doc:"The order; a minus turns it round."`
}

type clientBody struct {
	Body wire.ClientBody
}

type clientPut struct {
	Client auth.ClientID `path:"client_id"`
	Body   wire.ClientBody
}

type clientPatch struct {
	Client auth.ClientID `path:"client_id"`
	Body   wire.ClientPatch
}

// clients adds the operations on clients.
func (s *service) clients() {
	add(s, operation{
		id: "listClients", method: http.MethodGet, path: "/clients", tag: tagClients, scopes: needs(auth.ScopeClientsRead),
		summary: "List clients", about: "Filters can be combined. `last_used_at` may lag by a minute or so.",
	}, s.listClients)
	add(s, operation{
		id: "createClient", method: http.MethodPost, path: "/clients", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Create a client", about: "It has neither a secret nor a grant yet: add both, and it can ask for tokens. One that authenticates by keys, a certificate or the tokens of " +
			"a trusted issuer needs no secret, and takes none; to make it so needs `secrets:write`, too.",
		status: http.StatusCreated, body: true, sent: wire.ClientBody{Name: "orders", Owner: "team-payments", Labels: map[string]string{"tier": "1"}},
	}, s.createClient)
	add(s, operation{
		id: "getClient", method: http.MethodGet, path: "/clients/{client_id}", tag: tagClients, scopes: needs(auth.ScopeClientsRead),
		summary: "Read a client", about: "The `ETag` of the answer is what a change of it needs.", faults: codes{fault.NotFound},
	}, s.getClient)
	add(s, operation{
		id: "putClient", method: http.MethodPut, path: "/clients/{client_id}", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Create or replace a client",
		about:   "Creates under an id of your choice, with `If-None-Match: *`, or replaces everything but its status, secrets and grants.",
		body:    true, put: true, matches: matchReplaced, faults: codes{fault.NotFound, fault.Conflict},
	}, s.putClient)
	add(s, operation{
		id: "patchClient", method: http.MethodPatch, path: "/clients/{client_id}", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Change a client", about: "Members that are absent stay as they are; null takes one back to its default. To change how it authenticates needs `secrets:write`, too, and " +
			"on the caller itself `secrets:own` instead. Tokens that it got by what is changed go on, unless `revoke_tokens` is set.",
		body: true, sent: map[string]any{"owner": "team-payments", "labels": map[string]any{"tier": "1", "draft": nil}},
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.patchClient)
	add(s, operation{
		id: "deleteClient", method: http.MethodDelete, path: "/clients/{client_id}", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Delete a client", about: "Its secrets and grants go with it, and all of its tokens are taken back. This cannot be undone: disabling can.",
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.deleteClient)
	add(s, operation{
		id: "disableClient", method: http.MethodPost, path: "/clients/{client_id}/disable", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Disable a client", about: "It gets no more tokens, and all that it has are taken back.", faults: codes{fault.NotFound},
	}, s.disableClient)
	add(s, operation{
		id: "enableClient", method: http.MethodPost, path: "/clients/{client_id}/enable", tag: tagClients, scopes: needs(auth.ScopeClientsWrite),
		summary: "Enable a client", about: "It may ask for tokens again. Those that were taken back stay so.", faults: codes{fault.NotFound},
	}, s.enableClient)
}

func (s *service) listClients(ctx context.Context, in *clientsInput) (*page[wire.Client], error) {
	c := from(ctx)
	found, err := s.findClients(ctx, in)
	if err != nil {
		return nil, err
	}
	show, err := s.showClients(ctx, found...)
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, show, func(d *registryClient) cursor {
		at := cursor{ID: d.ID[:]}
		if order(in.Sort) == auth.ByName {
			at.Key = d.Name
		}
		return at
	}), nil
}

func (s *service) findClients(ctx context.Context, in *clientsInput) ([]*registryClient, error) {
	c := from(ctx)
	after, err := in.place(c)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		return s.clientNamed(ctx, in)
	}
	label, value, valued := strings.Cut(in.Label, "=")
	if valued && (label == "" || value == "") {
		return nil, fault.New(fault.InvalidRequest, "must be a name, or a name, an equals sign and a value").At("label")
	}
	return s.Registry.ListClients(ctx, c.actor, auth.ClientQuery{
		Status: auth.Status(in.Status), Owner: in.Owner, NamePrefix: in.NamePrefix, Label: label, LabelValue: value,
		Order: order(in.Sort), Descending: descending(in.Sort), After: after, Limit: in.Limit + 1,
	})
}

// clientNamed finds the one client with a name, which no other filter can make more of.
func (s *service) clientNamed(ctx context.Context, in *clientsInput) ([]*registryClient, error) {
	if in.Status != "" || in.Owner != "" || in.NamePrefix != "" || in.Label != "" || in.Cursor != "" {
		return nil, fault.New(fault.InvalidRequest, "cannot be combined with another filter, nor with a cursor").At("name")
	}
	found, err := s.Registry.ClientByName(ctx, from(ctx).actor, in.Name)
	if found, err := absent(found, err); found == nil {
		return nil, err
	}
	return []*registryClient{found}, nil
}

func (s *service) createClient(ctx context.Context, in *clientBody) (*single[wire.Client], error) {
	c := from(ctx)
	client, err := s.clientOf(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	made, err := c.registry.CreateClient(ctx, c.actor, client)
	if err != nil {
		return nil, err
	}
	return s.oneClient(ctx, &registryClient{Client: *made}, http.StatusCreated)
}

func (s *service) getClient(ctx context.Context, in *clientInput) (*single[wire.Client], error) {
	found, err := s.Registry.Client(ctx, from(ctx).actor, in.Client)
	if err != nil {
		return nil, err
	}
	return s.oneClient(ctx, found, http.StatusOK)
}

func (s *service) putClient(ctx context.Context, in *clientPut) (*single[wire.Client], error) {
	c := from(ctx)
	client, err := s.clientOf(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	client.ID = in.Client
	stored, created, err := s.Registry.PutClient(ctx, c.actor, client, c.match)
	if err != nil {
		return nil, err
	}
	return s.oneClient(ctx, &registryClient{Client: *stored}, statusOf(created))
}

func (s *service) patchClient(ctx context.Context, in *clientPatch) (*single[wire.ChangedClient], error) {
	c := from(ctx)
	edit, err := s.clientEdit(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	changed, err := s.Registry.UpdateClient(ctx, c.actor, in.Client, edit)
	if err != nil {
		return nil, err
	}
	detail := &registryClient{Client: changed.Client}
	show, err := s.showClients(ctx, detail)
	if err != nil {
		return nil, err
	}
	return one(wire.ChangedClient{Client: show(detail), Hit: hitOf(changed.Revoked)}, changed.Revision, http.StatusOK), nil
}

// clientEdit finds what a patch names, and returns what it does to a client.
func (s *service) clientEdit(ctx context.Context, patch *wire.ClientPatch) (edit registry.ClientEdit, err error) {
	c := from(ctx)
	var resource auth.APIID
	if patch.DefaultResource != nil {
		if resource, err = s.Registry.Resource(ctx, *patch.DefaultResource); err != nil {
			return edit, err
		}
	}
	var issuers map[string]auth.TrustedIssuerID
	if patch.Federation != nil {
		if issuers, err = s.issuersOf(ctx, *patch.Federation); err != nil {
			return edit, err
		}
	}
	return registry.ClientEdit{Match: c.match, RevokeTokens: patch.RevokeTokens, Change: func(stored *auth.Client) error {
		body, err := merged(bodyOfClient(stored), c.body)
		if err != nil {
			return err
		}
		rules := stored.Proofs.Federation
		if err := setClient(stored, &body, issuers); err != nil {
			return err
		}
		if !names(c.body, "federation") {
			stored.Proofs.Federation = rules
		}
		if names(c.body, "default_resource") {
			stored.DefaultResource = resource
		}
		return nil
	}}, nil
}

func (s *service) deleteClient(ctx context.Context, in *clientInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := s.Registry.DeleteClient(ctx, c.actor, in.Client, c.match)
	return answered(hitOf(hit), err)
}

func (s *service) disableClient(ctx context.Context, in *clientInput) (*answer[wire.StatusChange], error) {
	return s.turnClient(ctx, in.Client, auth.Disabled)
}

func (s *service) enableClient(ctx context.Context, in *clientInput) (*answer[wire.StatusChange], error) {
	return s.turnClient(ctx, in.Client, auth.Active)
}

func (s *service) turnClient(ctx context.Context, id auth.ClientID, status auth.Status) (*answer[wire.StatusChange], error) {
	c := from(ctx)
	change, err := c.registry.SetClientStatus(ctx, c.actor, id, status)
	if err != nil {
		return nil, err
	}
	shown, err := s.showClients(ctx, &registryClient{Client: change.Client})
	if err != nil {
		return nil, err
	}
	return answered(wire.StatusChange{Client: shown(&registryClient{Client: change.Client}), Hit: hitOf(change.Revoked)}, nil)
}
