// Package reload keeps a value that is read from files, such as a secret or a key, and reads it anew when one of them has changed. What is good
// once is used until something else is good.
package reload

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// settling is how old a change of a file must be before the file's times tell the next change apart from it. File systems keep coarse times.
const settling = 2 * time.Second

// File is a value of files. It is safe for concurrent use.
type File[T any] struct {
	what  string
	limit int64
	parse func(texts [][]byte) (T, error)
	paths []string

	mu      sync.Mutex
	last    T
	from    []fs.FileInfo // what last was read from; nil: nothing was
	settled bool
	trouble string // as it was told last
}

// New returns the value of the files at these paths, which are read together. It does no I/O. what names the value in errors and logs, limit is
// how many bytes a file may have, and parse makes the value of their contents. Errors of parse must not quote them.
func New[T any](what string, limit int64, parse func(texts [][]byte) (T, error), paths ...string) *File[T] {
	return &File[T]{what: what, limit: limit, parse: parse, paths: paths}
}

// Value returns the value, the last good one if the files cannot be used now. Its error means that there never was one. The log hears, without
// the lock, once when files go bad and once when they are good again: who listens may need the value.
func (f *File[T]) Value(ctx context.Context, log *slog.Logger) (T, error) {
	value, held, before, err := f.read()
	switch {
	case err == nil && before != "":
		log.InfoContext(ctx, "file is read again", "holds", f.what, "path", f.path())
	case err != nil && !held:
		return value, err
	case err != nil && before != err.Error():
		log.WarnContext(ctx, "file cannot be used, its last good content is", "holds", f.what, "path", f.path(), "error", err)
	}
	return value, nil
}

func (f *File[T]) path() string { return strings.Join(f.paths, ", ") }

// read returns the last good value and whether there is one, what was wrong when it was read before, and what is wrong now.
func (f *File[T]) read() (value T, held bool, before string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err = f.refresh(); err != nil {
		err = fmt.Errorf("read %s: %w", f.what, err)
	}
	before, f.trouble = f.trouble, ""
	if err != nil && f.from != nil {
		f.trouble = err.Error()
	}
	return f.last, f.from != nil, before, err
}

func (f *File[T]) refresh() error {
	same := f.settled
	for n, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		same = same && os.SameFile(info, f.from[n]) && info.Size() == f.from[n].Size() && info.ModTime().Equal(f.from[n].ModTime())
		if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
			return fmt.Errorf("%s is not a regular file", path)
		}
	}
	if same {
		return nil
	}
	texts, infos, settled := make([][]byte, len(f.paths)), make([]fs.FileInfo, len(f.paths)), true
	for n, path := range f.paths {
		var err error
		if texts[n], infos[n], err = f.load(path); err != nil {
			return err
		}
		settled = settled && time.Since(infos[n].ModTime()) > settling
	}
	value, err := f.parse(texts)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path(), err)
	}
	f.last, f.from, f.settled = value, infos, settled
	return nil
}

// load returns the content of a file, and what was told of it before it was read: a change meanwhile will be seen the next time.
func (f *File[T]) load(path string) ([]byte, fs.FileInfo, error) {
	file, err := os.Open(path) //nolint:gosec // the path is configuration
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, f.limit+1))
	if err == nil && int64(len(text)) > f.limit {
		err = fmt.Errorf("%s is longer than %d KiB", path, f.limit>>10)
	}
	return text, info, err
}
