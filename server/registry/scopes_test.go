package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// Each operation names the scope that is missing, and does with exactly those that it needs.
func TestScopesThatOperationsNeed(t *testing.T) {
	d := newDesk(t)
	ctx, now := t.Context(), time.Now()
	var everything []string
	d.view(func(tx auth.Tx) error {
		own, err := tx.APIs().APIByIdentifier(ctx, auth.AdminAPI)
		if err == nil {
			everything = own.ScopeNames()
		}
		return err
	})
	next, err := d.RotateKey(ctx, auth.Actor{}, keys.Rotation{Algorithm: auth.ES256})
	d.must(err)
	for name, tt := range map[string]struct {
		needs []string
		do    func(auth.Actor) error
	}{
		"ClientTokens": {[]string{"tokens:read"}, func(a auth.Actor) error {
			_, err := d.ClientTokens(ctx, a, auth.NewClientID(now), auth.TokenID{}, 1)
			return err
		}},
		"Token":       {[]string{"tokens:read"}, func(a auth.Actor) error { _, err := d.Token(ctx, a, auth.TokenID{}); return err }},
		"RevokeToken": {[]string{"tokens:write"}, func(a auth.Actor) error { _, err := d.RevokeToken(ctx, a, auth.TokenID{}); return err }},
		"Revoke":      {[]string{"tokens:write"}, func(a auth.Actor) error { _, err := d.Revoke(ctx, a, registry.Selector{All: true}); return err }},
		"Revoke by key": {[]string{"keys:write", "tokens:write"}, func(a auth.Actor) error {
			_, err := d.Revoke(ctx, a, registry.Selector{Key: next.ID})
			return err
		}},
		"ListKeys": {[]string{"keys:read"}, func(a auth.Actor) error { _, err := d.ListKeys(ctx, a); return err }},
		"RotateKey": {[]string{"keys:write"}, func(a auth.Actor) error {
			_, err := d.RotateKey(ctx, a, keys.Rotation{Algorithm: auth.EdDSA})
			return err
		}},
		"RevokeKey":   {[]string{"keys:write"}, func(a auth.Actor) error { _, err := d.RevokeKey(ctx, a, next.ID); return err }},
		"ReportLeak":  {[]string{"secrets:write"}, func(a auth.Actor) error { _, err := d.ReportLeak(ctx, a, "x"); return err }},
		"Events":      {[]string{"audit:read"}, func(a auth.Actor) error { _, err := d.Events(ctx, a, auth.AuditQuery{Limit: 1}); return err }},
		"Event":       {[]string{"audit:read"}, func(a auth.Actor) error { _, err := d.Event(ctx, a, auth.EventID{}); return err }},
		"AuditHead":   {[]string{"audit:read"}, func(a auth.Actor) error { _, err := d.AuditHead(ctx, a); return err }},
		"VerifyAudit": {[]string{"audit:read"}, func(a auth.Actor) error { _, err := d.VerifyAudit(ctx, a, nil); return err }},
		"Failures":    {[]string{"audit:read"}, func(a auth.Actor) error { _, err := d.Failures(ctx, a, nil, 1); return err }},
		"Unused":      {[]string{"clients:read", "grants:read"}, func(a auth.Actor) error { _, err := d.Unused(ctx, a, 1); return err }},
		"Graph":       {[]string{"grants:read"}, func(a auth.Actor) error { _, err := d.Graph(ctx, a, registry.GraphFilter{}); return err }},
		"Explain": {[]string{"grants:read"}, func(a auth.Actor) error {
			_, err := d.Explain(ctx, a, registry.Question{Client: "x"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.do(officer(strings.Join(tt.needs, " "))); errors.Is(err, fault.InsufficientScope) {
				t.Errorf("with %v: %v", tt.needs, err)
			}
			for _, missing := range tt.needs {
				others := strings.ReplaceAll(" "+strings.Join(everything, " ")+" ", " "+missing+" ", " ")
				changes := d.changes(func() {
					if err := tt.do(officer(others)); !errors.Is(err, fault.InsufficientScope) || fault.From(err).Field != missing {
						t.Errorf("without %s: %v", missing, err)
					}
				})
				if len(changes) != 0 {
					t.Errorf("refused, but changed %+v", changes)
				}
			}
		})
	}
}
