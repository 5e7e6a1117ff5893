package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type issuerInput struct {
	Issuer auth.TrustedIssuerID `path:"trusted_issuer_id"`
}

type issuersInput struct {
	Paging

	Name string `query:"name" maxLength:"200" doc:"Only the one with this name."`
}

type issuerBody struct {
	Body wire.TrustedIssuerBody
}

type issuerPatch struct {
	Issuer auth.TrustedIssuerID `path:"trusted_issuer_id"`
	Body   wire.TrustedIssuerPatch
}

// issuers adds the operations on trusted issuers.
func (s *service) issuers() {
	const all, each = "/trusted-issuers", "/trusted-issuers/{trusted_issuer_id}"
	read, write := needs(auth.ScopeIssuersRead), needs(auth.ScopeIssuersWrite)
	add(s, operation{
		id: "listTrustedIssuers", method: http.MethodGet, path: all, tag: tagIssuers, scopes: read, summary: "List trusted issuers",
		about: "In the order in which they were made.",
	}, s.listIssuers)
	add(s, operation{
		id: "createTrustedIssuer", method: http.MethodPost, path: all, tag: tagIssuers, scopes: write, summary: "Trust an issuer",
		about: "Nobody is a client by its tokens yet: the rules of clients say who is.", status: http.StatusCreated, body: true,
		sent: wire.TrustedIssuerBody{Name: "github", Issuer: "https://token.actions.githubusercontent.com", Algorithms: []string{"RS256"}, MaxLifetime: 900},
	}, s.createIssuer)
	add(s, operation{
		id: "getTrustedIssuer", method: http.MethodGet, path: each, tag: tagIssuers, scopes: read, summary: "Read a trusted issuer",
		about: "The `ETag` of the answer is what a change of it needs.", faults: codes{fault.NotFound},
	}, s.getIssuer)
	add(s, operation{
		id: "patchTrustedIssuer", method: http.MethodPatch, path: each, tag: tagIssuers, scopes: write, summary: "Change a trusted issuer",
		about: "Whoever can change it can be every client that has a rule for it: the caller must hold all that those hold of Countersign's own APIs. Disabling " +
			"it takes their tokens back; with `revoke_tokens` any change does.",
		body: true, sent: map[string]any{"audience": "https://auth.example", "jwks_uri": nil}, matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.patchIssuer)
	add(s, operation{
		id: "deleteTrustedIssuer", method: http.MethodDelete, path: each, tag: tagIssuers, scopes: write, summary: "Trust an issuer no longer",
		about: "The rules for it go, and all tokens of the clients that had one are taken back. A client that has no other rule is in the way (409): disable the " +
			"issuer, or change the client first.",
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.deleteIssuer)
}

func (s *service) listIssuers(ctx context.Context, in *issuersInput) (*page[wire.TrustedIssuer], error) {
	c := from(ctx)
	at, err := in.place(c)
	if err != nil {
		return nil, err
	}
	all, err := c.registry.ListIssuers(ctx, c.actor)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		all = slices.DeleteFunc(all, func(i *auth.TrustedIssuer) bool { return i.Name != in.Name })
	}
	found := after(all, at, func(i *auth.TrustedIssuer) [16]byte { return i.ID })
	return listed(c, in.Paging, found, showIssuer, func(i *auth.TrustedIssuer) cursor { return cursor{ID: i.ID[:]} }), nil
}

func (s *service) createIssuer(ctx context.Context, in *issuerBody) (*single[wire.TrustedIssuer], error) {
	c := from(ctx)
	issuer := auth.TrustedIssuer{Issuer: in.Body.Issuer}
	issuer.Kind = auth.IssuerKind(in.Body.Kind)
	if err := setIssuer(&issuer, &in.Body); err != nil {
		return nil, err
	}
	made, err := c.registry.CreateIssuer(ctx, c.actor, issuer)
	return oneIssuer(made, http.StatusCreated, err)
}

func (s *service) getIssuer(ctx context.Context, in *issuerInput) (*single[wire.TrustedIssuer], error) {
	c := from(ctx)
	found, err := c.registry.Issuer(ctx, c.actor, in.Issuer)
	return oneIssuer(found, http.StatusOK, err)
}

func (s *service) patchIssuer(ctx context.Context, in *issuerPatch) (*single[wire.ChangedTrustedIssuer], error) {
	c := from(ctx)
	changed, err := c.registry.UpdateIssuer(ctx, c.actor, in.Issuer, registry.IssuerEdit{
		Match: c.match, RevokeTokens: in.Body.RevokeTokens, Change: func(stored *auth.TrustedIssuer) error {
			body, err := merged(bodyOfIssuer(stored), c.body)
			if err != nil {
				return err
			}
			return setIssuer(stored, &body)
		},
	})
	if err != nil {
		return nil, err
	}
	return one(wire.ChangedTrustedIssuer{TrustedIssuer: showIssuer(&changed.TrustedIssuer), Hit: hitOf(changed.Revoked)}, changed.Revision, http.StatusOK), nil
}

func (s *service) deleteIssuer(ctx context.Context, in *issuerInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := c.registry.DeleteIssuer(ctx, c.actor, in.Issuer, c.match)
	return answered(hitOf(hit), err)
}

// setIssuer sets what a body says and can be changed.
func setIssuer(i *auth.TrustedIssuer, body *wire.TrustedIssuerBody) (err error) {
	i.Name, i.JWKS, i.JWKSURI, i.Audience, i.Algorithms = body.Name, nil, body.JWKSURI, body.Audience, body.Algorithms
	i.MaxLifetime, i.Replay, i.Status = time.Duration(body.MaxLifetime)*time.Second, auth.ReplayPolicy(body.Replay), auth.Status(body.Status)
	if body.JWKS != nil {
		if i.JWKS, err = json.Marshal(body.JWKS); err != nil {
			return fmt.Errorf("encode key set: %w", err)
		}
	}
	return nil
}

func bodyOfIssuer(i *auth.TrustedIssuer) wire.TrustedIssuerBody {
	shown := showIssuer(i)
	return wire.TrustedIssuerBody{
		Name: shown.Name, Issuer: shown.Issuer, Kind: shown.Kind, TrustedIssuerKeys: shown.TrustedIssuerKeys, Audience: shown.Audience,
		Algorithms: shown.Algorithms, MaxLifetime: shown.MaxLifetime, Replay: shown.Replay, Status: shown.Status,
	}
}

func showIssuer(i *auth.TrustedIssuer) wire.TrustedIssuer {
	shown := wire.TrustedIssuer{
		ID: i.ID.String(), Name: i.Name, Issuer: i.Issuer, Kind: string(i.Kind), TrustedIssuerKeys: wire.TrustedIssuerKeys{JWKSURI: i.JWKSURI},
		Thumbprints: registry.Thumbprints(i.JWKS), Audience: i.Audience, Algorithms: append([]string{}, i.Algorithms...),
		MaxLifetime: int64(i.MaxLifetime / time.Second), Replay: string(i.Replay), Status: string(i.Status), Created: i.Created.UTC(), Updated: i.Updated.UTC(),
	}
	_ = json.Unmarshal(i.JWKS, &shown.JWKS) // it was checked when it was stored; nothing is nothing
	return shown
}

func oneIssuer(i *auth.TrustedIssuer, status int, err error) (*single[wire.TrustedIssuer], error) {
	if err != nil {
		return nil, err
	}
	return one(showIssuer(i), i.Revision, status, "trusted-issuers", i.ID.String()), nil
}
