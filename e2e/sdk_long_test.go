//go:build long

package e2e

import (
	"net/http"
	"testing"

	"github.com/countersign/countersign/sdk"
)

// A thousand trials at rest and a thousand with the feed held back, on two instances that learn of changes from the database alone.
func TestStrictRouteRefusesWithinTheBoundThousands(t *testing.T) {
	p := startPair(t, "mariadb")
	t.Run("at rest", func(t *testing.T) { newTrials(t, p, 100).run(t) })
	t.Run("feed held back", func(t *testing.T) {
		newTrials(t, p, 100, sdk.WithHTTPClient(&http.Client{Transport: heldBack(t, p.other)})).run(t)
	})
}
