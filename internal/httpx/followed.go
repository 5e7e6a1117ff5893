package httpx

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// checkEvery bounds how often handshakes look at the files.
const checkEvery = time.Second

// followed is what TLS files hold, read anew once they change. They must be replaced together or one after the other: while they cannot be used,
// what was read last goes on.
type followed[T any] struct {
	what  string // they hold, for the log
	files []string
	read  func() (T, []slog.Attr, error) // the attributes are for the log
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	checked time.Time
	seen    []fileState // of the files that were last tried, good or bad
	current T
}

// fileState changes whenever a file is written or replaced.
type fileState struct {
	size     int64
	modified time.Time
}

// load reads the files for the first time.
func (f *followed[T]) load() error {
	seen, err := f.look()
	if err != nil {
		return err
	}
	f.current, _, err = f.read()
	f.seen, f.checked = seen, f.now()
	return err
}

// latest may be called by any number of goroutines.
func (f *followed[T]) latest(ctx context.Context) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.checked) >= checkEvery {
		f.checked = now
		f.reload(ctx)
	}
	return f.current
}

func (f *followed[T]) reload(ctx context.Context) {
	seen, err := f.look()
	if err == nil && slices.Equal(seen, f.seen) {
		return
	}
	var fresh T
	var attrs []slog.Attr
	if err == nil {
		fresh, attrs, err = f.read()
	}
	said := slices.Equal(seen, f.seen) // once for each state of the files
	f.seen = seen
	switch {
	case err == nil:
		f.current = fresh
		f.log.LogAttrs(ctx, slog.LevelInfo, "TLS files reloaded", append(attrs, slog.String("holding", f.what))...)
	case !said:
		f.log.ErrorContext(ctx, "TLS files not reloaded, what was read before goes on", slog.String("holding", f.what), slog.Any("error", err))
	}
}

// look returns the state of all files, or none.
func (f *followed[T]) look() (seen []fileState, err error) {
	for _, name := range f.files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("look at TLS file: %w", err)
		}
		seen = append(seen, fileState{info.Size(), info.ModTime()})
	}
	return seen, nil
}
