package registry_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// Every change leaves a record that says what was before and after in the words of the admin API, and no secret.
func TestAuditSaysWhatChangedButNoSecret(t *testing.T) {
	o := newOffice(t)
	o.Import = func(auth.SecretValue) (string, error) { return "$argon2id$hash-of-it", nil }
	ctx, c, a := t.Context(), o.client(), o.api()
	made, err := o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{})
	o.must(err)
	foreign := auth.PresentedSecret("brought-from-outside")
	o.must(second(o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Value: foreign})))
	rotated, err := o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Overlap: time.Hour})
	o.must(err)
	ref := registry.SecretRef{Client: c.ID, ID: made.Secret.ID}
	for _, err := range []error{
		second(o.ExpireSecret(ctx, clerk, ref, time.Time{})),
		second(o.DisableSecret(ctx, clerk, ref.ID, true)),
		second(o.EnableSecret(ctx, clerk, ref.ID)),
		second(o.DisableSecret(ctx, clerk, ref.ID, false)),
		o.DeleteSecret(ctx, clerk, ref),
		second(o.UpdateAPI(ctx, clerk, a.ID, registry.Any, rename(func(a *auth.API) { a.Name = "renamed" }))),
		second(o.SetServer(ctx, clerk, a.ID, c.ID, true)),
		third(o.PutGrant(ctx, clerk, auth.Grant{Client: c.ID, API: a.ID, Scopes: auth.NewScopes("read")}, registry.Any)),
		second(o.UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) {
			c.Description, c.Owner, c.Labels = "d", "o", map[string]string{"team": "x"}
		})})),
		second(o.SetClientStatus(ctx, clerk, c.ID, auth.Disabled)),
		second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: c.ID, API: a.ID})),
		second(o.DeleteAPI(ctx, clerk, a.ID, registry.Any)),
		second(o.DeleteClient(ctx, clerk, c.ID, registry.Any)),
	} {
		o.must(err)
	}
	seen, err := o.Events(ctx, clerk, auth.AuditQuery{Limit: 100, After: 2}) // the first two are of the built-in APIs
	o.must(err)
	var actions []string
	for _, e := range seen {
		actions = append(actions, e.Action)
		if e.Actor != clerk || e.Target == "" {
			t.Errorf("event is %+v", e)
		}
		for _, secret := range []string{made.Value.Reveal()[10:30], rotated.Value.Reveal()[10:30], foreign.Reveal(), "hash"} {
			if strings.Contains(e.Changes, secret) {
				t.Errorf("%s holds a secret: %s", e.Action, e.Changes)
			}
		}
		checkView(t, e)
	}
	want := []string{
		"client.create", "api.create", "secret.create", "secret.create", "secret.expire", "secret.expire", "secret.rotate", "secret.expire",
		"secret.disable", "secret.enable", "secret.disable", "secret.delete", "api.update", "api.server.add", "grant.put", "client.update",
		"client.disable", "grant.delete", "api.delete", "client.delete",
	}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
	}
	golden := `{"after":{"client_id":"` + c.ID.String() + `","default_resource":"` + a.ID.String() + `","description":"d","labels":{"team":"x"},"name":"` +
		c.Name + `","owner":"o","revoked_tokens":0,"revoked_tokens_exact":false,"status":"disabled","token_endpoint_auth_method":"client_secret_basic"},` +
		`"before":{"client_id":"` + c.ID.String() + `","default_resource":"` + a.ID.String() + `","description":"d","labels":{"team":"x"},"name":"` +
		c.Name + `","owner":"o","status":"active","token_endpoint_auth_method":"client_secret_basic"}}`
	if diff := cmp.Diff(golden, seen[16].Changes); diff != "" {
		t.Error(diff)
	}
}

func checkView(t *testing.T, e *auth.AuditEvent) {
	t.Helper()
	var changes struct{ Before, After map[string]any }
	decoder := json.NewDecoder(strings.NewReader(e.Changes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&changes); err != nil {
		t.Errorf("%s: %v", e.Action, err)
	}
	if len(changes.Before) == 0 && len(changes.After) == 0 {
		t.Errorf("%s says nothing", e.Action)
	}
	word := regexp.MustCompile(`^[a-z_]+$`)
	for _, view := range []map[string]any{changes.Before, changes.After} {
		for name := range view {
			if !word.MatchString(name) {
				t.Errorf("%s: member %q", e.Action, name)
			}
		}
	}
}
