package gateway

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/statuspage"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk"
)

// status describes the gateway for the status page.
func (p *process) status(context.Context) statuspage.Page {
	page := statuspage.Page{Title: "Countersign gateway"}
	g := p.current.Load()
	if g == nil {
		return page
	}
	page.Sections = []statuspage.Section{
		p.aboutProcess(g), aboutRoutes(g.gateway.routes), aboutIssuers(g.gateway.cfg.Verifiers), lb.StatusSection(p.pools.Status()),
		listeners.StatusSection(p.set.Status()),
	}
	return page
}

func (p *process) aboutProcess(g *generation) statuspage.Section {
	state := statuspage.State{Text: "serving", Mood: statuspage.Good}
	if p.draining.Load() {
		state = statuspage.State{Text: "draining", Mood: statuspage.Warn}
	}
	facts := []statuspage.Fact{
		{Key: "state", Label: "State", Value: state},
		{Key: "version", Label: "Version", Value: p.cfg.Version},
		{Key: "config", Label: "Configuration", Value: p.cfg.Path},
		{Key: "loaded", Label: "In force since", Value: g.loaded},
	}
	if refused := p.refused.Load(); refused != nil {
		facts = append(facts,
			statuspage.Fact{Key: "refused", Label: "A newer one is refused", Value: statuspage.State{Text: refused.why, Mood: statuspage.Bad}},
			statuspage.Fact{Key: "refused_at", Label: "Refused", Value: refused.at})
	}
	return statuspage.Section{Key: "process", Title: "This process", Facts: facts}
}

func aboutRoutes(routes []*route) statuspage.Section {
	s := statuspage.Section{Key: "routes", Title: "Routes", Empty: "none", Columns: []statuspage.Column{
		{Key: "name", Label: "Route"},
		{Key: "matches", Label: "Matches"},
		{Key: "authentication", Label: "Authentication"},
		{Key: "audience", Label: "Audience"},
		{Key: "scopes", Label: "Scopes"},
		{Key: "mode", Label: "Mode"},
		{Key: "pool", Label: "Pool"},
		{Key: "limit", Label: "Limit"},
	}}
	for _, r := range routes {
		mode, limit := "", ""
		if r.verifier != nil {
			mode = r.policy.Mode.String()
		}
		if r.limit != nil {
			limit = limitText(*r.limit) + " by " + r.limitBy
		}
		s.Rows = append(s.Rows, []any{r.name, r.pattern(), r.authentication(), r.audience, scopesText(r.policy), mode, r.pool, limit})
	}
	return s
}

func scopesText(p sdk.Policy) string {
	text := strings.Join(p.AllOf, " ")
	if len(p.AnyOf) > 0 {
		text = strings.TrimSpace(text + " (" + strings.Join(p.AnyOf, " or ") + ")")
	}
	return text
}

func aboutIssuers(verifiers map[string]*sdk.Verifier) statuspage.Section {
	s := statuspage.Section{Key: "issuers", Title: "Issuers", Empty: "none", Columns: []statuspage.Column{
		{Key: "name", Label: "Issuer"},
		{Key: "url", Label: "URL"},
		{Key: "feed", Label: "Revocations"},
		{Key: "age", Label: "Age"},
		{Key: "lease", Label: "Lease left"},
		{Key: "keys", Label: "Keys"},
		{Key: "tokens", Label: "Tokens remembered"},
		{Key: "last_error", Label: "Last error"},
	}}
	for _, name := range slices.Sorted(maps.Keys(verifiers)) {
		v := verifiers[name].Describe()
		feed := statuspage.State{Text: v.Revocations.Feed, Mood: statuspage.Good}
		switch {
		case v.Revocations.Feed == "none":
			feed.Mood = statuspage.Dull
		case !v.Revocations.Good:
			feed.Mood = statuspage.Bad
		case v.Revocations.LeaseLeft == 0:
			feed.Mood = statuspage.Warn
		}
		trouble := v.Revocations.LastError
		if trouble == "" {
			trouble = v.Keys.LastError
		}
		s.Rows = append(s.Rows, []any{
			name, v.Issuer, feed, v.Revocations.Age.Round(time.Millisecond), v.Revocations.LeaseLeft.Round(time.Millisecond), len(v.Keys.Keys), v.Tokens.Remembered, trouble,
		})
	}
	return s
}
