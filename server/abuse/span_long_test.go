//go:build long

package abuse_test

import "time"

// How much is simulated.
const (
	simulated = 24 * time.Hour
	flood     = 1_000_000
)
