//go:build long

package e2e

import (
	"fmt"
	"testing"
)

// TestNothingIssuedIsLostOften is TestNothingIssuedIsLost many times: when a kill hits is chance.
func TestNothingIssuedIsLostOften(t *testing.T) {
	const trials = 20
	t.Run("mariadb", func(t *testing.T) {
		w := newMariaDBWorld(t)
		for _, c := range mariadbCrashes() {
			for n := range trials {
				t.Run(fmt.Sprintf("%s %d", c.name, n+1), func(t *testing.T) { w.trial(t, c) })
			}
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		w := newSQLiteWorld(t)
		for n := range trials {
			t.Run(fmt.Sprintf("server %d", n+1), func(t *testing.T) { w.trial(t, serverCrash()) })
		}
	})
}
