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
	"syscall"
)

const (
	maxFile = 1 << 10
	ownerRW = 0o600
)

// ReadKeyFile reads the key that CreateKeyFile wrote. It refuses a file that its group or others may touch, and wraps
// fs.ErrNotExist for one that is not there. Where root owns the file and the process is not root's, the group may read it: so
// Kubernetes and systemd hand a secret to a process without rights (PostgreSQL has the same rule).
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
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || exposed(info.Mode(), int(owner.Uid), os.Geteuid()) {
		return Key{}, fmt.Errorf("master key file %s: others may read it (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return Key{}, fmt.Errorf("read master key file: %w", err)
	}
	return parse(string(text), path)
}

// exposed tells whether others than the process of user self may touch a file of this mode and owner.
func exposed(mode fs.FileMode, owner, self int) bool {
	const nonOwner, groupReads = 0o077, 0o040
	touched := mode.Perm() & nonOwner
	if owner == 0 && self != 0 {
		touched &^= groupReads
	}
	return touched != 0
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
