package registry

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign/countersign/server/auth"
)

// differ returns what differs between two lists of members, of which either may be nil.
func differ(before, after []FieldChange) (changed []FieldChange) {
	for i := range max(len(before), len(after)) {
		var f FieldChange
		if before != nil {
			f.Name, f.Before = before[i].Name, before[i].After
		}
		if after != nil {
			f.Name, f.After = after[i].Name, after[i].After
		}
		if f.Before != f.After {
			changed = append(changed, f)
		}
	}
	return changed
}

// apiFields are the members of an API, as After.
func apiFields(a *auth.API) []FieldChange {
	if a == nil {
		return nil
	}
	scopes := make([]string, len(a.Scopes))
	for i, s := range a.Scopes {
		if scopes[i] = s.Name; s.Description != "" {
			scopes[i] += " " + strconv.Quote(s.Description)
		}
	}
	return []FieldChange{
		{Name: "name", After: a.Name},
		{Name: "scopes", After: strings.Join(scopes, ", ")},
		{Name: "token_format", After: string(a.Format)},
		{Name: "token_lifetime_seconds", After: strconv.FormatInt(int64(a.Lifetime.Seconds()), 10)},
		{Name: "signing_algorithm", After: string(a.Algorithm)},
		{Name: "sender_constraint", After: string(a.Constraint)},
	}
}

// clientFields are the members of a client, as After.
func (p *planner) clientFields(c *auth.Client) []FieldChange {
	if c == nil {
		return nil
	}
	labels := make([]string, 0, len(c.Labels))
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, quoted(key)+"="+quoted(c.Labels[key]))
	}
	fields := []FieldChange{
		{Name: "description", After: c.Description},
		{Name: "owner", After: c.Owner},
		{Name: "labels", After: strings.Join(labels, ", ")},
		{Name: "status", After: string(c.Status)},
		{Name: "token_endpoint_auth_method", After: string(c.AuthMethod)},
		{Name: "default_resource", After: p.identifiers[c.DefaultResource]},
	}
	return append(fields, p.proofFields(c)...)
}

func (p *planner) grantFields(g *auth.Grant) []FieldChange {
	if g == nil {
		return nil
	}
	return []FieldChange{{Name: "scopes", After: g.Scopes.String()}, {Name: "may_act", After: p.names[g.MayAct]}}
}

// quoted quotes what could be taken for more than one label.
func quoted(text string) string {
	if strings.ContainsAny(text, "\"=,\n\t") {
		return strconv.Quote(text)
	}
	return text
}
