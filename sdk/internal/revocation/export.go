package revocation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// exported is a snapshot as the feed would answer it.
type exported struct {
	Generation string          `json:"generation"`
	Sequence   uint64          `json:"seq"`
	Age        int64           `json:"age_ms"`
	Snapshot   bool            `json:"snapshot"`
	Entries    []exportedEntry `json:"entries"`
}

type exportedEntry struct {
	Sequence   uint64 `json:"seq"`
	Kind       string `json:"kind"`
	Token      string `json:"jti,omitempty"`
	Client     string `json:"client_id,omitempty"`
	Audience   string `json:"aud,omitempty"`
	Credential string `json:"cs_sec,omitempty"`
	Key        string `json:"kid,omitempty"`
	Expires    *int64 `json:"exp,omitempty"`
}

// Export returns what is known, for Restore, as an answer of the feed; false while there is nothing.
func (f *Follower) Export() ([]byte, bool) {
	f.mu.Lock()
	age, good := f.lease.age(time.Now())
	if !good || f.state.at.generation == "" {
		f.mu.Unlock()
		return nil, false
	}
	at, entries := f.state.at, f.state.current.Load().entries()
	f.mu.Unlock()
	e := exported{
		Generation: at.generation, Sequence: at.sequence, Age: (age + time.Millisecond - 1).Milliseconds(),
		Snapshot: true, Entries: make([]exportedEntry, len(entries)),
	}
	for i := range entries {
		e.Entries[i] = exportEntry(&entries[i])
	}
	text, err := json.Marshal(e)
	return text, err == nil
}

func exportEntry(e *entry) exportedEntry {
	x := exportedEntry{Sequence: e.sequence, Kind: e.kind.String()}
	if e.expires != math.MaxInt64 {
		x.Expires = &e.expires
	}
	switch e.kind {
	case ofToken:
		x.Token = e.key.one
	case ofClient:
		x.Client = e.key.one
	case ofGrant:
		x.Client, x.Audience = e.key.one, e.key.two
	case ofAPI:
		x.Audience = e.key.one
	case ofCredential:
		x.Credential = e.key.one
	case ofKey:
		x.Key = e.key.one
	case ofUnknown:
		x.Kind = e.key.one // which is unreadable again, since what it needs is not there
	case ofAll, kinds:
	}
	return x
}

// Restore takes in what Export returned savedAge ago, and is called before Run. It renews no lease: tokens may be compared with it,
// and Good tells how old it is. An error leaves the follower as it was.
func (f *Follower) Restore(text []byte, savedAge time.Duration) error {
	a, err := parseAnswer(text)
	switch {
	case err != nil:
		return fmt.Errorf("restore revocations: %w", err)
	case !a.snapshot || a.age < 0:
		return errors.New("restore revocations: not a snapshot with an age")
	case savedAge < 0 || savedAge > maxAge:
		return errors.New("restore revocations: saved in the future, or too long ago")
	case f.Version() != 0:
		return errors.New("restore revocations: the feed is followed already")
	}
	known := f.lease.since(time.Now().Add(-savedAge)) - int64(a.age)
	if err := f.merge(a, cursor{}, known); err != nil {
		return fmt.Errorf("restore revocations: %w", err)
	}
	f.lease.remember(known)
	return nil
}
