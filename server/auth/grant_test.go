package auth_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// A grant holds at least one scope, all of them its API's; the first that is not is named.
func TestGrantValidate(t *testing.T) {
	api := &auth.API{Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}}}
	for _, tt := range []struct {
		name   string
		scopes []string
		err    error
		detail string
	}{
		{name: "one", scopes: []string{"read"}},
		{name: "all", scopes: []string{"read", "write"}},
		{name: "none", err: fault.InvalidRequest, detail: "a grant needs at least one scope; to allow nothing, delete it"},
		{name: "one too many", scopes: []string{"raed", "read"}, err: fault.InvalidScope, detail: "the API does not offer the scope raed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (&auth.Grant{Scopes: auth.NewScopes(tt.scopes...)}).Validate(api)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil && fault.From(err).Detail != tt.detail {
				t.Errorf("says %q, want %q", fault.From(err).Detail, tt.detail)
			}
		})
	}
}
