package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	stateVersion = 1
	stateLimit   = 80 << 20 // bytes: a snapshot and a key set
	stateSoonest = 5 * time.Second
	stateLatest  = time.Minute
)

// savedState is what a state file holds, as JSON.
type savedState struct {
	Version     int             `json:"version"`
	SavedAt     time.Time       `json:"saved_at"`
	Issuer      string          `json:"issuer"`
	Feed        *bool           `json:"feed,omitempty"` // whether the issuer has a revocation feed; absent: it was not asked
	Revocations json.RawMessage `json:"revocations,omitempty"`
	KeySet      json.RawMessage `json:"jwks,omitempty"`
	KeysFetched time.Time       `json:"jwks_fetched_at,omitzero"`
}

// stateFile is how saving goes on.
type stateFile struct {
	changed chan struct{} // has room for one: there is something to save

	mu     sync.Mutex
	keySet []byte
	last   time.Time // when it was written
	failed error     // why it could not be, most recently
}

// touch says that there is something to save.
func (s *stateFile) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stateFile) keysChanged(body []byte) {
	s.mu.Lock()
	s.keySet = body
	s.mu.Unlock()
	s.touch()
}

// keepState saves what changes, and how recent it is, until ctx ends; then it saves once more.
func (e *engine) keepState(ctx context.Context) {
	ticker := time.NewTicker(stateLatest)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-e.saved.changed:
		case <-ticker.C:
			if e.feedState.Load() == feedFollowed && !e.feed.Lease(time.Now()) {
				continue // nothing was heard
			}
		case <-ctx.Done():
		}
		e.saveState(ctx)
		select {
		case <-time.After(stateSoonest):
		case <-ctx.Done():
		}
	}
}

// saveState writes the file, if there is anything to write. A failure is logged once.
func (e *engine) saveState(ctx context.Context) {
	state := e.state()
	if state.KeySet == nil && state.Revocations == nil {
		return
	}
	text, err := json.Marshal(state)
	if err == nil {
		err = replaceFile(e.config.stateFile, text)
	}
	s := &e.saved
	s.mu.Lock()
	before := s.failed
	s.failed = err
	if err == nil {
		s.last = state.SavedAt
	}
	s.mu.Unlock()
	if err != nil && before == nil {
		e.config.log.WarnContext(ctx, "state file not written", slog.Any("error", err))
	}
}

func (e *engine) state() savedState {
	state := savedState{Version: stateVersion, SavedAt: time.Now().UTC(), Issuer: e.authority.identifier}
	e.saved.mu.Lock()
	state.KeySet = e.saved.keySet
	e.saved.mu.Unlock()
	if state.KeySet != nil {
		state.KeysFetched = e.keys.Describe().Fetched.UTC()
	}
	if known := e.feedState.Load(); known != feedUnknown && !e.config.noRevocation {
		followed := known == feedFollowed
		state.Feed = &followed
	}
	if text, ok := e.feed.Export(); ok {
		state.Revocations = text
	}
	return state
}

// replaceFile writes a file so that readers find the old or the new text, whatever happens meanwhile.
func replaceFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// restore takes over what the state file has, and tells whether it was any use. Whatever is wrong with the file, the verifier starts
// without it.
func (e *engine) restore(ctx context.Context) bool {
	if e.config.stateFile == "" {
		return false
	}
	state, err := readState(e.config.stateFile)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err == nil {
		err = e.takeOver(state)
	}
	if err != nil {
		e.config.log.WarnContext(ctx, "state file passed over", slog.Any("error", err))
		return false
	}
	return true
}

func readState(path string) (*savedState, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noWait, 0) //nolint:gosec // G304: the path is the configuration's
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !onlyOurs(info) {
		return nil, fmt.Errorf("%s is no file of this user's that only its owner may write to (mode %s)", path, info.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(f, stateLimit+1))
	if err != nil {
		return nil, err
	}
	if len(text) > stateLimit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, stateLimit)
	}
	var state savedState
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &state, nil
}

func (e *engine) takeOver(state *savedState) error {
	age := time.Since(state.SavedAt)
	switch {
	case state.Version != stateVersion:
		return fmt.Errorf("it is of version %d, not %d", state.Version, stateVersion)
	case state.Issuer != e.authority.identifier:
		return fmt.Errorf("it is of issuer %q", state.Issuer)
	case age < 0 || age > e.config.grace:
		return fmt.Errorf("it was saved at %s, which is not within the grace of %s", state.SavedAt.Format(time.RFC3339), e.config.grace)
	}
	if state.KeySet != nil {
		if err := e.keys.Restore(state.KeySet, state.KeysFetched); err != nil {
			return err
		}
		e.saved.keySet = state.KeySet
	}
	switch {
	case e.config.noRevocation:
	case state.Revocations != nil:
		if err := e.feed.Restore(state.Revocations, age); err != nil {
			return err
		}
		e.feedState.Store(feedFollowed)
	case state.Feed != nil && !*state.Feed:
		e.feedState.Store(feedNone)
	}
	return nil
}
