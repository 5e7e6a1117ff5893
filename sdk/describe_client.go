package sdk

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ClientState describes a [Client] at one moment, for a page or a command that helps to find what is wrong. It holds no secret.
type ClientState struct {
	Issuer   string             `json:"issuer"`
	ClientID string             `json:"client_id"`
	Sources  []TokenSourceState `json:"sources"`
}

// TokenSourceState describes a [TokenSource] at one moment.
type TokenSourceState struct {
	Resource string   `json:"resource"`
	Scopes   []string `json:"scopes"`
	// State is "fresh", "stale" (used while it is being replaced), "expired" or "none".
	State string `json:"state"`
	// Expires is when the token does, or did.
	Expires time.Time `json:"expires,omitzero"`
	// Refreshing tells whether a token is being asked for, Waiting how many calls wait for it.
	Refreshing bool `json:"refreshing"`
	Waiting    int  `json:"waiting"`
	// LastRefresh is when a token came last; LastFailure when one did not, and LastError why.
	LastRefresh time.Time `json:"last_refresh,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	// Hits counts calls that were answered from memory, Refreshes tokens that came, Failures attempts that failed, Forced
	// replacements of a token that was refused.
	Hits      uint64 `json:"hits"`
	Refreshes uint64 `json:"refreshes"`
	Failures  uint64 `json:"failures"`
	Forced    uint64 `json:"forced"`
}

// Describe describes the client, its sources in the order of resource and scopes. The error texts in it are as the server sent them, made
// printable.
func (c *Client) Describe() ClientState {
	c.mu.Lock()
	state := ClientState{Issuer: c.authority.identifier, ClientID: c.authority.clientID, Sources: make([]TokenSourceState, 0, len(c.sources))}
	for _, s := range c.sources {
		state.Sources = append(state.Sources, s.describe())
	}
	c.mu.Unlock()
	slices.SortFunc(state.Sources, func(a, b TokenSourceState) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), slices.Compare(a.Scopes, b.Scopes))
	})
	return state
}

func (s *TokenSource) describe() TokenSourceState {
	now := s.source.Describe()
	state := TokenSourceState{
		Resource: s.resource, Scopes: append([]string{}, s.scopes...), State: string(now.Phase), Expires: now.Expires,
		Refreshing: now.Refreshing, Waiting: now.Waiting, LastRefresh: now.Refreshed, LastFailure: now.Failed,
		Hits: now.Hits, Refreshes: now.Refreshes, Failures: now.Failures, Forced: now.Forced,
	}
	if now.Failure != nil {
		state.LastError = now.Failure.Error()
	}
	return state
}
