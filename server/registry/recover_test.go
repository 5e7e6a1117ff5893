package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// scopesOf returns what the client is granted of the admin API.
func (o office) scopesOf(id auth.ClientID) auth.Scopes {
	o.Helper()
	var scopes auth.Scopes
	err := o.store.View(o.Context(), func(tx auth.Tx) error {
		own, err := tx.APIs().APIByIdentifier(o.Context(), auth.AdminAPI)
		if err != nil {
			return err
		}
		g, err := tx.Grants().Grant(o.Context(), id, own.ID)
		if err == nil {
			scopes = g.Scopes
		}
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return scopes
}

// adminScopes returns every scope of the admin API.
func (o office) adminScopes() auth.Scopes {
	o.Helper()
	var scopes auth.Scopes
	err := o.store.View(o.Context(), func(tx auth.Tx) error {
		own, err := tx.APIs().APIByIdentifier(o.Context(), auth.AdminAPI)
		if err == nil {
			scopes = own.ScopeNames()
		}
		return err
	})
	if err != nil || len(scopes) < 10 {
		o.Fatalf("%d scopes, %v", len(scopes), err)
	}
	return scopes
}

func (o office) lastEvent() *auth.AuditEvent {
	o.Helper()
	var last []*auth.AuditEvent
	err := o.store.View(o.Context(), func(tx auth.Tx) (err error) {
		last, err = tx.Audit().ListEvents(o.Context(), auth.AuditQuery{Descending: true, Limit: 1})
		return err
	})
	if err != nil || len(last) != 1 {
		o.Fatalf("%d events, %v", len(last), err)
	}
	return last[0]
}

func TestRecoverAdmin(t *testing.T) {
	o := newOffice(t)
	if err := o.EnsureBuiltIns(t.Context(), clerk); err != nil {
		t.Fatal(err)
	}
	lost := o.client()
	if _, err := o.SetClientStatus(t.Context(), clerk, lost.ID, auth.Disabled); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, who string }{
		{"a new client", ""}, {"by name", lost.Name}, {"by id", lost.ID.String()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			made, err := o.RecoverAdmin(t.Context(), auth.Actor{Name: "countersign admin recover"}, tt.who)
			if err != nil {
				t.Fatal(err)
			}
			if isLost := made.Client.ID == lost.ID; isLost != (tt.who != "") || made.Client.Status != auth.Active || made.Secret.Client != made.Client.ID {
				t.Errorf("made %+v with %+v", made.Client, made.Secret)
			}
			if diff := cmp.Diff(o.adminScopes(), o.scopesOf(made.Client.ID)); diff != "" {
				t.Error(diff)
			}
			e := o.lastEvent()
			if e.Action != "admin.recover" || e.Target != made.Client.ID.String() || e.Actor.Name != "countersign admin recover" {
				t.Errorf("the record is %+v", e)
			}
			if strings.Contains(e.Changes, made.Value.Reveal()[:30]) || !strings.Contains(e.Changes, made.Secret.ID.String()) {
				t.Errorf("the record says %s", e.Changes)
			}
		})
	}
}

// Nobody becomes an administrator by the API that way, and nothing is left of what was refused.
func TestOnlyTheSystemMakesAdmins(t *testing.T) {
	o := newOffice(t)
	if err := o.EnsureBuiltIns(t.Context(), clerk); err != nil {
		t.Fatal(err)
	}
	c := o.client()
	caller := auth.Actor{Client: c.ID, Scope: o.adminScopes().String()}
	for name, tt := range map[string]struct {
		do   func() error
		want fault.Code
	}{
		"recover by a token": {func() error { return second(o.RecoverAdmin(t.Context(), caller, "")) }, fault.Forbidden},
		"first admin by a token": {func() error {
			return second(o.FirstAdmin(t.Context(), caller, auth.Client{Name: "x"}, auth.SecretValue{}))
		}, fault.Forbidden},
		"recover of nobody":     {func() error { return second(o.RecoverAdmin(t.Context(), clerk, "nobody")) }, fault.NotFound},
		"first admin, nameless": {func() error { return second(o.FirstAdmin(t.Context(), clerk, auth.Client{}, auth.SecretValue{})) }, fault.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			before := o.position()
			if err := tt.do(); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if o.position() != before {
				t.Error("a refused call changed something")
			}
		})
	}
	if known, err := o.HasAdmin(t.Context()); err != nil || known {
		t.Errorf("there is an administrator, %v", err)
	}
}

// When a version brings a scope of our own, who could do everything can go on doing everything, and nobody else gets it.
func TestNewScopeOfOurOwn(t *testing.T) {
	o := newOffice(t)
	if err := o.EnsureBuiltIns(t.Context(), clerk); err != nil {
		t.Fatal(err)
	}
	made, err := o.FirstAdmin(t.Context(), clerk, auth.Client{Name: "admin"}, auth.SecretValue{})
	if err != nil || made == nil {
		t.Fatalf("made %v, %v", made, err)
	}
	part, former := o.client(), auth.NewScopes(auth.ScopeClientsRead, auth.ScopeClientsWrite)
	err = o.store.Update(t.Context(), func(tx auth.Tx) error { // as a version that had two scopes only
		own, err := tx.APIs().APIByIdentifier(t.Context(), auth.AdminAPI)
		if err != nil {
			return err
		}
		own.Scopes = []auth.ScopeDefinition{{Name: auth.ScopeClientsRead}, {Name: auth.ScopeClientsWrite}}
		g, err := tx.Grants().Grant(t.Context(), made.Client.ID, own.ID)
		if err != nil {
			return err
		}
		g.Scopes = former
		now := time.Now().UTC()
		little := &auth.Grant{Client: part.ID, API: own.ID, Scopes: former[:1], Created: now, Updated: now}
		return errors.Join(tx.Grants().PutGrant(t.Context(), g), tx.Grants().PutGrant(t.Context(), little), tx.APIs().PutAPI(t.Context(), own))
	})
	if err != nil {
		t.Fatal(err)
	}
	kinds := o.kinds(func() error { return o.EnsureBuiltIns(t.Context(), clerk) })
	if diff := cmp.Diff([]auth.ChangeKind{auth.ClientChanged, auth.APIChanged}, kinds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(o.adminScopes(), o.scopesOf(made.Client.ID)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(former[:1], o.scopesOf(part.ID)); diff != "" {
		t.Error(diff)
	}
	if again, err := o.FirstAdmin(t.Context(), clerk, auth.Client{Name: "admin"}, auth.SecretValue{}); err != nil || again != nil {
		t.Errorf("another administrator: %v, %v", again, err)
	}
}
