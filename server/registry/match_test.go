package registry_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// matched is a change that has a precondition.
type matched struct {
	do func(m registry.Match) error
	// missing is the same on something that is not there; nil: there is no such call.
	missing func(m registry.Match) error
	// creates says that it makes what is missing.
	creates bool
}

// matchedChanges returns each of them on a client, API, grant and secret of its own, of revision 2.
func (o office) matchedChanges(ctx context.Context) map[string]matched {
	o.Helper()
	c, a := o.client(), o.api()
	o.must(second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) { c.Owner = "first" })})))
	o.must(second(o.UpdateAPI(ctx, clerk, a.ID, registry.Any, rename(func(a *auth.API) { a.Name = "first" }))))
	holder, b := o.client(), o.api()
	o.grant(holder, b, "read")
	o.grant(holder, b, "write")
	made, err := o.AddSecret(ctx, clerk, holder.ID, registry.NewSecretRequest{})
	o.must(err)
	o.must(second(o.DisableSecret(ctx, clerk, made.Secret.ID, false)))
	ref := func(m registry.Match) registry.SecretRef {
		return registry.SecretRef{Client: holder.ID, ID: made.Secret.ID, Match: m}
	}
	nobody := func() auth.ClientID { return auth.NewClientID(time.Now()) }
	nothing := func() auth.APIID { return auth.NewAPIID(time.Now()) }
	n := 0
	fresh := func() string { n++; return fmt.Sprint("fresh ", n, c.ID) }
	return map[string]matched{
		"update client": {
			do: func(m registry.Match) error {
				return second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Match: m, Change: rename(func(c *auth.Client) { c.Owner = fresh() })}))
			},
			missing: func(m registry.Match) error {
				return second(o.UpdateClient(ctx, clerk, nobody(), registry.ClientEdit{Match: m, Change: rename(func(c *auth.Client) { c.Owner = fresh() })}))
			},
		},
		"put client": {
			do: func(m registry.Match) error {
				return third(o.PutClient(ctx, clerk, auth.Client{ID: c.ID, Name: fresh()}, m))
			},
			missing: func(m registry.Match) error {
				return third(o.PutClient(ctx, clerk, auth.Client{ID: nobody(), Name: fresh()}, m))
			},
			creates: true,
		},
		"delete client": {
			do:      func(m registry.Match) error { return second(o.DeleteClient(ctx, clerk, c.ID, m)) },
			missing: func(m registry.Match) error { return second(o.DeleteClient(ctx, clerk, nobody(), m)) },
		},
		"update API": {
			do: func(m registry.Match) error {
				return second(o.UpdateAPI(ctx, clerk, a.ID, m, rename(func(a *auth.API) { a.Name = fresh() })))
			},
			missing: func(m registry.Match) error {
				return second(o.UpdateAPI(ctx, clerk, nothing(), m, rename(func(a *auth.API) { a.Name = fresh() })))
			},
		},
		"put API": {
			do: func(m registry.Match) error {
				return third(o.PutAPI(ctx, clerk, auth.API{ID: a.ID, Identifier: a.Identifier, Name: fresh()}, m))
			},
			missing: func(m registry.Match) error {
				id := nothing()
				return third(o.PutAPI(ctx, clerk, auth.API{ID: id, Identifier: "x:" + id.String(), Name: fresh()}, m))
			},
			creates: true,
		},
		"delete API": {
			do:      func(m registry.Match) error { return second(o.DeleteAPI(ctx, clerk, a.ID, m)) },
			missing: func(m registry.Match) error { return second(o.DeleteAPI(ctx, clerk, nothing(), m)) },
		},
		"put grant": {
			do: func(m registry.Match) error {
				return third(o.PutGrant(ctx, clerk, auth.Grant{Client: holder.ID, API: b.ID, Scopes: auth.NewScopes("read", "write")}, m))
			},
			missing: func(m registry.Match) error {
				return third(o.PutGrant(ctx, clerk, auth.Grant{Client: o.client().ID, API: b.ID, Scopes: auth.NewScopes("read")}, m))
			},
			creates: true,
		},
		"delete grant": {
			do: func(m registry.Match) error {
				return second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: holder.ID, API: b.ID, Match: m}))
			},
			missing: func(m registry.Match) error {
				return second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: o.client().ID, API: b.ID, Match: m}))
			},
		},
		"expire secret": {do: func(m registry.Match) error {
			return second(o.ExpireSecret(ctx, clerk, ref(m), time.Now().Add(time.Hour)))
		}},
		"delete secret": {do: func(m registry.Match) error { return o.DeleteSecret(ctx, clerk, ref(m)) }},
	}
}

func (o office) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func TestMatch(t *testing.T) {
	failed := fault.PreconditionFailed
	o := newOffice(t)
	for name := range o.matchedChanges(t.Context()) {
		t.Run(name, func(t *testing.T) {
			for _, tt := range []struct {
				match registry.Match
				there fault.Code // of the change of what has revision 2
				new   fault.Code // of the call that can create, on what is not there
			}{
				{registry.Any, "", ""},
				{registry.Exists, "", failed},
				{registry.Absent, failed, ""},
				{1, failed, failed},
				{2, "", failed},
				{3, failed, failed},
			} {
				change := o.matchedChanges(t.Context())[name]
				if change.missing != nil {
					want := tt.new
					if !change.creates {
						want = fault.NotFound
					}
					if got := code(change.missing(tt.match)); got != want {
						t.Errorf("%d, not there: %q, want %q", tt.match, got, want)
					}
				}
				before := o.position()
				if got := code(change.do(tt.match)); got != tt.there {
					t.Errorf("%d: %q, want %q", tt.match, got, tt.there)
				}
				if changed := o.position() != before; changed != (tt.there == "") {
					t.Errorf("%d: changed is %t", tt.match, changed)
				}
			}
		})
	}
}

func code(err error) fault.Code {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

// Twenty writers who each read, edit and write under the revision that they read lose nothing of each other.
func TestConcurrentEditsLoseNothing(t *testing.T) {
	o := newOffice(t)
	ctx, c, a := t.Context(), o.client(), o.api()
	var writers sync.WaitGroup
	for i := range 20 {
		holder := o.client()
		writers.Go(func() {
			own := fmt.Sprint("writer-", i)
			retry(t, func() error {
				seen, err := o.Client(ctx, clerk, c.ID)
				if err != nil {
					return err
				}
				return second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Match: registry.Match(seen.Revision), Change: rename(func(c *auth.Client) {
					labels := map[string]string{own: "was here"}
					maps.Copy(labels, seen.Labels)
					c.Labels = labels
				})}))
			})
			retry(t, func() error {
				seen, err := o.API(ctx, clerk, a.ID)
				if err != nil {
					return err
				}
				seen.Scopes = append(seen.Scopes, auth.ScopeDefinition{Name: own})
				return third(o.PutAPI(ctx, clerk, *seen, registry.Match(seen.Revision)))
			})
			g := auth.Grant{Client: holder.ID, API: a.ID, Scopes: auth.NewScopes(own)}
			if err := third(o.PutGrant(ctx, clerk, g, registry.Absent)); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	client, err := o.Client(ctx, clerk, c.ID)
	o.must(err)
	api, err := o.API(ctx, clerk, a.ID)
	o.must(err)
	if len(client.Labels) != 20 || client.Revision != 21 {
		t.Errorf("%d labels, revision %d", len(client.Labels), client.Revision)
	}
	if len(api.Scopes) != 22 || api.Revision != 21 {
		t.Errorf("%d scopes, revision %d", len(api.Scopes), api.Revision)
	}
}

// retry does it again as long as others were faster.
func retry(t *testing.T, do func() error) {
	t.Helper()
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, fault.PreconditionFailed) {
			t.Error(err)
			return
		}
	}
}
