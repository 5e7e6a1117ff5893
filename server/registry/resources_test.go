package registry_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestClientRefused(t *testing.T) {
	o := newOffice(t)
	ctx, c, other, a := t.Context(), o.client(), o.client(), o.api()
	update := func(edit func(*auth.Client)) error {
		return second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(edit)}))
	}
	before := o.position()
	for name, tt := range map[string]struct {
		err  error
		want fault.Code
		at   string
	}{
		"created under a taken name":      {second(o.CreateClient(ctx, clerk, auth.Client{Name: c.Name})), fault.Conflict, "name"},
		"created under a taken id":        {second(o.CreateClient(ctx, clerk, auth.Client{ID: c.ID, Name: "free"})), fault.Conflict, "client_id"},
		"created with a default resource": {second(o.CreateClient(ctx, clerk, auth.Client{Name: "free", DefaultResource: a.ID})), fault.InvalidRequest, "default_resource"},
		"put under a taken name":          {third(o.PutClient(ctx, clerk, auth.Client{ID: c.ID, Name: other.Name}, registry.Any)), fault.Conflict, "name"},
		"renamed to a taken name":         {update(func(c *auth.Client) { c.Name = other.Name }), fault.Conflict, "name"},
		"name taken away":                 {update(func(c *auth.Client) { c.Name = "" }), fault.InvalidRequest, "name"},
		"strange method":                  {update(func(c *auth.Client) { c.AuthMethod = "none" }), fault.InvalidRequest, "token_endpoint_auth_method"},
		"default that is not granted":     {update(func(c *auth.Client) { c.DefaultResource = a.ID }), fault.InvalidRequest, "default_resource"},
		"strange status":                  {second(o.SetClientStatus(ctx, clerk, c.ID, "asleep")), fault.InvalidRequest, "status"},
		"edit that fails": {second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: func(*auth.Client) error {
			return fault.New(fault.InvalidRequest, "no").At("labels")
		}})), fault.InvalidRequest, "labels"},
		"name of nobody": {second(o.ClientByName(ctx, clerk, "nobody")), fault.NotFound, ""},
	} {
		if found := fault.From(tt.err); found == nil || found.Code != tt.want || found.Field != tt.at {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if o.position() != before {
		t.Error("a refused change reached the change log")
	}
}

// What is replaced or edited keeps its id, its status and when it was made; what does not change is not written.
func TestClientReplaced(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	id := auth.NewClientID(time.Now())
	made, created, err := o.PutClient(ctx, clerk, auth.Client{ID: id, Name: "restored", Labels: map[string]string{"a": "b"}}, registry.Absent)
	if err != nil || !created || made.ID != id || made.Status != auth.Active || made.AuthMethod != auth.SecretBasic || made.Revision != 1 {
		t.Fatal(made, created, err)
	}
	o.must(second(o.SetClientStatus(ctx, clerk, id, auth.Disabled)))
	replaced, created, err := o.PutClient(ctx, clerk, auth.Client{ID: id, Name: "replaced", Owner: "us", Status: auth.Active}, registry.Exists)
	o.must(err)
	want := *made
	want.Name, want.Owner, want.Labels, want.Status, want.Revision, want.Updated = "replaced", "us", nil, auth.Disabled, 3, replaced.Updated
	if diff := cmp.Diff(&want, replaced); diff != "" || created {
		t.Errorf("created %t: %s", created, diff)
	}
	edited, err := o.UpdateClient(ctx, clerk, id, registry.ClientEdit{Match: 3, Change: func(c *auth.Client) error {
		*c = auth.Client{Name: c.Name, Owner: c.Owner, AuthMethod: c.AuthMethod}
		return nil
	}})
	o.must(err)
	if diff := cmp.Diff(replaced, &edited.Client); diff != "" {
		t.Error(diff)
	}
	stored, err := o.ClientByName(ctx, clerk, "replaced")
	o.must(err)
	if diff := cmp.Diff(&registry.ClientDetail{Client: *replaced}, stored); diff != "" {
		t.Error(diff)
	}
}

func TestAPIRefused(t *testing.T) {
	o := newOffice(t)
	ctx, c, a, own := t.Context(), o.client(), o.api(), o.builtIn(t.Context())
	o.grant(c, a, "read", "write")
	o.grant(o.client(), a, "write")
	update := func(id auth.APIID, edit func(*auth.API)) error {
		return second(o.UpdateAPI(ctx, clerk, id, registry.Any, rename(edit)))
	}
	before := o.position()
	for name, tt := range map[string]struct {
		err  error
		want fault.Code
		at   string
	}{
		"created under a taken identifier": {second(o.CreateAPI(ctx, clerk, auth.API{Identifier: a.Identifier, Name: "x"})), fault.Conflict, "identifier"},
		"created under a taken id":         {second(o.CreateAPI(ctx, clerk, auth.API{ID: a.ID, Identifier: "x:y", Name: "x"})), fault.Conflict, "api_id"},
		"identifier changed":               {update(a.ID, func(a *auth.API) { a.Identifier = "x:y" }), fault.InvalidRequest, "identifier"},
		"scope that is held taken away":    {update(a.ID, func(a *auth.API) { a.Scopes = a.Scopes[:1] }), fault.Conflict, "scopes"},
		"put without its scopes":           {third(o.PutAPI(ctx, clerk, auth.API{ID: a.ID, Identifier: a.Identifier, Name: "x"}, registry.Any)), fault.Conflict, "scopes"},
		"lifetime of a week":               {update(a.ID, func(a *auth.API) { a.Lifetime = 7 * 24 * time.Hour }), fault.InvalidRequest, "token_lifetime"},
		"built-in edited":                  {update(own, func(a *auth.API) { a.Name = "mine" }), fault.InvalidRequest, ""},
		"built-in replaced":                {third(o.PutAPI(ctx, clerk, auth.API{ID: own, Identifier: auth.AdminAPI, Name: "x"}, registry.Any)), fault.InvalidRequest, ""},
		"built-in deleted":                 {second(o.DeleteAPI(ctx, clerk, own, registry.Any)), fault.InvalidRequest, ""},
		"built-in served":                  {second(o.SetServer(ctx, clerk, own, c.ID, true)), fault.InvalidRequest, ""},
		"identifier of nothing":            {second(o.APIByIdentifier(ctx, clerk, "x:nothing")), fault.NotFound, ""},
	} {
		if found := fault.From(tt.err); found == nil || found.Code != tt.want || found.Field != tt.at {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if o.position() != before {
		t.Error("a refused change reached the change log")
	}
	err := update(a.ID, func(a *auth.API) { a.Scopes = a.Scopes[:1] })
	if want := "2 grants hold a scope that would be missing; take it from them first"; fault.From(err).Detail != want {
		t.Error(err)
	}
}

func TestAPIReplaced(t *testing.T) {
	o := newOffice(t)
	ctx, c := t.Context(), o.client()
	id := auth.NewAPIID(time.Now())
	want := auth.API{ID: id, Identifier: "https://restored.example", Name: "restored", Scopes: []auth.ScopeDefinition{{Name: "read"}}}
	made, created, err := o.PutAPI(ctx, clerk, want, registry.Absent)
	if err != nil || !created || made.ID != id || made.Revision != 1 || made.Lifetime != time.Hour {
		t.Fatal(made, created, err)
	}
	o.must(second(o.SetServer(ctx, clerk, id, c.ID, true)))
	want.Name, want.Format, want.Lifetime = "replaced", auth.Opaque, time.Minute
	replaced, created, err := o.PutAPI(ctx, clerk, want, 2)
	o.must(err)
	want.Algorithm, want.Revision, want.Servers, want.Created, want.Updated = auth.ES256, 3, []auth.ClientID{c.ID}, made.Created, replaced.Updated
	if diff := cmp.Diff(&want, replaced); diff != "" || created {
		t.Errorf("created %t: %s", created, diff)
	}
	edited, err := o.UpdateAPI(ctx, clerk, id, registry.Any, rename(func(a *auth.API) { a.Servers = nil }))
	o.must(err)
	if diff := cmp.Diff(replaced, edited); diff != "" {
		t.Error(diff)
	}
	page, err := o.ListAPIs(ctx, clerk, auth.APIQuery{Server: c.ID, Limit: 10})
	o.must(err)
	if diff := cmp.Diff([]*auth.API{replaced}, page); diff != "" {
		t.Error(diff)
	}
}

// The default resource is the first grant's, is changed by nobody but who says so, and goes with its grant.
func TestDefaultResource(t *testing.T) {
	o := newOffice(t)
	ctx, c, first, other := t.Context(), o.client(), o.api(), o.api()
	expect := func(step string, want auth.APIID) {
		t.Helper()
		stored, err := o.Client(ctx, clerk, c.ID)
		if err != nil || stored.DefaultResource != want {
			t.Errorf("%s: %s, want %s, %v", step, stored.DefaultResource, want, err)
		}
	}
	set := func(id auth.APIID) {
		t.Helper()
		o.must(second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) { c.DefaultResource = id })})))
	}
	remove := func(a *auth.API) {
		t.Helper()
		o.must(second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: c.ID, API: a.ID})))
	}
	o.grant(c, first, "read")
	expect("first grant", first.ID)
	o.grant(c, other, "read")
	expect("second grant", first.ID)
	set(other.ID)
	expect("set", other.ID)
	set(auth.APIID{})
	o.grant(c, other, "write")
	expect("none, and a grant changed", auth.APIID{})
	set(other.ID)
	remove(first)
	expect("another grant taken away", other.ID)
	remove(other)
	expect("its grant taken away", auth.APIID{})
	o.grant(c, first, "read")
	expect("first grant again", first.ID)
}

func TestGrantDetails(t *testing.T) {
	o := newOffice(t)
	ctx, c, used, unused := t.Context(), o.client(), o.api(), o.api()
	g, idle := o.grant(c, used, "read"), o.grant(c, unused, "read")
	if again, created, err := o.PutGrant(ctx, clerk, auth.Grant{Client: c.ID, API: used.ID, Scopes: []string{"read", "read"}}, registry.Any); err != nil || created || again.Revision != 1 {
		t.Errorf("the same again: %+v, %t, %v", again, created, err)
	}
	at := time.Now().UTC().Truncate(time.Minute)
	o.must(o.store.RecordUses(ctx, nil, []auth.GrantUse{
		{Client: c.ID, API: used.ID, Last: at, Tokens: 7}, {Client: c.ID, API: used.ID, Scope: "read", Last: at, Tokens: 6},
	}))
	want := []*registry.GrantDetail{{Grant: *g, LastUsed: at, Tokens: 7}, {Grant: *idle}}
	page, err := o.ListGrants(ctx, clerk, auth.GrantQuery{Client: c.ID, Limit: 10})
	o.must(err)
	if page[0].API != used.ID { // ids of one millisecond come in any order
		page[0], page[1] = page[1], page[0]
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Error(diff)
	}
	one, err := o.Grant(ctx, clerk, c.ID, used.ID)
	if diff := cmp.Diff(want[0], one); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
