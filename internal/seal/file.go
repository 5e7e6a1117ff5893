package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	maxFile  = 1 << 10
	ownerRW  = 0o600
	nonOwner = 0o077
)

// ReadKeyFile reads the key that CreateKeyFile wrote. It refuses a file that its group or others may touch, and wraps
// fs.ErrNotExist for one that is not there.
func ReadKeyFile(path string) (Key, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the path
	if err != nil {
		return Key{}, fmt.Errorf("open master key file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("inspect master key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Key{}, fmt.Errorf("master key file %s: must be a regular file", path)
	}
	if info.Mode().Perm()&nonOwner != 0 {
		return Key{}, fmt.Errorf("master key file %s: others may read it (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return Key{}, fmt.Errorf("read master key file: %w", err)
	}
	return parse(string(text), path)
}

// CreateKeyFile makes a new key and writes it to a file of mode 0600 that did not exist before. Either the whole key is on
// disk or no file is. If the file exists it is left alone and the error wraps fs.ErrExist: with several processes at
// once one succeeds, and the others read what it wrote.
func CreateKeyFile(path string) (Key, error) {
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw) // never fails: crypto/rand
	defer clear(raw)
	text := prefix + base64.RawURLEncoding.EncodeToString(raw) + "\n"
	if err := writeNew(path, text); err != nil {
		return Key{}, fmt.Errorf("create master key file %s: %w", path, err)
	}
	return newKey(raw, path)
}

// writeNew gives a complete, synced file its name by a hard link, which fails if the name is taken.
func writeNew(path, text string) (err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, ".master-key-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreMissing(os.Remove(file.Name()))) }()
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Chmod(ownerRW), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the folder of the path that the operator names
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
