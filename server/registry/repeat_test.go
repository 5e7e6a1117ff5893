package registry_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

const key = "idempotency-key-0001"

func (o office) repeat(actor auth.Actor, call, key, body string) *registry.Repeat {
	o.Helper()
	r, err := registry.NewRepeat(actor, call, key, []byte(body))
	o.must(err)
	return r
}

// office at a time that the test sets.
func newOfficeAt(t *testing.T, now *time.Time) office {
	t.Helper()
	o := newOffice(t)
	o.Now = func() time.Time { return *now }
	return o
}

// values lets two answers be compared, secrets included.
var values = cmp.Comparer(func(a, b auth.SecretValue) bool { return a.Reveal() == b.Reveal() }) //nolint:gochecknoglobals // an option of a test

// A part that Once forgot is a rule that does not hold for whoever sends an Idempotency-Key.
func TestOnceKeepsEveryPart(t *testing.T) {
	r := &registry.Registry{}
	parts := reflect.ValueOf(r).Elem()
	for i := range parts.NumField() {
		if part := parts.Type().Field(i); part.IsExported() && part.Type.Kind() == reflect.Func {
			parts.Field(i).Set(reflect.MakeFunc(part.Type, func([]reflect.Value) []reflect.Value { panic("not called") }))
		}
	}
	r.Store, r.Ledger, r.Imported = struct{ auth.Store }{}, struct{ auth.Ledger }{}, struct{ auth.Imported }{}
	var err error
	if r.Master, err = seal.ParseKey("cs_master_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"); err != nil {
		t.Fatal(err)
	}
	once := reflect.ValueOf(r.Once(nil)).Elem()
	for i := range once.NumField() {
		part := once.Type().Field(i)
		if !part.IsExported() {
			continue
		}
		if parts.Field(i).IsZero() {
			t.Errorf("%s: this test does not set it", part.Name)
		} else if once.Field(i).IsZero() {
			t.Errorf("%s: Once forgot it", part.Name)
		}
	}
}

func TestRepeatedCallIsAnsweredAlike(t *testing.T) {
	now := time.Now()
	o := newOfficeAt(t, &now)
	ctx, c := t.Context(), o.client()
	once := func() *registry.Registry { return o.Once(o.repeat(clerk, "POST /secrets", key, "{}")) }
	first, err := once().AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Expires: now.Add(time.Hour)})
	o.must(err)
	if !first.Value.WellFormed() {
		t.Fatal("no secret")
	}
	position := o.position()
	for _, tt := range []struct {
		after time.Duration
		value bool
	}{
		{0, true},
		{registry.SecretReplayed - time.Second, true},
		{registry.SecretReplayed, false},
		{time.Hour, false},
	} {
		now = first.Secret.Created.Add(tt.after)
		again, err := once().AddSecret(ctx, clerk, c.ID, registry.NewSecretRequest{Expires: now.Add(time.Hour)})
		o.must(err)
		want := *first
		if !tt.value {
			want.Value = auth.SecretValue{}
		}
		if diff := cmp.Diff(&want, again, values); diff != "" {
			t.Errorf("after %s: %s", tt.after, diff)
		}
	}
	if o.position() != position {
		t.Error("a repeated call changed something")
	}
	secrets, err := o.ListSecrets(ctx, clerk, c.ID)
	if err != nil || len(secrets) != 1 {
		t.Error(secrets, err)
	}
}

// Neither the secret nor the key can be read from the database.
func TestReplayHoldsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := officeAt(t, path)
	made, err := o.Once(o.repeat(clerk, "POST /secrets", key, "{}")).AddSecret(t.Context(), clerk, o.client().ID, registry.NewSecretRequest{})
	o.must(err)
	o.must(o.store.Close())
	files, err := filepath.Glob(path + "*")
	o.must(err)
	remembered := false
	for _, file := range files {
		content, err := os.ReadFile(file)
		o.must(err)
		for _, text := range []string{made.Value.Reveal()[len("cs_secret_"):][:20], key} {
			if strings.Contains(string(content), text) {
				t.Errorf("%s tells %q", file, text)
			}
		}
		remembered = remembered || strings.Contains(string(content), `{"Secret":{"ID":"`+made.Secret.ID.String())
	}
	if !remembered {
		t.Error("no answer is remembered")
	}
}

// Calls that differ in who, what or key have nothing to do with each other; those that differ in the body alone are a mistake.
func TestRepeatsAreToldApart(t *testing.T) {
	o := newOffice(t)
	other := auth.Actor{Client: o.client().ID, Name: "other", Scope: auth.ScopeClientsWrite}
	create := func(actor auth.Actor, name string, r *registry.Repeat) (*auth.Client, error) {
		return o.Once(r).CreateClient(t.Context(), actor, auth.Client{Name: name})
	}
	first, err := create(clerk, "a", o.repeat(clerk, "POST /clients", key, "a"))
	o.must(err)
	for i, tt := range []struct {
		actor           auth.Actor
		call, key, body string
		same            bool
		want            fault.Code
	}{
		{clerk, "POST /clients", key, "a", true, ""},
		{clerk, "POST /clients", key, "b", false, fault.Mismatch},
		{clerk, "POST /clients", key + "x", "a", false, ""},
		{clerk, "POST /client", "s" + key, "a", false, ""},
		{other, "POST /clients", key, "a", false, ""},
		{other, "POST /clients", key, "b", false, fault.Mismatch},
	} {
		repeat := o.repeat(tt.actor, tt.call, tt.key, tt.body)
		got, err := create(tt.actor, string(rune('b'+i)), repeat)
		if code(err) != tt.want {
			t.Errorf("%d: %v, want %q", i, err, tt.want)
		}
		if err == nil && (got.ID == first.ID) != tt.same || repeat.Replayed() != tt.same {
			t.Errorf("%d: same is %t, replayed %t", i, got.ID == first.ID, repeat.Replayed())
		}
	}
}

// A call that failed is carried out when it is sent again.
func TestFailureIsNotRemembered(t *testing.T) {
	o := newOffice(t)
	ctx, taken := t.Context(), o.client()
	again := func() error {
		r := o.repeat(clerk, "POST /clients", key, "{}")
		return second(o.Once(r).CreateClient(ctx, clerk, auth.Client{Name: taken.Name}))
	}
	if err := again(); !errors.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	o.must(second(o.DeleteClient(ctx, clerk, taken.ID, registry.Any)))
	o.must(again())
}

// Who may no longer do it is refused even what was done once.
func TestRepeatNeedsTheScope(t *testing.T) {
	o := newOffice(t)
	actor := auth.Actor{Client: o.client().ID, Name: "operator", Scope: auth.ScopeClientsWrite}
	call := func() error {
		r := o.repeat(actor, "POST /clients", key, "{}")
		return second(o.Once(r).CreateClient(t.Context(), actor, auth.Client{Name: "made"}))
	}
	o.must(call())
	actor.Scope = auth.ScopeClientsRead
	if err := call(); !errors.Is(err, fault.InsufficientScope) {
		t.Error(err)
	}
}

func TestSecondCallWhileTheFirstIsUnderWay(t *testing.T) {
	o := newOffice(t)
	ctx, c := t.Context(), o.client()
	begun, finish, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		r := o.repeat(clerk, "POST /edit", key, "{}")
		ended <- second(o.Once(r).UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) {
			c.Owner = "first"
			close(begun)
			<-finish
		})}))
	}()
	<-begun
	second := func(key string) error {
		r := o.repeat(clerk, "POST /edit", key, "{}")
		_, err := o.Once(r).UpdateClient(ctx, clerk, c.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) { c.Owner = "second" })})
		return err
	}
	if err := second(key); !errors.Is(err, fault.Conflict) || fault.From(err).Field != "Idempotency-Key" {
		t.Error(err)
	}
	close(finish)
	o.must(<-ended)
	o.must(second(key))
	if got, err := o.Client(ctx, clerk, c.ID); err != nil || got.Owner != "first" {
		t.Error(got, err)
	}
	o.must(second(key + " another"))
}

// However many instances are sent the same call at once, it is carried out by one of them.
func TestRepeatAcrossInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	offices := []office{officeAt(t, path), officeAt(t, path)}
	c := offices[0].client()
	var mu sync.Mutex
	answers, busy := map[string]int{}, 0
	var calls sync.WaitGroup
	for i := range 20 {
		o := offices[i%2]
		r := o.repeat(clerk, "POST /secrets", key, "{}")
		calls.Go(func() {
			made, err := o.Once(r).AddSecret(t.Context(), clerk, c.ID, registry.NewSecretRequest{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				answers[made.Value.Reveal()]++
			case errors.Is(err, fault.Conflict):
				busy++
			default:
				t.Error(err)
			}
		})
	}
	calls.Wait()
	secrets, err := offices[0].ListSecrets(t.Context(), clerk, c.ID)
	if err != nil || len(secrets) != 1 || len(answers) != 1 {
		t.Errorf("%d secrets, %d answers, %d told to wait, %v", len(secrets), len(answers), busy, err)
	}
}
