package document

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// WatchConfig says what Watch follows.
type WatchConfig struct {
	Path     string
	Text     []byte           // the content that is known already; nil if none is
	Interval time.Duration    // between looks at the file; 0 is 1 s
	Signals  <-chan os.Signal // SIGHUP, which main has handed in; nil if there are none

	// Changed is called with the file's content when it is not what was seen last, and after a signal in any case.
	Changed func(ctx context.Context, text []byte)
	// Failed is called when the file cannot be read: once until the error is another one or the file could be read, and after a signal.
	Failed func(ctx context.Context, err error)
}

// settle is how long a new content must stay the same before it counts: half a document, as an editor leaves it for a moment, can be a valid one.
const settle = 100 * time.Millisecond

// Watch follows a file until ctx is done. It reads the file at every look: neither its time nor its inode is trusted, so that links
// swapped by Kubernetes, files renamed by editors and writes within one tick of the clock are seen. It calls Changed and Failed one
// at a time, from its own goroutine.
func Watch(ctx context.Context, config WatchConfig) {
	w := watcher{WatchConfig: config, seen: config.Text}
	if w.Interval <= 0 {
		w.Interval = time.Second
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-w.Signals:
			if !open {
				w.Signals = nil
				continue
			}
			w.reload(ctx)
			next.Reset(w.Interval)
		case <-next.C:
			next.Reset(w.look(ctx))
		}
	}
}

type watcher struct {
	WatchConfig

	seen   []byte // what Changed was called with
	fresh  []byte // a content that may still be in the writing, or nil
	failed string // the error that was told, or ""
}

// read refuses what can be read only once, or might not end.
func (w *watcher) read() ([]byte, error) {
	info, err := os.Stat(w.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file and cannot be followed", w.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return Read(w.Path)
}

// look returns when to look again.
func (w *watcher) look(ctx context.Context) time.Duration {
	text, err := w.read()
	switch {
	case err != nil:
		if err.Error() != w.failed {
			w.failed = err.Error()
			w.Failed(ctx, err)
		}
		w.fresh = nil
		return w.Interval
	case w.seen != nil && bytes.Equal(text, w.seen):
		w.fresh, w.failed = nil, ""
		return w.Interval
	case w.fresh == nil || !bytes.Equal(text, w.fresh):
		w.fresh, w.failed = text, ""
		return min(settle, w.Interval)
	}
	w.take(ctx, text)
	return w.Interval
}

// reload takes what stands there: whoever sends a signal has finished writing.
func (w *watcher) reload(ctx context.Context) {
	text, err := w.read()
	if err != nil {
		w.failed, w.fresh = err.Error(), nil
		w.Failed(ctx, err)
		return
	}
	w.take(ctx, text)
}

func (w *watcher) take(ctx context.Context, text []byte) {
	w.seen, w.fresh, w.failed = text, nil, ""
	w.Changed(ctx, text)
}
