package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// ledger is a real one whose walk over all tokens is another.
type ledger struct {
	auth.Ledger
	each func(ctx context.Context, each func(*auth.Token) error) error
}

func (l ledger) EachToken(ctx context.Context, _ auth.TokenID, each func(*auth.Token) error) error {
	return l.each(ctx, each)
}

// What an operation takes back is counted in its answer: live tokens that nothing had taken back before.
func TestOperationsCountWhatTheyHit(t *testing.T) {
	d := newDesk(t)
	ctx, actor := t.Context(), auth.Actor{Name: "test"}
	c, other, stock, orders := d.client("c"), d.client("other"), d.api("https://stock.example/"), d.api("https://orders.example/")
	first, _ := d.secret(c)
	second, _ := d.secret(c, func(s *auth.Secret) { s.By = first.ID })
	d.grant(c, stock, "read")
	d.grant(c, orders, "read")
	issue := func() {
		for range 3 {
			d.token(c, stock, with(first))
		}
		d.token(c, orders, with(first))
		d.token(c, orders, with(second))
		d.token(c, stock, expired)
		d.token(other, stock)
	}
	for _, tt := range []struct {
		name string
		do   func() (registry.Hit, error)
		want int64
	}{
		{"grant deleted", func() (registry.Hit, error) {
			return d.DeleteGrant(ctx, actor, registry.GrantRef{Client: c.ID, API: orders.ID})
		}, 2},
		{"secret disabled", func() (registry.Hit, error) {
			done, err := d.DisableSecret(ctx, actor, first.ID, false)
			return done.Revoked, err
		}, 0},
		{"secret compromised, with what it made", func() (registry.Hit, error) {
			done, err := d.DisableSecret(ctx, actor, first.ID, true)
			return done.Revoked, err
		}, 13}, // of three issues, but for two that went with the grant
		{"client disabled", func() (registry.Hit, error) {
			done, err := d.SetClientStatus(ctx, actor, c.ID, auth.Disabled)
			return done.Revoked, err
		}, 5},
		{"client disabled again", func() (registry.Hit, error) {
			done, err := d.SetClientStatus(ctx, actor, c.ID, auth.Disabled)
			return done.Revoked, err
		}, 0},
		{"API deleted", func() (registry.Hit, error) {
			return d.DeleteAPI(ctx, actor, stock.ID, registry.Any)
		}, 12}, // three of the client in each of two issues, and one of the other in each of six
		{"client deleted", func() (registry.Hit, error) {
			return d.DeleteClient(ctx, actor, c.ID, registry.Any)
		}, 9}, // all of the last issue, and what of two before it was for the API that is left
	} {
		t.Run(tt.name, func(t *testing.T) {
			issue()
			d.refresh()
			if hit, err := tt.do(); err != nil || hit != (registry.Hit{Tokens: tt.want, Exact: true}) {
				t.Errorf("%+v, %v", hit, err)
			}
			d.refresh()
		})
	}
}

// Counting is bounded, by rows and by time; what it could not count is told.
func TestCountingIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		each func(ctx context.Context, each func(*auth.Token) error) error
		want registry.Hit
		err  bool
	}{
		"rows": {each: func(_ context.Context, each func(*auth.Token) error) error {
			live := &auth.Token{Expires: time.Now().Add(time.Hour)}
			for {
				if err := each(live); err != nil {
					return err
				}
			}
		}, want: registry.Hit{Tokens: 100_000}},
		"time": {each: func(ctx context.Context, each func(*auth.Token) error) error {
			if err := each(&auth.Token{Expires: time.Now().Add(time.Hour)}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}, want: registry.Hit{Tokens: 1}},
		"a failure is none": {each: func(context.Context, func(*auth.Token) error) error { return errors.New("disk on fire") }, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.Ledger = ledger{d.store, tt.each}
			done, err := d.Revoke(t.Context(), auth.Actor{Name: "test"}, registry.Selector{All: true})
			if tt.err != (err != nil) {
				t.Fatal(err)
			}
			if err == nil && done.Hit != tt.want {
				t.Errorf("%+v", done.Hit)
			}
		})
	}
}
