package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// narrowings take something away from a full administrator, so that it is none any more.
func narrowings(ctx context.Context, admin *auth.API) map[string]func(*registry.Registry, auth.Actor, subject) error {
	return map[string]func(*registry.Registry, auth.Actor, subject) error{
		"disable": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.SetClientStatus(ctx, a, of.id, auth.Disabled))
		},
		"delete": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DeleteClient(ctx, a, of.id, registry.Any))
		},
		"narrow the grant": func(r *registry.Registry, a auth.Actor, of subject) error {
			scopes := lacking(adminScopes(), auth.ScopeAuditRead)
			return third(r.PutGrant(ctx, a, auth.Grant{Client: of.id, API: admin.ID, Scopes: scopes}, registry.Any))
		},
		"take the grant away": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DeleteGrant(ctx, a, registry.GrantRef{Client: of.id, API: admin.ID}))
		},
		"disable its only secret": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DisableSecret(ctx, a, of.on, false))
		},
		"let its only secret expire in a moment": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.ExpireSecret(ctx, a, registry.SecretRef{Client: of.id, ID: of.on}, time.Now().Add(time.Minute)))
		},
		"rotate into a secret that expires in a moment": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.RotateSecret(ctx, a, of.id, registry.Rotation{Overlap: time.Minute, Expires: time.Now().Add(time.Minute)}))
		},
		"report its only secret as compromised": func(r *registry.Registry, a auth.Actor, of subject) error {
			return second(r.DisableSecret(ctx, a, of.on, true))
		},
	}
}

// The last client that can do everything stays: another counts only if it can authenticate.
func TestLastAdminStays(t *testing.T) {
	for name, other := range map[string]struct {
		make func(e *escalation, of subject)
		able bool
	}{
		"nobody else": {func(e *escalation, of subject) {
			e.put(func(tx auth.Tx) error { return tx.Clients().DeleteClient(e.Context(), of.id) })
		}, false},
		"another":              {func(*escalation, subject) {}, true},
		"another, disabled":    {func(e *escalation, of subject) { e.status(of.id, auth.Disabled) }, false},
		"another, less able":   {func(e *escalation, of subject) { e.narrow(of.id) }, false},
		"another, no secret":   {func(e *escalation, of subject) { e.expire(of.on, time.Now().Add(-time.Minute)) }, false},
		"another, soon locked": {func(e *escalation, of subject) { e.expire(of.on, time.Now().Add(time.Hour)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEscalation(t)
			other.make(e, e.keeper)
			last := e.subject("last", adminScopes(), nil)
			actor := auth.Actor{Client: last.id, Credential: last.on, Name: "last", Scope: adminScopes().String()}
			for what, do := range narrowings(t.Context(), e.admin) {
				if err := do(e.rehearsed(), actor, last); other.able != errors.Is(err, errDry) || !other.able && !errors.Is(err, fault.Conflict) {
					t.Errorf("%s: %v", what, err)
				}
				if err := do(e.rehearsed(), auth.Actor{Name: "system"}, last); !errors.Is(err, errDry) {
					t.Errorf("%s by the system: %v", what, err)
				}
			}
		})
	}
}

func (e *escalation) status(id auth.ClientID, status auth.Status) {
	e.Helper()
	e.put(func(tx auth.Tx) error {
		c, err := tx.Clients().Client(e.Context(), id)
		if err == nil {
			c.Status = status
			err = tx.Clients().PutClient(e.Context(), c)
		}
		return err
	})
}

func (e *escalation) narrow(id auth.ClientID) {
	e.Helper()
	e.put(func(tx auth.Tx) error {
		g, err := tx.Grants().Grant(e.Context(), id, e.admin.ID)
		if err == nil {
			g.Scopes = lacking(g.Scopes, auth.ScopeKeysRead)
			err = tx.Grants().PutGrant(e.Context(), g)
		}
		return err
	})
}

func (e *escalation) expire(id auth.SecretID, at time.Time) {
	e.Helper()
	e.put(func(tx auth.Tx) error {
		s, err := tx.Secrets().Secret(e.Context(), id)
		if err == nil {
			s.Expires = at.UTC().Truncate(time.Microsecond)
			err = tx.Secrets().PutSecret(e.Context(), s)
		}
		return err
	})
}

// Where nobody can do everything, those who can do a part still can: there is nothing to keep.
func TestNoAdminLeftHindersNobody(t *testing.T) {
	e := newEscalation(t)
	e.status(e.keeper.id, auth.Disabled)
	plain, operator := e.subject("plain", nil, nil), e.subject("operator", auth.NewScopes(auth.ScopeClientsWrite), nil)
	actor := auth.Actor{Client: operator.id, Name: "operator", Scope: auth.ScopeClientsWrite}
	if _, err := e.SetClientStatus(t.Context(), actor, plain.id, auth.Disabled); err != nil {
		t.Error(err)
	}
}

// The reported secret of the last administrator goes all the same: whoever has it could do worse.
func TestLeakSparesNobody(t *testing.T) {
	e := newEscalation(t)
	e.status(e.keeper.id, auth.Disabled)
	last := e.subject("last", adminScopes(), nil)
	var value auth.SecretValue
	made, err := e.AddSecret(t.Context(), auth.Actor{Name: "system"}, last.id, registry.NewSecretRequest{})
	if err == nil {
		value = made.Value
		_, err = e.DisableSecret(t.Context(), auth.Actor{Name: "system"}, last.on, false)
	}
	e.must(err)
	finder := e.subject("finder", auth.NewScopes(auth.ScopeSecretsWrite), nil)
	actor := auth.Actor{Client: finder.id, Name: "finder", Scope: auth.ScopeSecretsWrite}
	leak, err := e.ReportLeak(t.Context(), actor, value.Reveal())
	if err != nil || leak.Secret != made.Secret.ID {
		t.Fatal(leak, err)
	}
	after, err := e.Secret(t.Context(), auth.Actor{Name: "system"}, last.id, leak.Secret)
	if err != nil || after.Status != auth.Disabled {
		t.Error(after, err)
	}
}

// A client with nothing but secrets:own can go through the life of a secret of its own, and of nobody else's.
func TestSelfRotation(t *testing.T) {
	e := newEscalation(t)
	ctx, self, other := t.Context(), e.subject("self", auth.NewScopes(auth.ScopeSecretsOwn), nil), e.subject("plain", nil, nil)
	actor := auth.Actor{Client: self.id, Credential: self.on, Name: "self", Scope: auth.ScopeSecretsOwn}
	rotated, err := e.RotateSecret(ctx, actor, self.id, registry.Rotation{Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if rotated.Secret.By != self.on {
		t.Errorf("made by %s", rotated.Secret.By)
	}
	secrets, err := e.ListSecrets(ctx, actor, self.id)
	if err != nil || len(secrets) != 3 {
		t.Fatal(secrets, err)
	}
	e.must(second(e.DisableSecret(ctx, actor, self.on, false)))
	e.must(second(e.EnableSecret(ctx, actor, self.on)))
	e.must(second(e.DisableSecret(ctx, actor, self.on, true)))
	e.must(e.DeleteSecret(ctx, actor, registry.SecretRef{Client: self.id, ID: self.on}))
	for what, err := range map[string]error{
		"rotate":           second(e.RotateSecret(ctx, actor, other.id, registry.Rotation{})),
		"add":              second(e.AddSecret(ctx, actor, other.id, registry.NewSecretRequest{})),
		"list":             second(e.ListSecrets(ctx, actor, other.id)),
		"disable":          second(e.DisableSecret(ctx, actor, other.on, false)),
		"enable":           second(e.EnableSecret(ctx, actor, other.off)),
		"delete":           e.DeleteSecret(ctx, actor, registry.SecretRef{Client: other.id, ID: other.off}),
		"expire":           second(e.ExpireSecret(ctx, actor, registry.SecretRef{Client: other.id, ID: other.on}, time.Time{})),
		"read the own one": second(e.Client(ctx, actor, self.id)),
	} {
		if !errors.Is(err, fault.InsufficientScope) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// By the id of its own client, nobody else's secret is reached.
	if err := e.DeleteSecret(ctx, actor, registry.SecretRef{Client: self.id, ID: other.off}); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
}
