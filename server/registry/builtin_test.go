package registry_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
)

// A version that adds scopes to the admin API gives them to those who had every one before, and to nobody else.
func TestFullAdminsStayFull(t *testing.T) {
	e := newEscalation(t)
	ctx := t.Context()
	added := []string{auth.ScopeKeysWrite, auth.ScopeAuditRead}
	before := lacking(adminScopes(), added...)
	full, part := e.subject("full", before, nil), e.subject("part", lacking(before, auth.ScopeClientsRead), nil)
	e.put(func(tx auth.Tx) error {
		g, err := tx.Grants().Grant(ctx, e.keeper.id, e.admin.ID)
		if err != nil {
			return err
		}
		if err := tx.Grants().DeleteGrant(ctx, g.Client, g.API); err != nil {
			return err
		}
		a, err := tx.APIs().API(ctx, e.admin.ID)
		if err != nil {
			return err
		}
		older := a.Scopes[:0]
		for _, s := range a.Scopes {
			if before.Has(s.Name) {
				older = append(older, s)
			}
		}
		a.Scopes = older
		return tx.APIs().PutAPI(ctx, a)
	})
	upgrade := func() []auth.Change {
		return e.changes(func() { e.must(e.EnsureBuiltIns(ctx, auth.Actor{Name: "new version"})) })
	}
	changed := map[auth.ChangeKind][][16]byte{}
	for _, c := range upgrade() {
		changed[c.Kind] = append(changed[c.Kind], c.Subject)
	}
	want := map[auth.ChangeKind][][16]byte{auth.ClientChanged: {full.id}, auth.APIChanged: {e.admin.ID}}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		of   subject
		want auth.Scopes
	}{{full, adminScopes()}, {part, part.admin}} {
		g, err := e.Grant(ctx, auth.Actor{Name: "test"}, tt.of.id, e.admin.ID)
		e.must(err)
		if diff := cmp.Diff(tt.want, g.Scopes); diff != "" {
			t.Errorf("%s: %s", tt.of.name, diff)
		}
	}
	if again := upgrade(); len(again) != 0 {
		t.Errorf("done twice: %v", again)
	}
}
