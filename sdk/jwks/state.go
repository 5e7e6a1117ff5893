package jwks

import (
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

// State is what a cache is like at a moment, for a debug page.
type State struct {
	Keys      []KeyState `json:"keys"`       // that are held
	Fetched   time.Time  `json:"fetched"`    // when the last good set was asked for; zero: there was none
	Next      time.Time  `json:"next"`       // when the next will be, if no token asks for one before; zero: Run was not called yet
	LastError string     `json:"last_error"` // why the last fetch failed; empty: it did not

	Fetches   uint64 `json:"fetches"`
	Failures  uint64 `json:"failures"`  // fetches that failed, or brought no key set
	Misses    uint64 `json:"misses"`    // tokens whose key was not held
	Withdrawn uint64 `json:"withdrawn"` // keys that were held and are no longer
}

// KeyState is one key of a [State].
type KeyState struct {
	ID         string           `json:"kid"`
	Algorithms []jose.Algorithm `json:"algorithms"`
	Thumbprint string           `json:"thumbprint"` // RFC 7638
}

// Describe returns the state of c.
func (c *Cache) Describe() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state
	if c.failed != nil {
		state.LastError = c.failed.Error()
	}
	if set := c.keys.Load(); set != nil {
		for _, held := range set.all {
			state.Keys = append(state.Keys, KeyState{ID: held.ID(), Algorithms: held.Algorithms(), Thumbprint: held.Thumbprint()})
		}
	}
	return state
}
