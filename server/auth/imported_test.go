package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const brought = "horse-battery-staple"

// imported knows values by a hash that is plain to see, and remembers what was asked of it.
type imported struct {
	err   error
	asked []string
}

func (i *imported) Match(_ context.Context, _ auth.ClientID, v auth.SecretValue, secrets []*auth.Secret) (found *auth.Secret, err error) {
	for _, s := range secrets {
		i.asked = append(i.asked, s.Imported)
		if s.Imported == "hash of "+v.Reveal() {
			found = s
		}
	}
	return found, i.err
}

func TestImportedSecrets(t *testing.T) {
	outside := func(value string, change func(*auth.Secret)) *auth.Secret {
		s := &auth.Secret{ID: auth.NewSecretID(start), Imported: "hash of " + value, Status: auth.Active}
		if change != nil {
			change(s)
		}
		return s
	}
	for _, tt := range []struct {
		name   string
		change func(*world, *imported)
		send   string // brought unless set
		frugal bool
		want   error
		reason string
		asked  []string
	}{
		{name: "right", asked: []string{"hash of other", "hash of " + brought}},
		{name: "wrong: each is tried once, however often the client is looked up", send: "horse-battery-maple", want: fault.InvalidClient, reason: auth.WrongSecret, asked: []string{"hash of other", "hash of " + brought}},
		{name: "made a moment ago elsewhere", change: func(w *world, _ *imported) {
			all := w.record().Secrets
			w.record().Secrets = all[:len(all)-1]
			w.onCatchUp = func() error { w.record().Secrets = all; return nil }
		}, asked: []string{"hash of other", "hash of " + brought}},
		{name: "disabled", change: func(w *world, _ *imported) { w.record().Secrets[3].Status = auth.Disabled }, want: fault.InvalidClient, reason: auth.WrongSecret, asked: []string{"hash of other"}},
		{name: "expired", change: func(w *world, _ *imported) { w.record().Secrets[3].Expires = w.now }, want: fault.InvalidClient, reason: auth.WrongSecret, asked: []string{"hash of other"}},
		{name: "disabled client", change: func(w *world, _ *imported) { w.record().Client.Status = auth.Disabled }, want: fault.InvalidClient, reason: auth.DisabledClient},
		{name: "no room", change: func(_ *world, i *imported) { i.err = fault.New(fault.Unavailable, "busy") }, want: fault.Unavailable, asked: []string{"hash of other", "hash of " + brought}},
		{name: "too many", change: func(_ *world, i *imported) { i.err = fault.New(fault.TooMany, "slow down") }, want: fault.TooMany, reason: auth.TooMany, asked: []string{"hash of other", "hash of " + brought}},
		{name: "frugal", frugal: true, want: fault.InvalidClient, reason: auth.TooMany},
		{name: "no imported secrets", change: func(w *world, _ *imported) { w.record().Secrets = w.record().Secrets[:2] }, want: fault.InvalidClient, reason: auth.Malformed},
		{name: "one of ours is none of theirs", send: auth.NewSecretValue().Reveal(), want: fault.InvalidClient, reason: auth.WrongSecret},
		{name: "too short to be one", send: "horse", want: fault.InvalidClient, reason: auth.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, outsiders := newWorld(), &imported{}
			w.record().Secrets = append(w.record().Secrets, outside("other", nil), outside(brought, nil))
			if tt.change != nil {
				tt.change(w, outsiders)
			}
			if tt.send == "" {
				tt.send = brought
			}
			a := w.authenticator()
			a.Imported = outsiders
			caller, err := a.Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: auth.PresentedSecret(tt.send), Method: auth.SecretBasic, Frugal: tt.frugal})
			if !errors.Is(err, tt.want) || err == nil && caller.Credential != w.record().Secrets[3].ID {
				t.Errorf("caller %+v, error %v", caller, err)
			}
			if refusal, _ := errors.AsType[*auth.Refusal](err); refusal != nil && refusal.Reason != tt.reason || refusal == nil && tt.reason != "" {
				t.Errorf("the log learns %v, want %s", refusal, tt.reason)
			}
			if diff := cmp.Diff(tt.asked, outsiders.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A server that cannot check imported secrets lets nobody in by them, whatever their other fields are.
func TestImportedSecretsThatNobodyChecks(t *testing.T) {
	w := newWorld()
	hash, version := w.peppers.Hash(w.secret)
	w.record().Secrets = []*auth.Secret{{ID: auth.NewSecretID(start), Imported: "hash of " + brought, Hash: hash, Pepper: version, Status: auth.Active}}
	for _, value := range []auth.SecretValue{auth.PresentedSecret(brought), w.secret} {
		_, err := w.authenticator().Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: value, Method: auth.SecretBasic})
		if !errors.Is(err, fault.InvalidClient) {
			t.Errorf("error %v", err)
		}
	}
}

func TestImportable(t *testing.T) {
	for value, want := range map[string]bool{
		brought:                               true,
		strings.Repeat("a", 15):               false,
		strings.Repeat("a", 16):               true,
		strings.Repeat("a", 256):              true,
		strings.Repeat("a", 257):              false,
		"horse battery staple":                false,
		"horse\x7fbattery-staple":             false,
		"horse-bätterie-staple":               false,
		"":                                    false,
		auth.NewSecretValue().Reveal():        false,
		"cs_secret_" + strings.Repeat("a", 9): false,
	} {
		if got := auth.PresentedSecret(value).Importable(); got != want {
			t.Errorf("%q: %t, want %t", value, got, want)
		}
	}
}

// A secret that expired does not hide that another with the same value is good.
func TestUsableSecretIsPreferred(t *testing.T) {
	w := newWorld()
	twin := *w.record().Secrets[1]
	twin.ID, twin.Expires = auth.NewSecretID(start), w.now.Add(-time.Hour)
	good := w.record().Secrets[1]
	for _, secrets := range [][]*auth.Secret{{&twin, good}, {good, &twin}} {
		w.record().Secrets = secrets
		caller, err := w.authenticator().Authenticate(t.Context(), auth.Credentials{ClientID: w.client.String(), Secret: w.secret, Method: auth.SecretBasic})
		if err != nil || caller.Credential != good.ID {
			t.Errorf("caller %+v, error %v", caller, err)
		}
	}
}
