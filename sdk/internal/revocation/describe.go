package revocation

import (
	"context"
	"errors"
	"time"
)

// tally is what happened so far.
type tally struct {
	polls, pollFailures uint64
	pollErr             error // why the last poll renewed nothing
	lasting             bool  // and that it will not go away by itself
	streams, events     uint64
	streaming           bool
	streamErr           error // why the last stream ended
}

// State is a follower at one moment, for people to read.
type State struct {
	Generation string         // empty: there was never a snapshot
	Sequence   uint64         // how far the feed was followed
	Entries    map[string]int // how many are held, by kind; those of unknown kinds are "unknown"

	Fresh bool          // whether the lease lasts
	Left  time.Duration // of the lease; 0: it has lapsed
	Good  bool          // whether the entries were ever known to be all
	Age   time.Duration // how long ago that was

	Polls, PollFailures uint64
	PollErr             error // why the last poll renewed no lease; nil: it did
	Streaming           bool
	Streams, Events     uint64 // opened; taken in, heartbeats included
	StreamErr           error  // why the last stream ended; nil: none has
}

// Describe returns how the follower is.
func (f *Follower) Describe() State {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := State{
		Generation: f.state.at.generation, Sequence: f.state.at.sequence, Entries: make(map[string]int, kinds),
		Fresh: f.lease.fresh(now), Left: f.lease.left(now),
		Polls: f.tally.polls, PollFailures: f.tally.pollFailures, PollErr: f.tally.pollErr,
		Streaming: f.tally.streaming, Streams: f.tally.streams, Events: f.tally.events, StreamErr: f.tally.streamErr,
	}
	s.Age, s.Good = f.lease.age(now)
	if current := f.state.current.Load(); current != nil {
		for k, marks := range current.marks {
			s.Entries[kind(k).String()] = len(marks)
		}
	}
	return s
}

// Err returns why the last poll renewed no lease; nil if it did, or there was none yet.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally.pollErr
}

// pollEnded counts a poll, and logs when polls begin to fail, fail for another reason, or work again.
func (f *Follower) pollEnded(ctx context.Context, err error) {
	lasting := err != nil && (errors.Is(err, ErrUnknownKind) || f.config.Permanent(err))
	f.mu.Lock()
	failed, lasted := f.tally.pollErr != nil, f.tally.lasting
	f.tally.polls++
	if err != nil {
		f.tally.pollFailures++
	}
	f.tally.pollErr, f.tally.lasting = err, lasting
	f.mu.Unlock()
	f.polled()
	switch {
	case err == nil && failed:
		f.config.Log.InfoContext(ctx, "the revocation feed is followed again")
	case lasting && !lasted:
		f.config.Log.ErrorContext(ctx, "the revocation feed cannot be followed until somebody sees to it", "error", err)
	case err != nil && !lasting && (!failed || lasted):
		f.config.Log.WarnContext(ctx, "the revocation feed cannot be followed", "error", err)
	}
}

func (f *Follower) streamOpened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.streaming = true
	f.tally.streams++
}

func (f *Follower) eventTaken() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.events++
}

// streamEnded notes why a stream ended, or could not be had. It is hardly worth a line in the log: polls go on.
func (f *Follower) streamEnded(ctx context.Context, err error) {
	f.mu.Lock()
	f.tally.streaming, f.tally.streamErr = false, err
	f.mu.Unlock()
	f.config.Log.DebugContext(ctx, "no stream of the revocation feed", "error", err)
}
