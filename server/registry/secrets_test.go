package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// The secrets that a rotation replaces go on working for the overlap, and no longer than they would have.
func TestRotationOverlaps(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	o := newOfficeAt(t, &now)
	ctx, c := t.Context(), o.client()
	add := func(expires time.Time) auth.SecretID {
		made, err := o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Expires: expires})
		o.must(err)
		return made.Secret.ID
	}
	forever, short, long := add(time.Time{}), add(now.Add(time.Minute)), add(now.Add(48*time.Hour))
	disabled, ended := add(time.Time{}), add(now.Add(time.Second))
	o.must(second(o.DisableSecret(ctx, clerk, disabled, false)))
	now = now.Add(2 * time.Second)
	begun := now
	rotated, err := o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Overlap: time.Hour, Expires: now.Add(720 * time.Hour)})
	o.must(err)
	want := map[auth.SecretID]time.Time{forever: begun.Add(time.Hour), short: begun.Add(58 * time.Second), long: begun.Add(time.Hour)}
	got := map[auth.SecretID]time.Time{}
	for _, s := range rotated.Retiring {
		got[s.ID] = s.Expires
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		after time.Duration
		want  []auth.SecretID
	}{
		{0, []auth.SecretID{forever, short, long, rotated.Secret.ID}},
		{58 * time.Second, []auth.SecretID{forever, long, rotated.Secret.ID}},
		{time.Hour - time.Second, []auth.SecretID{forever, long, rotated.Secret.ID}},
		{time.Hour, []auth.SecretID{rotated.Secret.ID}},
		{720 * time.Hour, nil},
	} {
		now = begun.Add(tt.after)
		secrets, err := o.ListSecrets(ctx, clerk, c.ID)
		o.must(err)
		usable, expected := map[auth.SecretID]bool{}, map[auth.SecretID]bool{}
		for _, s := range secrets {
			if s.Usable(now) {
				usable[s.ID] = true
			}
			if s.Hash != [32]byte{} || s.ID == ended && s.Usable(now) {
				t.Errorf("shown is %+v", s)
			}
		}
		for _, id := range tt.want {
			expected[id] = true
		}
		if diff := cmp.Diff(expected, usable); diff != "" {
			t.Errorf("after %s: %s", tt.after, diff)
		}
	}
}

func TestRotationWithoutOverlap(t *testing.T) {
	o := newOffice(t)
	c := o.client()
	old, err := o.AddSecret(t.Context(), clerk, c.ID, registry.NewSecretRequest{})
	o.must(err)
	rotated, err := o.RotateSecret(t.Context(), clerk, c.ID, registry.Rotation{})
	if err != nil || len(rotated.Retiring) != 1 || rotated.Retiring[0].ID != old.Secret.ID || rotated.Retiring[0].Usable(time.Now()) {
		t.Errorf("%+v, %v", rotated, err)
	}
}

func TestSafeToDelete(t *testing.T) {
	const day, delay = auth.MaxLifetime, 5 * time.Minute
	begun := time.Now().UTC().Truncate(time.Minute)
	at := func(after time.Duration) time.Time { return begun.Add(after) }
	for name, tt := range map[string]struct {
		old, next func(s *auth.Secret)
		oldLast   time.Time // zero: the old secret was never used
		nextFirst time.Time // zero: its successor was never used
		now       time.Time
		safe      bool
		because   string
	}{
		"in use, alone":              {oldLast: at(0), now: at(90 * day), because: "no newer"},
		"unused, alone":              {now: at(90 * day), because: "no newer"},
		"disabled":                   {old: func(s *auth.Secret) { s.Status = auth.Disabled }, oldLast: at(0), now: at(0), safe: true, because: "disabled"},
		"expired":                    {old: func(s *auth.Secret) { s.Expires = at(time.Hour) }, oldLast: at(0), now: at(time.Hour), safe: true, because: "expired"},
		"about to expire":            {old: func(s *auth.Secret) { s.Expires = at(time.Hour) }, oldLast: at(0), now: at(time.Hour - time.Second), because: "no newer"},
		"successor just used":        {oldLast: at(0), nextFirst: at(time.Hour), now: at(time.Hour), because: "may be missed"},
		"successor used for a day":   {oldLast: at(0), nextFirst: at(time.Hour), now: at(time.Hour + day + delay), because: "may be missed"},
		"and then some":              {oldLast: at(0), nextFirst: at(time.Hour), now: at(time.Hour + day + delay + 1), safe: true, because: "not used since"},
		"never used, and replaced":   {nextFirst: at(time.Hour), now: at(time.Hour + day + delay + 1), safe: true, because: "not used since"},
		"used once more":             {oldLast: at(10 * time.Hour), nextFirst: at(time.Hour), now: at(10*time.Hour + day + delay), because: "may be missed"},
		"used once more, a day past": {oldLast: at(10 * time.Hour), nextFirst: at(time.Hour), now: at(10*time.Hour + day + delay + 1), safe: true, because: "not used since"},
		"successor disabled":         {next: func(s *auth.Secret) { s.Status = auth.Disabled }, oldLast: at(0), nextFirst: at(time.Hour), now: at(90 * day), because: "no newer"},
		"successor expired":          {next: func(s *auth.Secret) { s.Expires = at(2 * day) }, oldLast: at(0), nextFirst: at(time.Hour), now: at(90 * day), because: "no newer"},
	} {
		t.Run(name, func(t *testing.T) {
			now := begun
			o := newOfficeAt(t, &now)
			c := o.client()
			old, err := o.AddSecret(t.Context(), clerk, c.ID, registry.NewSecretRequest{})
			o.must(err)
			now = now.Add(time.Second)
			next, err := o.AddSecret(t.Context(), clerk, c.ID, registry.NewSecretRequest{})
			o.must(err)
			o.edit(old.Secret.ID, tt.old)
			o.edit(next.Secret.ID, tt.next)
			o.used(c.ID, old.Secret.ID, tt.oldLast)
			o.used(c.ID, next.Secret.ID, tt.nextFirst)
			now = tt.now
			got, err := o.Secret(t.Context(), clerk, c.ID, old.Secret.ID)
			o.must(err)
			if got.SafeToDelete != tt.safe || !strings.Contains(got.Why, tt.because) || !got.Use.Last.Equal(tt.oldLast) {
				t.Errorf("safe %t, since %q, last used %s", got.SafeToDelete, got.Why, got.Use.Last)
			}
			// An older secret in use says nothing about the newest.
			if newest, err := o.Secret(t.Context(), clerk, c.ID, next.Secret.ID); err != nil || newest.SafeToDelete && newest.Usable(now) {
				t.Error(newest, err)
			}
		})
	}
}

func (o office) edit(id auth.SecretID, change func(*auth.Secret)) {
	o.Helper()
	if change == nil {
		return
	}
	o.must(o.store.Update(o.Context(), func(tx auth.Tx) error {
		s, err := tx.Secrets().Secret(o.Context(), id)
		if err == nil {
			change(s)
			err = tx.Secrets().PutSecret(o.Context(), s)
		}
		return err
	}))
}

func (o office) used(c auth.ClientID, id auth.SecretID, at time.Time) {
	o.Helper()
	if at.IsZero() {
		return
	}
	use := auth.ClientSecretUse{Client: c, SecretUse: auth.SecretUse{Secret: id, First: at, Last: at, Source: "192.0.2.1"}}
	o.must(o.store.RecordUses(o.Context(), []auth.ClientSecretUse{use}, nil))
}

func TestSecretsRefused(t *testing.T) {
	o := newOffice(t)
	ctx, c, other := t.Context(), o.client(), o.client()
	made, err := o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{})
	o.must(err)
	ref := registry.SecretRef{Client: c.ID, ID: made.Secret.ID}
	foreign := registry.SecretRef{Client: other.ID, ID: made.Secret.ID}
	past := time.Now().Add(-time.Second)
	for name, tt := range map[string]struct {
		err  error
		want fault.Code
		at   string
	}{
		"usable secret deleted":  {o.DeleteSecret(ctx, clerk, ref), fault.Conflict, ""},
		"another's deleted":      {o.DeleteSecret(ctx, clerk, foreign), fault.NotFound, ""},
		"another's expired":      {second(o.ExpireSecret(ctx, clerk, foreign, time.Time{})), fault.NotFound, ""},
		"another's read":         {second(o.Secret(ctx, clerk, other.ID, made.Secret.ID)), fault.NotFound, ""},
		"made expired":           {second(o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Expires: past})), fault.InvalidRequest, "expires_at"},
		"rotated to expired":     {second(o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Expires: past})), fault.InvalidRequest, "expires_at"},
		"expired in the past":    {second(o.ExpireSecret(ctx, clerk, ref, past)), fault.InvalidRequest, "expires_at"},
		"overlap below zero":     {second(o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Overlap: -time.Second})), fault.InvalidRequest, "overlap_seconds"},
		"overlap of 1.5 seconds": {second(o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Overlap: 1500 * time.Millisecond})), fault.InvalidRequest, "overlap_seconds"},
		"overlap above a month": {
			second(o.RotateSecret(ctx, clerk, c.ID, registry.Rotation{Overlap: registry.MaxOverlap + time.Second})), fault.InvalidRequest, "overlap_seconds",
		},
		"list of nobody":   {second(o.ListSecrets(ctx, clerk, auth.NewClientID(time.Now()))), fault.NotFound, ""},
		"unknown disabled": {second(o.DisableSecret(ctx, clerk, auth.NewSecretID(time.Now()), true)), fault.NotFound, ""},
	} {
		if found := fault.From(tt.err); found == nil || found.Code != tt.want || found.Field != tt.at {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
}

// A client has at most ten secrets, unless the system makes it one more.
func TestTenSecrets(t *testing.T) {
	o := newOffice(t)
	ctx, c := t.Context(), o.client()
	actor := auth.Actor{Client: o.client().ID, Name: "operator", Scope: auth.ScopeSecretsWrite}
	add := func(a auth.Actor) error { return second(o.AddSecret(ctx, a, c.ID, registry.NewSecretRequest{})) }
	for range auth.MaxSecrets {
		o.must(add(actor))
	}
	if err := add(actor); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if err := second(o.RotateSecret(ctx, actor, c.ID, registry.Rotation{})); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
	o.must(add(clerk))
}

// Disabling a compromised secret reaches what was made with it, and with that, and so on, whatever became of it meanwhile.
func TestCompromisedReachesAllThatWasMade(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	made := []*registry.NewSecret{}
	var clients []*auth.Client
	by := clerk
	for range 4 {
		c := o.client()
		s, err := o.AddSecret(ctx, by, c.ID, registry.NewSecretRequest{})
		o.must(err)
		made, clients = append(made, s), append(clients, c)
		by.Credential = s.Secret.ID
	}
	bystander, err := o.AddSecret(ctx, clerk, clients[3].ID, registry.NewSecretRequest{})
	o.must(err)
	o.must(second(o.DisableSecret(ctx, clerk, made[1].Secret.ID, false)))
	var done *registry.SecretChange
	kinds := o.kinds(func() (err error) {
		done, err = o.DisableSecret(ctx, clerk, made[0].Secret.ID, true)
		return err
	})
	if diff := cmp.Diff([]auth.SecretID{made[2].Secret.ID, made[3].Secret.ID}, done.Reached); diff != "" {
		t.Error(diff)
	}
	want := map[auth.ChangeKind]int{auth.ClientChanged: 3, auth.RevokeCredential: 4}
	got := map[auth.ChangeKind]int{}
	for _, k := range kinds {
		got[k]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, c := range clients {
		s, err := o.Secret(ctx, clerk, c.ID, made[i].Secret.ID)
		if err != nil || s.Status != auth.Disabled {
			t.Error(i, s, err)
		}
	}
	if s, err := o.Secret(ctx, clerk, clients[3].ID, bystander.Secret.ID); err != nil || s.Status != auth.Active {
		t.Error(s, err)
	}
}

func TestImportedSecret(t *testing.T) {
	o := newOffice(t)
	ctx, c, value := t.Context(), o.client(), auth.PresentedSecret("brought-from-outside")
	if err := second(o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Value: value})); fault.From(err).Code != fault.Internal {
		t.Errorf("nothing hashes it, but %v", err)
	}
	o.Import = func(v auth.SecretValue) (string, error) { return fmt.Sprint("$argon2id$", len(v.Reveal())), nil }
	made, err := o.AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Value: value})
	if err != nil || made.Value != (auth.SecretValue{}) || made.Secret.Imported != "argon2id" || made.Secret.Hint != "" {
		t.Fatalf("%+v, %v", made, err)
	}
	o.must(o.store.View(ctx, func(tx auth.Tx) error {
		s, err := tx.Secrets().Secret(ctx, made.Secret.ID)
		if err == nil && (s.Imported != "$argon2id$20" || s.Hash != [32]byte{}) {
			t.Errorf("stored is %+v", s)
		}
		return err
	}))
}
