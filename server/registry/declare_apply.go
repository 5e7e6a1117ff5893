package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// ApplyOptions say how a document is applied.
type ApplyOptions struct {
	Prune bool // remove what the document does not name
	// Digest is that of the plan which was looked at: any other is not carried out. Empty: whatever the plan is.
	Digest string
}

// Applied is what applying a document came to.
type Applied struct {
	Plan
	Secrets []AppliedSecret // that were made
}

// AppliedSecret is a secret that was made because a document asked for it.
type AppliedSecret struct {
	Client auth.ClientID
	Name   string // of the client
	Secret auth.SecretID
	Value  auth.SecretValue `json:"-"` // cannot be had again; zero: it cannot be had any more
}

func (a *Applied) reveal() []string {
	values := make([]string, len(a.Secrets))
	for i, s := range a.Secrets {
		values[i] = s.Value.Reveal()
	}
	return values
}

func (a *Applied) restore(secrets []string) {
	for i := range a.Secrets {
		a.Secrets[i].Value = auth.SecretValue{}
		if i < len(secrets) {
			a.Secrets[i].Value = auth.PresentedSecret(secrets[i])
		}
	}
}

// applyAttempts bounds how often a plan is made that others overtake.
const applyAttempts = 3

// Apply makes true what the document declares, all of it or nothing, in one transaction; if it is true already, it writes nothing. It goes
// by the same functions as the single operations, so that it needs what they need, refuses what they refuse, and records what they
// record. A plan that others overtake is made anew; fault.PreconditionFailed says that it is no longer the one with the digest.
func (r *Registry) Apply(ctx context.Context, actor auth.Actor, doc *Document, o ApplyOptions) (*Applied, error) {
	values := newValues(r)
	for range applyAttempts {
		done, err := r.applyOnce(ctx, actor, doc, o, values)
		if err == nil {
			return done, nil
		}
		if !errors.Is(err, errOutdated) {
			return nil, err
		}
	}
	if o.Digest != "" {
		return nil, errOtherPlan()
	}
	return nil, fault.New(fault.Conflict, "others go on changing what the document declares; try again")
}

func errOtherPlan() error {
	return fault.New(fault.PreconditionFailed, "what would be changed is no longer what it was when the plan was shown; look at it anew").At("digest")
}

func (r *Registry) applyOnce(ctx context.Context, actor auth.Actor, doc *Document, o ApplyOptions, values *values) (*Applied, error) {
	plan, refused := r.plan(ctx, actor, doc, o.Prune, values)
	if refused == nil {
		refused = plan.ready(actor, o, values)
	}
	if refused != nil && r.repeat == nil {
		return nil, refused
	}
	if refused == nil && r.repeat == nil && len(plan.Steps) == 0 {
		return &Applied{Plan: *plan}, nil
	}
	done, err := update(ctx, r, func(tx auth.Tx) (Applied, error) { // which looks first for the answer to an equal call
		if refused != nil {
			return Applied{}, refused
		}
		a := applying{Registry: r, actor: actor, values: values}
		err := a.carryOut(ctx, tx, plan)
		return Applied{Plan: *plan, Secrets: a.made}, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// ready checks what can be checked before the transaction, and does what is slow.
func (p *Plan) ready(actor auth.Actor, o ApplyOptions, values *values) error {
	if o.Digest != "" && o.Digest != p.Digest {
		return errOtherPlan()
	}
	for _, s := range p.Steps {
		var err error
		switch s.Kind {
		case KindAPI, KindServer:
			err = need(actor, auth.ScopeAPIsWrite)
		case KindClient:
			err = need(actor, auth.ScopeClientsWrite)
		case KindIssuer:
			err = need(actor, auth.ScopeIssuersWrite)
		case KindGrant, KindExchange:
			err = need(actor, auth.ScopeGrantsWrite)
		case KindSecret: // below
		}
		if err != nil {
			return err
		}
	}
	for _, s := range p.secrets {
		if err := needSecrets(actor, s.client.after.ID); err != nil {
			return err
		}
	}
	for _, id := range p.credentials {
		if err := needSecrets(actor, id); err != nil {
			return err
		}
	}
	return values.hash(p)
}

// count returns how many steps have the verb.
func (p *Plan) count(v Verb) (n int) {
	for _, s := range p.Steps {
		if s.Verb == v {
			n++
		}
	}
	return n
}

// applying is a plan that is being carried out.
type applying struct {
	*Registry
	tx     *overlay
	actor  auth.Actor
	values *values
	made   []AppliedSecret
}

func (a *applying) carryOut(ctx context.Context, tx auth.Tx, plan *Plan) (err error) {
	if len(plan.Steps) == 0 {
		return nil
	}
	if err := stillActive(ctx, tx, a.actor); err != nil {
		return err
	}
	if a.tx, err = plan.over(ctx, tx); err != nil {
		return err
	}
	err = a.keeping(ctx, a.tx, a.actor, func() error {
		for _, do := range plan.work {
			if err := do(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fault.Conflict) && len(a.tx.others) > 0 {
		return fmt.Errorf("%w: %w", errOutdated, err)
	}
	if err != nil {
		return err
	}
	rec := record{a.actor, "config.apply", "config", nil, map[string]any{
		"digest": plan.Digest, "added": plan.count(Add), "changed": plan.count(Modify), "removed": plan.count(Remove),
	}}
	if err := a.note(ctx, a.tx, rec); err != nil {
		return err
	}
	return a.tx.flush(ctx)
}
