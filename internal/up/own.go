package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// makeOwn makes a folder, if it is not there, and checks that it and what is in it are this user's alone to write.
func makeOwn(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("make the data folder (--data-dir chooses another): %w", err)
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("the data folder needs a real folder at %s, and there is a link or a file: remove it, or choose another folder with --data-dir", path)
	case !isOwn(info):
		return fmt.Errorf("the folder %s belongs to another user: choose another data folder with --data-dir", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write into the folder %s (mode %04o): if all in it is yours, run `chmod 700 %s`; else choose another data folder with --data-dir",
			path, info.Mode().Perm(), ShellPath(path))
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("look into the data folder: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // a process that has the lock may be at work
			continue
		}
		if err != nil {
			return fmt.Errorf("look into the data folder: %w", err)
		}
		if !isOwn(info) {
			return fmt.Errorf("%s in the data folder belongs to another user: remove it, or choose another folder with --data-dir", filepath.Join(path, entry.Name()))
		}
	}
	return nil
}

func isOwn(info fs.FileInfo) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(status.Uid) == os.Getuid()
}
