//go:build !long

package abuse_test

import "time"

// How much is simulated.
const (
	simulated = 3 * time.Hour
	flood     = 120_000
)
