package revocation_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// saved is a snapshot of 5.9 that was 250 ms old when it was saved.
const saved = `{"generation":"5","seq":9,"age_ms":250,"snapshot":true,"entries":[{"seq":1,"kind":"token","jti":"a","exp":946688400},` +
	`{"seq":2,"kind":"grant","client_id":"cl","aud":"https://api","exp":946688400},{"seq":3,"kind":"api","aud":"urn:x","exp":946688400},` +
	`{"seq":4,"kind":"client","client_id":"c2","exp":946688400},{"seq":5,"kind":"credential","cs_sec":"s2","exp":946688400},` +
	`{"seq":6,"kind":"key","kid":"k2"},{"seq":7,"kind":"all","exp":1},{"seq":8,"kind":"tenant","exp":946688400},{"seq":9,"kind":"token"}]}`

func TestExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := revocation.New(revocation.Config{})
		if _, ok := f.Export(); ok {
			t.Error("something to export before there is a snapshot")
		}
		if err := f.Restore([]byte(saved), 0); err != nil {
			t.Fatal(err)
		}
		if text, ok := f.Export(); !ok || string(text) != saved {
			t.Errorf("exported as\n%s", text)
		}
	})
}

// TestRestored: what was saved a minute ago tells what is refused, and renews no lease.
func TestRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, stream := streaming()
		i.fails(errors.New("cut"))
		f := revocation.New(i.config())
		if err := f.Restore([]byte(saved), time.Minute); err != nil {
			t.Fatal(err)
		}
		check := func(since time.Duration) {
			t.Helper()
			if age, ok := f.Good(time.Now()); !ok || age != time.Minute+250*time.Millisecond+since || f.Lease(time.Now()) {
				t.Errorf("age %v, lease %v", age, f.Lease(time.Now()))
			}
			if s := f.Describe(); f.Version() == 0 || !f.Refuses(token(0)) || f.Refuses(token(7)) || s.Sequence < 9 {
				t.Errorf("%+v", s)
			}
		}
		check(0)
		run(t, f, func() {
			if err := f.Ready(t.Context()); err != nil || i.seen().cursors[0] != "5.9" || i.seen().from[0] != "5.9" {
				t.Errorf("%v; asked from %q, stream from %q", err, i.seen().cursors, i.seen().from)
			}
			write(t, stream(), event("5.12", of("5", 12, false, 0, "f12")))
			time.Sleep(10 * time.Second)
			check(10 * time.Second)
			if !f.Refuses(&revocation.Subject{TokenID: "f", Revision: 11}) {
				t.Error("what the stream brings while polls fail is not refused")
			}
			// The entry of an unknown kind was saved too, and still keeps the lease from being renewed.
			i.answers(of("5", 12, false, 0))
			time.Sleep(3 * time.Second)
			if f.Lease(time.Now()) || !errors.Is(f.Err(), revocation.ErrUnknownKind) {
				t.Errorf("%v", f.Err())
			}
			i.answers(of("5", 12, true, 0))
			time.Sleep(bound / 2)
			if !f.Lease(time.Now()) || f.Err() != nil {
				t.Errorf("%+v", f.Describe())
			}
		})
	})
}

// TestSavedByAnother: the feed has another generation by now. What it answers is newer, unless it is older than what was saved.
func TestSavedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := new(issuer)
		i.answers(of("6", 2, true, 5*time.Minute), of("6", 2, true, time.Second, "b2"))
		f := revocation.New(i.config())
		if err := f.Restore([]byte(of("5", 9, true, 0, "a9")), time.Minute); err != nil {
			t.Fatal(err)
		}
		run(t, f, func() {
			if f.Err() == nil || refused(f) != "aA" {
				t.Errorf("refused: %q, %v", refused(f), f.Err())
			}
			time.Sleep(bound)
			if f.Err() != nil || refused(f) != "b" {
				t.Errorf("refused: %q, %v", refused(f), f.Err())
			}
		})
	})
}

func TestRestoreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		savedAge   time.Duration
	}{
		{"in the future", saved, -1},
		{"too long ago", saved, 1<<63 - 1},
		{"half of it", saved[:len(saved)/2], 0},
		{"no snapshot", of("5", 9, false, 0), 0},
		{"no age", `{"generation":"5","seq":9,"snapshot":true,"entries":[]}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := revocation.New(revocation.Config{})
			if err := f.Restore([]byte(tt.text), tt.savedAge); err == nil || f.Version() != 0 {
				t.Errorf("%v, version %d", err, f.Version())
			}
			if _, ok := f.Good(time.Now()); ok {
				t.Error("good")
			}
		})
	}
	t.Run("after an answer", func(t *testing.T) {
		i := new(issuer)
		i.answers(of("5", 12, true, 0, "b12"))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			if err := f.Restore([]byte(saved), 0); err == nil || f.Describe().Sequence != 12 {
				t.Errorf("%v, %+v", err, f.Describe())
			}
		})
	})
}
