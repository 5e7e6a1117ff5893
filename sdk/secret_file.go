package sdk

import (
	"context"
	"errors"
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

// secretFile is a secret in a file, read anew when the file is another one or has changed.
type secretFile struct {
	path    string
	mu      sync.Mutex
	last    string
	from    fs.FileInfo // what last was read from; nil: nothing was
	settled bool
	trouble string // as it was told last
}

func newSecretFile(path string, post bool) *secret {
	file := &secretFile{path: path}
	return &secret{post: post, value: file.value, check: func() error {
		if path == "" {
			return errors.New("the path of the client secret's file is empty")
		}
		return nil
	}}
}

// value returns the secret, the last good one if the file cannot be read. The log hears without the lock: who listens may need a token.
func (f *secretFile) value(ctx context.Context, log *slog.Logger) (string, error) {
	value, before, err := f.read()
	switch {
	case err == nil && before != "":
		log.InfoContext(ctx, "client secret file is read again", "path", f.path)
	case err != nil && value == "":
		return "", err
	case err != nil && before != err.Error():
		log.WarnContext(ctx, "client secret file cannot be used, the last good secret is", "path", f.path, "error", err)
	}
	return value, nil
}

// read returns the last good secret, empty if there never was one; what was wrong when it was read before; and what is wrong now.
func (f *secretFile) read() (value, before string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err = f.refresh(); err != nil {
		err = fmt.Errorf("read client secret: %w", err)
	}
	before, f.trouble = f.trouble, ""
	if err != nil && f.from != nil {
		f.trouble = err.Error()
	}
	return f.last, before, err
}

func (f *secretFile) refresh() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if f.settled && os.SameFile(info, f.from) && info.Size() == f.from.Size() && info.ModTime().Equal(f.from.ModTime()) {
		return nil
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
		return fmt.Errorf("%s is not a regular file", f.path)
	}
	text, info, err := readFile(f.path)
	if err != nil {
		return err
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if err := checkSecret(text); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.last, f.from, f.settled = text, info, time.Since(info.ModTime()) > settling
	return nil
}

// readFile returns the text of a file, and what was told of it before it was read: a change meanwhile will be seen the next time.
func readFile(path string) (string, fs.FileInfo, error) {
	file, err := os.Open(path) //nolint:gosec // the path is configuration
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return "", nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, secretLimit+3)) // with a line end, and one more to tell
	return string(text), info, err
}
