package lb

import "github.com/countersign/countersign/internal/statuspage"

// StatusSection shows pools on a status page, a row for each upstream.
func StatusSection(pools []PoolStatus) statuspage.Section {
	s := statuspage.Section{Key: "upstreams", Title: "Upstreams", Empty: "none", Columns: []statuspage.Column{
		{Key: "pool", Label: "Pool"},
		{Key: "policy", Label: "Policy"},
		{Key: "upstream", Label: "Upstream"},
		{Key: "state", Label: "State"},
		{Key: "since", Label: "Since"},
		{Key: "weight", Label: "Weight"},
		{Key: "in_flight", Label: "In flight"},
		{Key: "last_error", Label: "Last error"},
		{Key: "last_error_at", Label: "When"},
	}}
	for _, p := range pools {
		for _, u := range p.Upstreams {
			s.Rows = append(s.Rows, []any{p.Name, p.Policy, u.Address, u.state(p.Retired), u.Since, u.Weight, u.InFlight, u.LastError, u.LastErrorAt})
		}
		if len(p.Upstreams) == 0 {
			none := statuspage.State{Text: "no upstreams", Mood: statuspage.Bad}
			s.Rows = append(s.Rows, []any{p.Name, p.Policy, "", none, p.LookedUpAt, 0, 0, p.LookUpError, p.LookedUpAt})
		}
	}
	return s
}

// state says in a word how the upstream is. retired is whether its pool is.
func (s Status) state(retired bool) statuspage.State {
	switch {
	case retired:
		return statuspage.State{Text: "retired", Mood: statuspage.Dull}
	case !s.Healthy:
		return statuspage.State{Text: "down", Mood: statuspage.Bad}
	case s.Breaker == breakerOpen:
		return statuspage.State{Text: "breaker open", Mood: statuspage.Warn}
	case s.Ejected:
		return statuspage.State{Text: "ejected", Mood: statuspage.Warn}
	case s.Drained:
		return statuspage.State{Text: "drained", Mood: statuspage.Dull}
	case s.Leaving:
		return statuspage.State{Text: "leaving", Mood: statuspage.Dull}
	}
	return statuspage.State{Text: "up", Mood: statuspage.Good}
}
