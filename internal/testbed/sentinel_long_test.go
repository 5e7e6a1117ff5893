//go:build long

package testbed_test

import (
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// The Sentinels name a successor of a primary that was killed.
func TestSentinel(t *testing.T) {
	w := testbed.StartSentinel(t)
	first, err := w.Primary()
	if err != nil || first != w.Redis[0] {
		t.Fatalf("the primary is %v, %v", first, err)
	}
	first.Kill()
	testbed.Wait(t, time.Minute, func() error {
		now, err := w.Primary()
		if err == nil && now == first {
			err = errors.New("the primary is the one that was killed")
		}
		return err
	})
}
