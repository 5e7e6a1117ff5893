package revocation_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// A clock that is ahead when the process begins has entries forgotten too soon. Once it is set right, the tokens that they refuse live
// again, by that clock, and so must they.
func TestForgottenTooSoon(t *testing.T) {
	const expires = 1793621400 // of all entries
	i := new(issuer)
	i.poll = func(cursor string) (string, error) {
		if cursor == "" {
			return of("5", 10, true, 0, "a4", "b8"), nil
		}
		return of("5", 10, false, 0), nil
	}
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		snapshots := func() (n int) {
			for _, cursor := range i.seen().cursors {
				if cursor == "" {
					n++
				}
			}
			return n
		}
		time.Sleep(10 * time.Minute) // as the clock has it, nothing is to be forgotten
		if refused(f) != "ab" || snapshots() != 1 {
			t.Fatalf("refused: %q, %d snapshots", refused(f), snapshots())
		}
		version := f.Version()
		f.Sweep(time.Unix(expires, 0)) // the clock was ahead
		if refused(f) != "" {
			t.Fatalf("refused: %q", refused(f))
		}
		time.Sleep(bound)
		if refused(f) != "ab" || f.Version() == version || !f.Lease(time.Now()) {
			t.Errorf("refused: %q, version %d, then %d", refused(f), version, f.Version())
		}
		time.Sleep(10 * time.Minute)
		if snapshots() != 2 {
			t.Errorf("%d snapshots", snapshots())
		}
	})
}
