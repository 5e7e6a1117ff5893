package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	streamSoonest = 200 * time.Millisecond // until the next stream, after one that ended
	streamSteady  = 5 * time.Second        // a stream that lasted so long did not fail at once
	streamLonger  = 5 * time.Minute        // nobody is left alone for longer, whatever he asks for
	silence       = 40 * time.Second       // a server that is there sends a heartbeat every 15 s
)

var errSilent = errors.New("no heartbeat for 40 s")

// holdStream keeps a stream open until ctx ends.
func (f *Follower) holdStream(ctx context.Context) {
	select {
	case <-f.known: // else the first poll and the stream would both fetch the snapshot
	case <-ctx.Done():
		return
	}
	pause := backoff{least: streamSoonest, most: slowest}
	for {
		began := time.Now()
		err := f.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errOlder) { // a poll tells which of the two it is
			select {
			case f.wake <- struct{}{}:
			default:
			}
		}
		f.streamEnded(ctx, err)
		if time.Since(began) >= streamSteady {
			pause.worked()
		}
		select {
		case <-time.After(pause.failed(f.config.Permanent(err), min(f.config.RetryAfter(err), streamLonger))):
		case <-ctx.Done():
			return
		}
	}
}

// stream opens a stream and takes its events in until it ends.
func (f *Follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	from := f.position()
	body, err := f.config.Stream(ctx, from.String())
	if err != nil {
		return fmt.Errorf("open a stream of the revocation feed: %w", err)
	}
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() { // a read that waits ends only so
		defer close(closed)
		_ = body.Close()
	})
	defer func() { cancel(nil); <-closed }()
	f.streamOpened()
	events := newEvents(&watched{body, watch})
	for {
		next, err := events.next()
		if err == nil {
			from, err = f.takeEvent(next, from)
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("read a stream of the revocation feed: %w", context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("read a stream of the revocation feed: %w", err)
		}
	}
}

// takeEvent takes in what came after from, and returns how far the stream has come.
func (f *Follower) takeEvent(e event, from cursor) (cursor, error) {
	a := &answer{}
	var err error
	if len(e.data) > 0 {
		a, err = parseAnswer(e.data)
	} else { // a heartbeat
		a.at, err = parseCursor(e.id)
	}
	if err == nil {
		err = f.merge(a, from, never) // it renews no lease, whatever it says
	}
	if err != nil {
		return from, err
	}
	f.eventTaken()
	return a.at, nil
}

// watched is a stream whose silence is measured.
type watched struct {
	stream io.Reader
	watch  *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.stream.Read(p)
	if n > 0 {
		w.watch.Reset(silence)
	}
	return n, err
}
