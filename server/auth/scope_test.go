package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func TestParseScopes(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want auth.Scopes
		bad  bool
	}{
		{name: "empty"},
		{name: "one", text: "read", want: auth.Scopes{"read"}},
		{name: "order and repetition carry no meaning", text: "write read write", want: auth.Scopes{"read", "write"}},
		{name: "several spaces", text: " read  write ", want: auth.Scopes{"read", "write"}},
		{name: "the edges of the grammar", text: "! #[ ]~", want: auth.Scopes{"!", "#[", "]~"}},
		{name: "quote", text: `re"ad`, bad: true},
		{name: "backslash", text: `re\ad`, bad: true},
		{name: "tab", text: "read\twrite", bad: true},
		{name: "newline", text: "read\nwrite", bad: true},
		{name: "NUL", text: "read\x00", bad: true},
		{name: "delete", text: "read\x7f", bad: true},
		{name: "not ASCII", text: "lesen-ü", bad: true},
		{name: "too long", text: strings.Repeat("a", auth.MaxScopeLength+1), bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := auth.ParseScopes(tt.text)
			if tt.bad != errors.Is(err, fault.InvalidScope) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); !tt.bad && diff != "" && len(got)+len(tt.want) > 0 {
				t.Error(diff)
			}
		})
	}
}

func TestScopeSets(t *testing.T) {
	set := auth.NewScopes("write", "read", "read")
	if set.String() != "read write" || !set.Has("read") || set.Has("rea") || !set.Contains(auth.NewScopes("write")) || set.Contains(auth.NewScopes("read", "admin")) || !set.Contains(nil) {
		t.Errorf("set %v answers wrongly", set)
	}
}

func TestValidate(t *testing.T) {
	client := auth.Client{Name: "orders", Status: auth.Active, AuthMethod: auth.SecretBasic}
	api := auth.API{Identifier: "https://stock.example", Name: "stock", Format: auth.JWT, Lifetime: auth.DefaultLifetime, Algorithm: auth.ES256, Scopes: []auth.ScopeDefinition{{Name: "read"}}}
	if err := errors.Join(client.Validate(), api.Validate()); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*auth.Client){
		"name":                       func(c *auth.Client) { c.Name = "" },
		"description":                func(c *auth.Client) { c.Description = "\x1b[31m" },
		"owner":                      func(c *auth.Client) { c.Owner = strings.Repeat("x", 201) },
		"labels":                     func(c *auth.Client) { c.Labels = map[string]string{"": "x"} },
		"status":                     func(c *auth.Client) { c.Status = "asleep" },
		"token_endpoint_auth_method": func(c *auth.Client) { c.AuthMethod = "none" },
	} {
		c := client
		change(&c)
		checkField(t, field, c.Validate())
	}
	for name, tt := range map[string]struct {
		field  string
		change func(*auth.API)
	}{
		"relative":       {"identifier", func(a *auth.API) { a.Identifier = "/stock" }},
		"fragment":       {"identifier", func(a *auth.API) { a.Identifier = "https://stock.example/#a" }},
		"empty fragment": {"identifier", func(a *auth.API) { a.Identifier = "https://stock.example/#" }},
		"quote":          {"identifier", func(a *auth.API) { a.Identifier = `https://stock.example/"` }},
		"no host":        {"identifier", func(a *auth.API) { a.Identifier = "https:///x" }},
		"too long":       {"identifier", func(a *auth.API) { a.Identifier = "https://" + strings.Repeat("x", 500) }},
		"name":           {"name", func(a *auth.API) { a.Name = "" }},
		"scope":          {"scopes", func(a *auth.API) { a.Scopes = []auth.ScopeDefinition{{Name: "a b"}} }},
		"scope twice":    {"scopes", func(a *auth.API) { a.Scopes = []auth.ScopeDefinition{{Name: "a"}, {Name: "a"}} }},
		"format":         {"token_format", func(a *auth.API) { a.Format = "paseto" }},
		"short":          {"token_lifetime", func(a *auth.API) { a.Lifetime = auth.MinLifetime - 1 }},
		"long":           {"token_lifetime", func(a *auth.API) { a.Lifetime = auth.MaxLifetime + 1 }},
		"algorithm":      {"signing_algorithm", func(a *auth.API) { a.Algorithm = "none" }},
	} {
		a := api
		tt.change(&a)
		t.Run(name, func(t *testing.T) { checkField(t, tt.field, a.Validate()) })
	}
}

// What people tell things apart by is one line that they can see whole.
func TestNamesAreOneLine(t *testing.T) {
	client := auth.Client{Status: auth.Active, AuthMethod: auth.SecretBasic}
	for name, allowed := range map[string]bool{
		"orders": true, "Aufträge (2)": true, "注文": true, "a b": true,
		"orders\nadmin": false, "a\tb": false, "\u009b31mred": false, "\u202enimda": false, "admin\u200b": false, "\ufeffx": false, "a\u00a0b": false,
		"a\u2028b": false, " admin": false, "admin ": false, "  ": false, "\xff": false,
	} {
		c := client
		c.Name = name
		if err := c.Validate(); allowed != (err == nil) {
			t.Errorf("name %q: %v", name, err)
		}
		c.Name, c.Owner = "x", name
		if err := c.Validate(); allowed != (err == nil) {
			t.Errorf("owner %q: %v", name, err)
		}
		c.Owner, c.Labels = "", map[string]string{name: name}
		if err := c.Validate(); allowed != (err == nil) {
			t.Errorf("label %q: %v", name, err)
		}
	}
	client.Name, client.Description = "x", "two\n\tlines"
	if err := client.Validate(); err != nil {
		t.Error(err)
	}
	client.Description = "\u009b31mred"
	checkField(t, "description", client.Validate())
}

func TestBuiltIn(t *testing.T) {
	for identifier, built := range map[string]bool{
		auth.AdminAPI: true, "URN:Countersign:admin": true, "urn:COUNTERSIGN:": true, "urn:countersign": false, "urn:countersigned:admin": false,
	} {
		if a := (&auth.API{Identifier: identifier}); a.BuiltIn() != built {
			t.Errorf("%s: %v", identifier, !built)
		}
	}
}

func checkField(t *testing.T, field string, err error) {
	t.Helper()
	var found *fault.Error
	if !errors.As(err, &found) || found.Code != fault.InvalidRequest || found.Field != field || found.Detail == "" {
		t.Errorf("field %s: %v", field, err)
	}
}
