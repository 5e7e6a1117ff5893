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

type applyInput struct {
	Body wire.ApplyBody
}

const (
	schemaPath  = "/config.schema.json" // of the YAML that the command line reads; for editors, without a token
	maxDocument = 8 << 20               // bytes
	applyTime   = 5 * time.Minute
)

// declarations adds the operations on the configuration as a whole.
func (s *service) declarations() {
	all := needs(auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead)
	add(s, operation{
		id: "exportConfiguration", method: http.MethodGet, path: "/export", tag: tagDeclared, scopes: needs(append(all[0], auth.ScopeIssuersRead)...), summary: "Export the configuration",
		about: "All APIs, trusted issuers, clients and grants, without secrets and without Countersign's own APIs. Applied to this system it changes nothing.",
	}, s.exportConfiguration)
	add(s, operation{
		id: "applyConfiguration", method: http.MethodPost, path: "/apply", tag: tagDeclared, scopes: all, summary: "Apply a configuration",
		about: "Makes true what the document declares, all of it or nothing. With `dry_run` the answer is the plan. Besides the scopes for reading, it " +
			"needs those of every single change it comes to, and `issuers:read` if it tells of trusted issuers, or may remove some. With the `digest` of a plan nothing else than that plan is carried out.",
		body: true, sent: exampleDocument(), maxBody: maxDocument, patience: applyTime, faults: codes{fault.PreconditionFailed},
	}, s.applyConfiguration)
}

func (s *service) exportConfiguration(ctx context.Context, _ *struct{}) (*answer[wire.Document], error) {
	c := from(ctx)
	document, err := c.registry.Export(ctx, c.actor)
	if err != nil {
		return nil, err
	}
	return answered(showDocument(document), nil)
}

func (s *service) applyConfiguration(ctx context.Context, in *applyInput) (*answer[wire.Plan], error) {
	c, asked := from(ctx), &in.Body
	document, err := documentOf(&asked.Document)
	if err != nil {
		return nil, err
	}
	if asked.DryRun {
		plan, err := c.registry.Plan(ctx, c.actor, document, asked.Prune)
		if err != nil {
			return nil, err
		}
		return answered(s.showPlan(plan), nil)
	}
	done, err := c.registry.Apply(ctx, c.actor, document, registry.ApplyOptions{Prune: asked.Prune, Digest: asked.Digest})
	if err != nil {
		return nil, err
	}
	out := s.showPlan(&done.Plan)
	out.Applied = true
	for _, made := range done.Secrets {
		out.Secrets = append(out.Secrets, wire.MadeSecret{
			Client: made.Client.String(), Name: made.Name, Secret: made.Secret.String(), Value: made.Value.Reveal(),
		})
	}
	return answered(out, nil)
}

func (s *service) showPlan(p *registry.Plan) wire.Plan {
	out := wire.Plan{Digest: p.Digest, Steps: []wire.PlanStep{}, At: s.Now().UTC()}
	for _, step := range p.Steps {
		shown := wire.PlanStep{Verb: string(step.Verb), Kind: string(step.Kind), Name: step.Name}
		for _, field := range step.Fields {
			shown.Fields = append(shown.Fields, wire.PlanField(field))
		}
		out.Steps = append(out.Steps, shown)
	}
	return out
}

func exampleDocument() wire.ApplyBody {
	return wire.ApplyBody{DryRun: true, Document: wire.Document{
		Version: wire.DocumentVersion,
		APIs: []wire.APIDecl{{
			Identifier: "https://inventory.example", Name: "Inventory", Scopes: []wire.Scope{{Name: "inventory:read", Description: "see what is in stock"}},
			Servers: []string{"inventory"},
		}},
		Clients: []wire.ClientDecl{
			{Name: "inventory"},
			{Name: "orders", Grants: []wire.GrantDecl{{API: "https://inventory.example", Scopes: []string{"inventory:read"}}}},
		},
	}}
}
