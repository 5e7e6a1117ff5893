package sqlstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// TestCutOffAmidUpdate cuts off an instance that holds the lock which every change needs. The others go on within seconds, and what it was
// amid never happened.
func TestCutOffAmidUpdate(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*testbed.Proxy){
		"black hole":     (*testbed.Proxy).BlackHole,
		"questions lost": func(p *testbed.Proxy) { p.HalfOpen(testbed.ToTarget) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			away, proxy, direct := proxied(t)
			near, db := open(t, direct), raw(t, direct)
			counter := "SELECT sequence FROM change_counter"
			var sequence int
			err := away.Update(t.Context(), func(tx auth.Tx) error {
				if err := tx.Changes().Append(t.Context(), auth.Change{Kind: auth.RevokeAll}); err != nil {
					return err
				}
				if err := db.QueryRow(counter + " FOR UPDATE NOWAIT").Scan(&sequence); err == nil {
					t.Error("the counter is not locked: nobody would have to wait")
				}
				cut(proxy)
				return nil
			})
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("Update: got %v, want fault.Unavailable", err)
			}
			testbed.Wait(t, 10*time.Second, func() error {
				return near.Update(t.Context(), func(tx auth.Tx) error {
					return tx.Changes().Append(t.Context(), auth.Change{Kind: auth.RevokeAll})
				})
			})
			if err := db.QueryRow(counter).Scan(&sequence); err != nil || sequence != 1 {
				t.Errorf("sequence is %d, %v: want that of one change", sequence, err)
			}
		})
	}
}
