package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// A secret that is wanted is made once, and one from outside is taken over once.
func TestDeclaredSecrets(t *testing.T) {
	onEachWorld(t, func(w world) {
		own := auth.NewSecretValue()
		doc := &registry.Document{Clients: []registry.DeclaredClient{
			{Name: "made", Secret: &registry.DeclaredSecret{Generate: true}},
			{Name: "brought", Secret: &registry.DeclaredSecret{Value: auth.PresentedSecret("correct-horse-battery")}},
			{Name: "kept", Secret: &registry.DeclaredSecret{Value: own}},
		}}
		before := w.head()
		done := w.apply(doc, false)
		if len(done.Secrets) != 1 || done.Secrets[0].Name != "made" || !done.Secrets[0].Value.WellFormed() {
			w.Fatalf("made %+v", done.Secrets)
		}
		if diff := cmp.Diff([]string{"add secret made", "add secret brought", "add secret kept"}, lines(&done.Plan)[3:]); diff != "" {
			w.Error(diff)
		}
		if p := w.plan(doc, false); len(p.Steps) > 0 {
			w.Errorf("once more would change %q", lines(p))
		}
		w.holdsNoSecret(before, done.Secrets[0].Value.Reveal(), own.Reveal(), "correct-horse-battery")

		// What cannot be used any more is made again, but what was withdrawn is not brought back.
		_, err := w.DisableSecret(w.Context(), system(), done.Secrets[0].Secret, false)
		w.must(err)
		doc.Clients[1].Secret.Value = auth.PresentedSecret("another-horse-battery")
		if diff := cmp.Diff([]string{"add secret made", "add secret brought"}, lines(&w.apply(doc, false).Plan)); diff != "" {
			w.Error(diff)
		}
		for _, name := range []string{"brought", "kept"} {
			c, err := w.ClientByName(w.Context(), system(), name)
			w.must(err)
			secrets, err := w.ListSecrets(w.Context(), system(), c.ID)
			w.must(err)
			for _, s := range secrets {
				_, err := w.DisableSecret(w.Context(), system(), s.ID, false)
				w.must(err)
			}
		}
		_, err = w.Plan(w.Context(), system(), doc, false)
		found, ok := errors.AsType[*registry.DocumentError](err)
		if !ok || found.Count != 2 || found.Wrong[0].Pointer != "/clients/1/secret/value" || found.Wrong[1].Pointer != "/clients/2/secret/value" {
			w.Errorf("error %v", err)
		}
	})
}

// holdsNoSecret looks for secrets in what the audit log holds after the event with the number.
func (w world) holdsNoSecret(after uint64, secrets ...string) {
	w.Helper()
	w.must(w.store.View(w.Context(), func(tx auth.Tx) error {
		events, err := tx.Audit().ListEvents(w.Context(), auth.AuditQuery{After: after, Limit: 1000})
		for _, e := range events {
			for _, s := range secrets {
				if strings.Contains(e.Changes, s) {
					w.Errorf("the record of %s holds a secret", e.Action)
				}
			}
		}
		return err
	}))
}

func TestDeclaredSecretOfAFullClient(t *testing.T) {
	w := sqliteWorld(t)
	c, err := w.CreateClient(t.Context(), system(), auth.Client{Name: "full"})
	w.must(err)
	for range auth.MaxSecrets {
		made, err := w.AddSecret(t.Context(), system(), c.ID, registry.NewSecretRequest{})
		w.must(err)
		_, err = w.DisableSecret(t.Context(), system(), made.Secret.ID, false)
		w.must(err)
	}
	_, err = w.Plan(t.Context(), system(), &registry.Document{Clients: []registry.DeclaredClient{{Name: "full", Secret: &registry.DeclaredSecret{Generate: true}}}}, false)
	if found, ok := errors.AsType[*registry.DocumentError](err); !ok || found.Wrong[0].Pointer != "/clients/0/secret" {
		t.Errorf("error %v", err)
	}
}

// A call that is sent again gets the first answer with the secrets, whatever has become of the plan.
func TestApplyIsRepeated(t *testing.T) {
	w := sqliteWorld(t)
	doc := shop()
	doc.Clients[0].Secret = &registry.DeclaredSecret{Generate: true}
	digest := w.plan(doc, false).Digest
	apply := func(body string) (*registry.Applied, error) {
		repeat, err := registry.NewRepeat(system(), "POST /apply", "0123456789abcdef", []byte(body))
		w.must(err)
		return w.Once(repeat).Apply(t.Context(), system(), doc, registry.ApplyOptions{Digest: digest})
	}
	first, err := apply("body")
	w.must(err)
	before := w.head()
	second, err := apply("body")
	w.must(err)
	if w.head() != before {
		t.Error("it was done twice")
	}
	if diff := cmp.Diff(lines(&first.Plan), lines(&second.Plan)); diff != "" {
		t.Error(diff)
	}
	if len(second.Secrets) != 1 || second.Secrets[0] != first.Secrets[0] || second.Secrets[0].Value.Reveal() == "" {
		t.Error("the second answer has other secrets")
	}
	if _, err := apply("other"); !errors.Is(err, fault.Mismatch) {
		t.Errorf("another body: %v", err)
	}
}
