package sdk

import (
	"encoding/json"
	"time"
)

// VerifierState is how a verifier is at one moment, for a debug page and for metrics. It holds no token and no secret.
type VerifierState struct {
	Issuer      string           `json:"issuer"`
	Audience    string           `json:"audience"`
	Revocations RevocationState  `json:"revocations"`
	Keys        KeysState        `json:"keys"`
	Tokens      TokensState      `json:"tokens"`
	TokenStore  *TokenStoreState `json:"token_store,omitempty"` // nil: there is none
	StateFile   *StateFileState  `json:"state_file,omitempty"`  // nil: there is none
}

// RevocationState is what is known of revocations. In JSON its durations are whole milliseconds, in members whose names end in _ms; they are
// not read back from there.
type RevocationState struct {
	// Feed is "followed", "none" (the issuer has none, or [WithoutRevocation] was given), "unknown" before the issuer was reached, or
	// "closed".
	Feed string `json:"feed"`
	// Bound and Grace are as configured. LeaseLeft is for how long strict routes go by memory, 0 if they do not; Age how long ago the
	// revocations were last known to be all, and Good whether they ever were.
	Bound     time.Duration `json:"-"`
	Grace     time.Duration `json:"-"`
	LeaseLeft time.Duration `json:"-"`
	Good      bool          `json:"good"`
	Age       time.Duration `json:"-"`
	// Generation and Sequence are how far the feed was followed, Entries how many revocations are held, by kind.
	Generation   string         `json:"generation,omitempty"`
	Sequence     uint64         `json:"sequence"`
	Entries      map[string]int `json:"entries,omitempty"`
	Polls        uint64         `json:"polls"`
	PollFailures uint64         `json:"poll_failures"`
	Streaming    bool           `json:"streaming"`
	Streams      uint64         `json:"streams"`
	Events       uint64         `json:"events"`
	LastError    string         `json:"last_error,omitempty"`   // why the last poll did not succeed
	StreamError  string         `json:"stream_error,omitempty"` // why the last stream ended
}

// MarshalJSON implements json.Marshaler.
func (s RevocationState) MarshalJSON() ([]byte, error) {
	type members RevocationState // without this method
	return json.Marshal(struct {
		members
		Bound     int64 `json:"bound_ms"`
		Grace     int64 `json:"grace_ms"`
		LeaseLeft int64 `json:"lease_left_ms"`
		Age       int64 `json:"age_ms"`
	}{members(s), s.Bound.Milliseconds(), s.Grace.Milliseconds(), s.LeaseLeft.Milliseconds(), s.Age.Milliseconds()})
}

// KeysState is what is known of the issuer's keys.
type KeysState struct {
	Keys      []KeyState `json:"keys,omitempty"`
	Fetched   time.Time  `json:"fetched,omitzero"` // when the last good set was asked for
	Next      time.Time  `json:"next,omitzero"`    // when the next one will be
	Fetches   uint64     `json:"fetches"`
	Failures  uint64     `json:"failures"`
	Misses    uint64     `json:"misses"`    // tokens whose key was not held
	Withdrawn uint64     `json:"withdrawn"` // keys that were held and are no longer
	LastError string     `json:"last_error,omitempty"`
}

// KeyState is one key.
type KeyState struct {
	ID         string   `json:"kid"`
	Algorithms []string `json:"algorithms"`
	Thumbprint string   `json:"thumbprint"` // RFC 7638
}

// TokensState counts tokens, those of verifiers for other audiences included ([Verifier.ForAudience]).
type TokensState struct {
	Remembered int    `json:"remembered"` // that are in memory
	Slots      int    `json:"slots"`      // that there is room for
	Evicted    uint64 `json:"evicted"`    // that had to make room before they expired

	// Every verification counts as one of these. FromMemory were accepted without further work, Accepted after some.
	FromMemory        uint64 `json:"from_memory"`
	Accepted          uint64 `json:"accepted"`
	Invalid           uint64 `json:"invalid"`
	InsufficientScope uint64 `json:"insufficient_scope"`
	Forbidden         uint64 `json:"forbidden"`
	Unavailable       uint64 `json:"unavailable"`

	// The work that was done for them.
	Signatures     uint64 `json:"signatures"`
	Records        uint64 `json:"records"`
	Introspections uint64 `json:"introspections"`
}

// StateFileState is how saving goes on, see [WithStateFile].
type StateFileState struct {
	Path      string    `json:"path"`
	Restored  bool      `json:"restored"`         // there was a good file at the start
	Written   time.Time `json:"written,omitzero"` // most recently
	LastError string    `json:"last_error,omitempty"`
}

// Describe returns how the verifier is. It looks at every slot of the cache, so it is not for every request.
func (v *Verifier) Describe() VerifierState {
	e := v.engine
	state := VerifierState{
		Issuer: e.authority.identifier, Audience: v.audience,
		Revocations: e.describeRevocations(), Keys: e.describeKeys(), Tokens: e.describeTokens(),
	}
	if records := e.records[v.audience]; records != nil {
		store := records.describe()
		state.TokenStore = &store
	}
	if e.config.stateFile != "" {
		state.StateFile = e.describeStateFile()
	}
	return state
}

func (e *engine) describeRevocations() RevocationState {
	f := e.feed.Describe()
	state := RevocationState{
		Bound: e.config.bound, Grace: e.config.grace, LeaseLeft: f.Left, Good: f.Good, Age: f.Age,
		Generation: f.Generation, Sequence: f.Sequence, Entries: f.Entries, Polls: f.Polls, PollFailures: f.PollFailures,
		Streaming: f.Streaming, Streams: f.Streams, Events: f.Events,
		LastError: text(f.PollErr), StreamError: text(f.StreamErr),
	}
	switch e.feedState.Load() {
	case feedFollowed:
		state.Feed = "followed"
	case feedNone:
		state.Feed = "none"
	case feedClosed:
		state.Feed = "closed"
	default:
		state.Feed, state.LastError = "unknown", text(e.ignorance())
	}
	return state
}

func (e *engine) describeKeys() KeysState {
	k := e.keys.Describe()
	state := KeysState{
		Fetched: k.Fetched, Next: k.Next, Fetches: k.Fetches, Failures: k.Failures, Misses: k.Misses, Withdrawn: k.Withdrawn,
		LastError: k.LastError,
	}
	for _, key := range k.Keys {
		described := KeyState{ID: key.ID, Thumbprint: key.Thumbprint}
		for _, a := range key.Algorithms {
			described.Algorithms = append(described.Algorithms, string(a))
		}
		state.Keys = append(state.Keys, described)
	}
	return state
}

func (e *engine) describeTokens() TokensState {
	t := &e.tally
	return TokensState{
		Remembered: e.cache.Len(), Slots: e.cache.Slots(), Evicted: e.cache.Evicted(),
		FromMemory: t.remembered.Value(), Accepted: t.accepted.Value(), Invalid: t.invalid.Value(),
		InsufficientScope: t.insufficient.Value(), Forbidden: t.forbidden.Value(), Unavailable: t.unavailable.Value(),
		Signatures: t.signatures.Value(), Records: t.records.Value(), Introspections: t.introspections.Value(),
	}
}

func (e *engine) describeStateFile() *StateFileState {
	state := &StateFileState{Path: e.config.stateFile, Restored: e.started.Load() && e.restored}
	e.saved.mu.Lock()
	defer e.saved.mu.Unlock()
	state.Written, state.LastError = e.saved.last, text(e.saved.failed)
	return state
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
