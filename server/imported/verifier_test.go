package imported_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/imported"
)

// world is a Verifier on a clock that a test sets.
type world struct {
	*testing.T
	*imported.Verifier

	client  auth.ClientID
	now     time.Time
	metrics *prometheus.Registry
}

func newWorld(t *testing.T, c imported.Config) *world {
	t.Helper()
	w := &world{T: t, now: time.Now(), metrics: prometheus.NewRegistry(), client: auth.NewClientID(time.Now())}
	c.Now, c.Registerer = func() time.Time { return w.now }, w.metrics
	var err error
	if w.Verifier, err = imported.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// secrets makes one of each value.
func secrets(t testing.TB, values ...string) (all []*auth.Secret) {
	t.Helper()
	for _, v := range values {
		phc, err := imported.Hash(auth.PresentedSecret(v))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &auth.Secret{ID: auth.NewSecretID(time.Now()), Imported: phc})
	}
	return all
}

func (w *world) match(text string, all []*auth.Secret) (*auth.Secret, error) {
	return w.Match(w.Context(), w.client, auth.PresentedSecret(text), all)
}

// counted is how many checks had an outcome.
func (w *world) counted(outcome string) (n float64) {
	w.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == outcome {
			return m.GetCounter().GetValue()
		}
	}
	w.Fatalf("no outcome %s", outcome)
	return 0
}

func TestMatch(t *testing.T) {
	w := newWorld(t, imported.Config{})
	all := append(secrets(t, "another-value-of-it"), &auth.Secret{ID: auth.NewSecretID(time.Now()), Imported: foreign})
	for range 3 {
		if found, err := w.match(value, all); err != nil || found != all[1] {
			t.Fatalf("found %v, %v", found, err)
		}
	}
	if computed, remembered := w.counted("matched"), w.counted("remembered"); computed != 1 || remembered != 2 {
		t.Errorf("computed %v times, remembered %v times", computed, remembered)
	}
	for name, tt := range map[string]struct {
		value string
		all   []*auth.Secret
	}{
		"wrong":                                  {value + "s", all},
		"the secret it belongs to is not given":  {value, all[:1]},
		"none given":                             {value, nil},
		"a hash is no value":                     {foreign, all},
		"remembered for another hash of another": {value, secrets(t, "something-quite-different")},
	} {
		if found, err := w.match(tt.value, tt.all); err != nil || found != nil {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
	}
}

// A client that starts with many requests at once pays once, and is not taken for one that guesses.
func TestMatchIsShared(t *testing.T) {
	w := newWorld(t, imported.Config{})
	all := secrets(t, value)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if found, err := w.match(value, all); err != nil || found != all[0] {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
	callers.Wait()
	if n := w.counted("matched"); n != 1 {
		t.Errorf("computed %v times", n)
	}
}

func TestGuessingIsSlow(t *testing.T) {
	w := newWorld(t, imported.Config{})
	all := secrets(t, value)
	if found, err := w.match(value, all); err != nil || found == nil {
		t.Fatalf("found %v, %v", found, err)
	}
	guess := func(n int) error {
		_, err := w.match("guess-of-an-attacker-"+strconv.Itoa(n), all)
		return err
	}
	for n := range 9 { // and the one above
		if err := guess(n); err != nil {
			t.Fatalf("guess %d: %v", n, err)
		}
	}
	err := guess(9)
	if !errors.Is(err, fault.TooMany) || fault.From(err).RetryAfter <= 0 || fault.From(err).RetryAfter > time.Second {
		t.Errorf("error %v, to be repeated after %v", err, fault.From(err).RetryAfter)
	}
	if found, err := w.match(value, all); err != nil || found == nil {
		t.Errorf("who knows the secret is kept out: %v", err)
	}
	other := *w
	other.client = auth.NewClientID(time.Now())
	if _, err := other.match("guess-of-an-attacker", all); err != nil {
		t.Errorf("another client: %v", err)
	}
	w.now = w.now.Add(time.Second)
	for n := range 5 {
		if err := guess(100 + n); err != nil {
			t.Errorf("a second later, guess %d: %v", n, err)
		}
	}
	if err := guess(200); !errors.Is(err, fault.TooMany) {
		t.Errorf("a second later: %v", err)
	}
}

// A request costs no more than the secrets that a client can have, and all of them can be tried.
func TestManySecrets(t *testing.T) {
	w := newWorld(t, imported.Config{})
	all := secrets(t, value)
	for len(all) < auth.MaxSecrets+1 {
		all = append([]*auth.Secret{{ID: auth.NewSecretID(time.Now()), Imported: strings.Replace(foreign, "tWRw", "aaaa", 1)}}, all...)
	}
	if found, err := w.match(value, all[1:]); err != nil || found != all[auth.MaxSecrets] {
		t.Errorf("found %v, %v", found, err)
	}
	w.now = w.now.Add(time.Minute)
	if found, err := w.match(value, all); err != nil || found != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestNoRoom(t *testing.T) {
	w := newWorld(t, imported.Config{Parallel: 1, Wait: time.Millisecond})
	slow := secrets(t, value)
	for len(slow) < auth.MaxSecrets {
		slow = append(slow, &auth.Secret{ID: auth.NewSecretID(time.Now()), Imported: strings.Replace(foreign, "tWRw", "aaaa", 1)})
	}
	var callers sync.WaitGroup
	results := make(chan error, 4)
	for range cap(results) {
		caller := *w
		caller.client = auth.NewClientID(time.Now())
		callers.Go(func() {
			_, err := caller.match("another-value-of-it", slow)
			results <- err
		})
	}
	callers.Wait()
	close(results)
	served := 0
	for err := range results {
		if err == nil {
			served++
		} else if !errors.Is(err, fault.Unavailable) {
			t.Errorf("error %v", err)
		}
	}
	if served == 0 || w.counted("busy") != float64(cap(results)-served) || w.counted("busy") == 0 {
		t.Errorf("%d were served, %v were not", served, w.counted("busy"))
	}
}

// What cannot be read is no verdict, unless another secret matches.
func TestBrokenHash(t *testing.T) {
	w := newWorld(t, imported.Config{})
	broken := &auth.Secret{ID: auth.NewSecretID(time.Now()), Imported: "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"}
	all := append([]*auth.Secret{broken}, secrets(t, value)...)
	if found, err := w.match(value, all); err != nil || found != all[1] {
		t.Errorf("found %v, %v", found, err)
	}
	found, err := w.match("another-value-of-it", all)
	if found != nil || err == nil || fault.From(err).Code != fault.Internal || !strings.Contains(err.Error(), broken.ID.String()) {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestCallerWhoLeaves(t *testing.T) {
	w := newWorld(t, imported.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all := secrets(t, value)
	if _, err := w.Match(ctx, w.client, auth.PresentedSecret(value), all); err != nil && !errors.Is(err, fault.Unavailable) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkMatch(b *testing.B) {
	all := secrets(b, value)
	presented := auth.PresentedSecret(value)
	v, err := imported.New(imported.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if found, err := v.Match(b.Context(), auth.ClientID{}, presented, all); found == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("argon2id", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := imported.Hash(presented); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Who brings many secrets at once neither fills the memory nor keeps a client from authenticating.
func TestHashIsBounded(t *testing.T) {
	w := newWorld(t, imported.Config{Parallel: 1, Wait: time.Millisecond})
	all := secrets(t, value)
	outcomes := make(chan error)
	for range 20 {
		go func() {
			_, err := w.Hash(auth.PresentedSecret(value))
			outcomes <- err
		}()
	}
	if _, err := w.match(value, all); err != nil {
		t.Error(err)
	}
	made, refused := 0, 0
	for range 20 {
		switch err := <-outcomes; {
		case err == nil:
			made++
		case errors.Is(err, fault.Unavailable):
			refused++
		default:
			t.Error(err)
		}
	}
	if made == 0 || refused == 0 {
		t.Errorf("%d made, %d refused", made, refused)
	}
	if phc, err := w.Hash(auth.PresentedSecret(value)); err != nil || phc == "" {
		t.Error(phc, err)
	}
}
