package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// finder reports leaks and may do nothing else.
func finder() auth.Actor { return officer("secrets:write") }

func by(s *auth.Secret) func(*auth.Secret) { return func(made *auth.Secret) { made.By = s.ID } }

func TestLeakedSecretReachesWhatItMade(t *testing.T) {
	d := newDesk(t)
	pipeline, orders, billing, stock := d.client("pipeline"), d.client("orders"), d.client("billing"), d.api("https://stock.example")
	leaked, value := d.secret(pipeline)
	child, _ := d.secret(orders, by(leaked))
	grandchild, _ := d.secret(billing, by(child))
	dead, _ := d.secret(orders, by(leaked), func(s *auth.Secret) { s.Status = auth.Disabled })
	sound, _ := d.secret(orders)
	refused := []*auth.Token{
		d.token(pipeline, stock, with(leaked)), d.token(orders, stock, with(child)), d.token(billing, stock, with(grandchild)),
		d.token(orders, stock, with(dead)),
	}
	good := d.token(orders, stock, with(sound))

	leak, err := d.ReportLeak(t.Context(), finder(), "\t"+value.Reveal()+" \n")
	d.must(err)
	want := &registry.Leak{
		Kind: registry.LeakedSecret, Client: pipeline.ID, Secret: leaked.ID, Revoked: registry.Hit{Tokens: 4, Exact: true},
		Reached: []auth.SecretID{child.ID, grandchild.ID},
	}
	if diff := cmp.Diff(want, leak); diff != "" {
		t.Error(diff)
	}
	d.refresh()
	for i, tok := range refused {
		if !d.directory.Denied(tok) {
			t.Errorf("token %d is not refused", i)
		}
	}
	if d.directory.Denied(good) {
		t.Error("the token of a sound secret is refused")
	}
	for _, s := range []*auth.Secret{leaked, child, grandchild, sound} {
		for _, known := range d.directory.Client(s.Client).Secrets {
			if known.ID == s.ID && known.Usable(time.Now()) != (s == sound) {
				t.Errorf("secret %s is %s", s.ID, known.Status)
			}
		}
	}
	event, after := d.last()
	if event.Action != "leak.report" || event.Target != leaked.ID.String() || after["revoked_tokens"] != 4.0 || after["status"] != "disabled" {
		t.Errorf("event is %+v", event)
	}
	reached, err := d.Events(t.Context(), auth.Actor{}, auth.AuditQuery{Target: grandchild.ID.String(), Limit: 10})
	if err != nil || len(reached) != 1 || reached[0].Action != "secret.disable" || !strings.Contains(reached[0].Changes, leaked.ID.String()) {
		t.Errorf("events of what was reached are %+v (%v)", reached, err)
	}
	if leak, err = d.ReportLeak(t.Context(), finder(), value.Reveal()); err != nil || leak.Revoked != (registry.Hit{Exact: true}) || leak.Reached != nil {
		t.Errorf("second report is %+v (%v)", leak, err)
	}
}

func TestLeakedSecretUnderAnOlderPepper(t *testing.T) {
	d := newDesk(t)
	s, value := d.secret(d.client("orders"))
	var older []byte
	d.view(func(tx auth.Tx) error {
		sealed, err := tx.Keys().SealedKeys(t.Context())
		if err == nil {
			opened, wrong := keys.OpenSealed(sealed, auth.PurposePepper, d.Master)
			older, err = opened[1], wrong
		}
		return err
	})
	both := auth.NewPeppers(map[uint32][]byte{1: older, 2: []byte("newer")})
	d.Peppers = func() *auth.Peppers { return both }
	if leak, err := d.ReportLeak(t.Context(), finder(), value.Reveal()); err != nil || leak.Secret != s.ID {
		t.Fatal(leak, err)
	}
}

// bearer is a token as somebody might find it, and its row.
func (d *desk) jwt(t *auth.Token, a *auth.API) string {
	d.Helper()
	ring, err := keys.NewRing(keys.Config{Issuer: "https://auth.example", Master: d.Master, Now: time.Now})
	d.must(err)
	d.view(func(tx auth.Tx) error {
		all, err := tx.Keys().SigningKeys(d.Context())
		if err == nil {
			err = ring.Load(all)
		}
		return err
	})
	text, _, err := ring.Sign(a.Algorithm, keys.Claims{
		ID: t.ID, Client: t.Client, Audience: a.Identifier, Scope: t.Scope, Issued: t.Issued, Expires: t.Expires, Revision: t.Revision, Credential: t.Credential,
	})
	d.must(err)
	return text
}

func TestLeakedToken(t *testing.T) {
	for name, alg := range map[string]auth.Algorithm{"ES256": auth.ES256, "EdDSA": auth.EdDSA, "opaque": ""} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			c := d.client("orders")
			a := d.api("https://stock.example", func(a *auth.API) {
				if a.Algorithm = alg; alg == "" {
					a.Algorithm, a.Format = auth.ES256, auth.Opaque
				}
			})
			var value string
			issued := d.token(c, a, func(t *auth.Token) {
				if alg == "" {
					value, t.Proof = auth.MintOpaque(t.ID)
				}
			})
			if alg != "" {
				value = d.jwt(issued, a)
			}
			for _, hit := range []int64{1, 0} {
				changes := d.changes(func() {
					leak, err := d.ReportLeak(t.Context(), finder(), value)
					want := &registry.Leak{Kind: registry.LeakedToken, Client: c.ID, Token: issued.ID, Revoked: registry.Hit{Tokens: hit, Exact: true}}
					if diff := cmp.Diff(want, leak); diff != "" || err != nil {
						t.Errorf("%v\n%s", err, diff)
					}
				})
				if int64(len(changes)) != hit {
					t.Errorf("changes are %+v", changes)
				}
			}
			if !d.directory.Denied(issued) {
				t.Error("the token is not refused")
			}
			if event, after := d.last(); event.Action != "leak.report" || event.Target != issued.ID.String() || after["client_id"] != c.ID.String() {
				t.Errorf("event is %+v", event)
			}
		})
	}
}

// What was not made by this server changes nothing, however much it looks as if it was.
func TestUnknownLeak(t *testing.T) {
	d, foreign := newDesk(t), newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	issued := d.token(c, a)
	_, proof := auth.MintOpaque(issued.ID)
	opaque := d.token(c, a, func(t *auth.Token) { t.Proof = proof })
	forged, _ := auth.MintOpaque(opaque.ID)
	genuine := strings.Split(d.jwt(issued, a), ".")
	other := strings.Split(d.jwt(d.token(c, a), a), ".")
	unissued, _ := auth.MintOpaque(auth.NewTokenID(time.Now(), time.Now().Add(time.Hour)))
	jwtOfOpaque, _ := auth.MintOpaque(issued.ID)
	for name, value := range map[string]string{
		"words":                        "hunter2 is not a secret of ours",
		"unknown secret":               auth.NewSecretValue().Reveal(),
		"forged opaque token":          forged,
		"opaque token never issued":    unissued,
		"opaque token of a JWT's id":   jwtOfOpaque,
		"JWT of another server":        foreign.jwt(issued, a),
		"JWT with another's signature": genuine[0] + "." + genuine[1] + "." + other[2],
		"JWT without signature":        genuine[0] + "." + genuine[1] + ".",
		"JWT with a part too many":     strings.Join(genuine, ".") + ".",
		"id of a token":                issued.ID.String(),
	} {
		t.Run(name, func(t *testing.T) {
			changes := d.changes(func() {
				leak, err := d.ReportLeak(t.Context(), finder(), value)
				if diff := cmp.Diff(&registry.Leak{Kind: registry.LeakUnknown, Revoked: registry.Hit{Exact: true}}, leak); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
			})
			if len(changes) != 0 {
				t.Errorf("changed %+v", changes)
			}
		})
	}
	for name, value := range map[string]string{"nothing": " \n", "too long": strings.Repeat("x", registry.MaxLeak+1)} {
		if _, err := d.ReportLeak(t.Context(), finder(), value); !errors.Is(err, fault.InvalidRequest) || fault.From(err).Field != "value" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeakIsNotWrittenDown(t *testing.T) {
	d := newDesk(t)
	c, a := d.client("orders"), d.api("https://stock.example")
	s, secret := d.secret(c)
	var presented string
	d.token(c, a, with(s), func(t *auth.Token) { presented, t.Proof = auth.MintOpaque(t.ID) })
	for _, value := range []string{secret.Reveal(), presented, d.jwt(d.token(c, a), a)} {
		if _, err := d.ReportLeak(t.Context(), finder(), value); err != nil {
			t.Fatal(err)
		}
		found, err := d.Events(t.Context(), auth.Actor{}, auth.AuditQuery{Limit: 100})
		d.must(err)
		for _, e := range found {
			if text := e.Target + e.Changes; strings.Contains(text, value[len(value)-20:]) || strings.Contains(text, value[:24]) {
				t.Errorf("the audit log holds what leaked: %s", text)
			}
		}
	}
}

// The last administrator's secret is disabled like any other: whoever reports it could use it.
func TestLeakOfTheLastAdministrator(t *testing.T) {
	d := newDesk(t)
	var own *auth.API
	d.view(func(tx auth.Tx) (err error) {
		own, err = tx.APIs().APIByIdentifier(t.Context(), auth.AdminAPI)
		return err
	})
	admin := d.client("admin")
	d.grant(admin, own, own.ScopeNames()...)
	s, value := d.secret(admin)
	leak, err := d.ReportLeak(t.Context(), finder(), value.Reveal())
	if err != nil || leak.Secret != s.ID {
		t.Fatal(leak, err)
	}
}
