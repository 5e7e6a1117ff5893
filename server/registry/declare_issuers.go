package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// plannedIssuer is a trusted issuer that is there, or shall be.
type plannedIssuer struct {
	at            pointer
	declared      *DeclaredIssuer // nil: it is not
	before, after *auth.TrustedIssuer
}

// resolveIssuers finds the trusted issuers that are declared among those that are there.
func (p *planner) resolveIssuers() {
	for name, i := range p.was.issuers {
		after := *i
		p.issuers[name] = &plannedIssuer{before: i, after: &after}
		if p.prune {
			p.issuers[name].after = nil
		}
	}
	ids, identifiers := map[auth.TrustedIssuerID]bool{}, map[string]bool{}
	for n := range p.doc.Issuers {
		d, at := &p.doc.Issuers[n], pointer("/trusted_issuers").index(n)
		found := p.issuers[d.Name]
		var want auth.TrustedIssuer
		switch {
		case found != nil && found.declared != nil:
			p.wrong.add(at.at("name"), "the trusted issuer is declared twice")
			continue
		case found == nil:
			found = &plannedIssuer{}
			p.issuers[d.Name] = found
			want = d.issuer(auth.TrustedIssuer{ID: p.newIssuerID(d, at, ids), Created: p.now})
		default:
			want = d.issuer(*found.before)
			if want.Kind != found.before.Kind || want.Issuer != found.before.Issuer {
				p.wrong.add(at.at("issuer"), "kind and identifier of an issuer cannot be changed: clients have rules for it; declare another one")
			}
		}
		if identifiers[want.Issuer] {
			p.wrong.add(at.at("issuer"), "another trusted issuer has this identifier")
		}
		identifiers[want.Issuer] = true
		want.Updated = p.now
		if wrong := fault.From(checkIssuer(&want)); wrong != nil {
			p.wrong.add(at.at(strings.Replace(wrong.Field, "max_lifetime", "max_lifetime_seconds", 1)), wrong.Detail)
		}
		found.at, found.declared, found.after = at, d, &want
		p.declaredIssuers = append(p.declaredIssuers, found)
	}
	for _, i := range p.issuers {
		if i.after != nil {
			p.issuerByID[i.after.ID] = i.after
		}
	}
}

func (p *planner) newIssuerID(d *DeclaredIssuer, at pointer, ids map[auth.TrustedIssuerID]bool) auth.TrustedIssuerID {
	if d.ID == "" {
		return auth.NewTrustedIssuerID(p.now)
	}
	id, err := auth.ParseTrustedIssuerID(d.ID)
	switch taken := p.was.issuerByID[id]; {
	case err != nil || id == auth.TrustedIssuerID{}:
		p.wrong.add(at.at("trusted_issuer_id"), "an id of this kind is iss_ and 22 letters and digits")
	case taken != nil:
		p.wrong.add(at.at("trusted_issuer_id"), "belongs to the trusted issuer "+taken.Name+"; to rename it, update it by its id first")
	case ids[id]:
		p.wrong.add(at.at("trusted_issuer_id"), "is declared twice")
	}
	ids[id] = true
	return id
}

// resolveRules returns the rules of a declared client, by the ids of their issuers.
func (p *planner) resolveRules(at pointer, d *DeclaredClient) (rules []auth.FederationRule) {
	for n, rule := range d.Rules {
		where := at.at("federation").index(n)
		switch i := p.issuers[rule.Issuer]; {
		case i == nil:
			p.wrong.add(where.at("issuer"), "there is no trusted issuer of this name, and the document declares none")
		case i.after == nil:
			p.wrong.add(where.at("issuer"), "the document does not declare this trusted issuer, so that it would be removed")
		default:
			made := auth.FederationRule{Issuer: i.after.ID, Claims: rule.Claims}
			rules = append(rules, made)
			if wrong := fault.From(fits(i.after, d.AuthMethod, &made)); wrong != nil && !d.AuthMethod.BySecret() {
				p.wrong.add(where, wrong.Detail)
			}
		}
	}
	return rules
}

// checkAddresses looks at the addresses of keys that the document brings in. It may ask a resolver.
func (p *planner) checkAddresses(ctx context.Context, check func(ctx context.Context, rawURL, field string) error) error {
	type place struct {
		address string
		at      pointer
	}
	var all []place
	for _, i := range p.declaredIssuers {
		address, member := source(i.after)
		if before, _ := sourceOf(i.before); address != before {
			all = append(all, place{address, i.at.at(member)})
		}
	}
	for _, c := range p.declaredClients {
		if uri := c.after.Proofs.JWKSURI; uri != "" && (c.before == nil || c.before.Proofs.JWKSURI != uri) {
			all = append(all, place{uri, c.at.at(jwksURI)})
		}
	}
	const atOnce = 16
	wrong := make([]error, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for n, one := range all {
		group.Go(func() error {
			if wrong[n] = check(ctx, one.address, ""); errors.Is(wrong[n], fault.InvalidRequest) {
				return nil
			}
			return wrong[n]
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n, one := range all {
		if wrong[n] != nil {
			p.wrong.add(one.at, fault.From(wrong[n]).Detail)
		}
	}
	return nil
}

func sourceOf(i *auth.TrustedIssuer) (address, member string) {
	if i == nil {
		return "", ""
	}
	return source(i)
}

func (p *planner) stepIssuer(i *plannedIssuer) {
	s := Step{Verb: Add, Kind: KindIssuer, Name: i.after.Name, Fields: differ(issuerFields(i.before), issuerFields(i.after))}
	if i.before == nil {
		p.step(s, func(ctx context.Context, do *applying) error {
			made := *i.after
			return do.addIssuer(ctx, do.tx, do.actor, &made)
		})
		return
	}
	if len(s.Fields) == 0 {
		return
	}
	s.Verb, s.Target, s.Revision = Modify, i.before.ID.String(), i.before.Revision
	p.step(s, func(ctx context.Context, do *applying) error { return do.editDeclaredIssuer(ctx, i.after) })
}

func (a *applying) editDeclaredIssuer(ctx context.Context, want *auth.TrustedIssuer) error {
	stored, err := a.tx.Issuers().TrustedIssuer(ctx, want.ID)
	if err != nil {
		return err
	}
	_, err = a.changeIssuer(ctx, a.tx, a.actor, issuerEditing{stored: stored, IssuerEdit: IssuerEdit{Change: func(to *auth.TrustedIssuer) error {
		to.Trust = want.Trust
		return nil
	}}})
	return err
}

// stepIssuerRemovals comes after the clients that go.
func (p *planner) stepIssuerRemovals() {
	for _, name := range slices.Sorted(maps.Keys(p.issuers)) {
		if i := p.issuers[name]; i.after == nil {
			s := Step{Verb: Remove, Kind: KindIssuer, Name: name, Target: i.before.ID.String(), Revision: i.before.Revision}
			p.step(s, func(ctx context.Context, do *applying) error {
				return do.removeIssuer(ctx, do.tx, do.actor, i.before.ID, removal{})
			})
		}
	}
}

// issuerFields are the members of a trusted issuer, as After.
func issuerFields(i *auth.TrustedIssuer) []FieldChange {
	if i == nil {
		return nil
	}
	return []FieldChange{
		{Name: "issuer", After: i.Issuer},
		{Name: "kind", After: string(i.Kind)},
		{Name: "jwks", After: keySetText(i.JWKS)},
		{Name: jwksURI, After: i.JWKSURI},
		{Name: "audience", After: i.Audience},
		{Name: "algorithms", After: strings.Join(i.Algorithms, " ")},
		{Name: "max_lifetime_seconds", After: strconv.FormatInt(int64(i.MaxLifetime.Seconds()), 10)},
		{Name: "replay", After: string(i.Replay)},
		{Name: "status", After: string(i.Status)},
	}
}

// keySetText tells a key set by the thumbprints of its keys, and by a hash of all of it.
func keySetText(set []byte) string {
	if len(set) == 0 {
		return ""
	}
	const enough = 4
	sum := sha256.Sum256(set)
	return strings.Join(append(Thumbprints(set), "(sha256 "+hex.EncodeToString(sum[:enough])+"…)"), " ")
}

// proofFields are what a client authenticates by, as After.
func (p *planner) proofFields(c *auth.Client) []FieldChange {
	rules := make([]string, len(c.Proofs.Federation))
	for n, rule := range c.Proofs.Federation {
		rules[n] = rule.Issuer.String()
		if i := cmp.Or(p.issuerByID[rule.Issuer], p.was.issuerByID[rule.Issuer]); i != nil {
			rules[n] = i.Name
		}
		for _, claim := range rule.Claims {
			text := strings.Join(claim.Path, "/") + "=" + quoted(claim.Equals)
			if claim.Prefix != "" {
				text += quoted(claim.Prefix) + "…"
			}
			rules[n] += " " + text
		}
	}
	fields := []FieldChange{
		{Name: "jwks", After: keySetText(c.Proofs.JWKS)},
		{Name: jwksURI, After: c.Proofs.JWKSURI},
		{Name: "token_endpoint_auth_signing_alg", After: string(c.Proofs.SigningAlg)},
	}
	for _, field := range []auth.CertificateField{auth.SubjectDN, auth.SANDNS, auth.SANURI, auth.SANIP, auth.SANEmail} {
		f := FieldChange{Name: "tls_client_auth_" + string(field)}
		if c.Proofs.Certificate != nil && c.Proofs.Certificate.Field == field {
			f.After = c.Proofs.Certificate.Value
		}
		fields = append(fields, f)
	}
	return append(fields,
		FieldChange{Name: "federation", After: strings.Join(rules, ", ")},
		FieldChange{Name: "dpop_bound_access_tokens", After: ifTrue(c.Proofs.DPoPBound)},
		FieldChange{Name: "tls_client_certificate_bound_access_tokens", After: ifTrue(c.Proofs.CertificateBound)},
	)
}

func ifTrue(b bool) string {
	if b {
		return "true"
	}
	return ""
}
