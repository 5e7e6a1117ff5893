package assertion

import (
	"github.com/countersign/countersign/sdk/strictjson"
	"github.com/countersign/countersign/server/auth"
)

// matches tells whether claims, which were read strictly before, are those of a workload that the rule names: all of its claims have to be
// there, as strings.
func matches(payload []byte, rule *auth.FederationRule) bool {
	for i := range rule.Claims {
		value, ok := claimAt(payload, rule.Claims[i].Path)
		if !ok || !rule.Claims[i].Matches(value) {
			return false
		}
	}
	return len(rule.Claims) > 0
}

// claimAt returns the string that lies at path, each name but the last that of an object.
func claimAt(payload []byte, path []string) (text string, found bool) {
	if len(path) == 0 {
		return "", false
	}
	var step func(rest []string) func(string, strictjson.Value) error
	step = func(rest []string) func(string, strictjson.Value) error {
		return func(name string, value strictjson.Value) (err error) {
			switch {
			case name != rest[0]:
			case len(rest) == 1 && value.Kind() == strictjson.String:
				text, err = value.String()
				found = err == nil
			case len(rest) > 1 && value.Kind() == strictjson.Map:
				return value.Object(step(rest[1:]))
			}
			return err
		}
	}
	if strictjson.Object(payload, step(path)) != nil {
		return "", false
	}
	return text, found
}
