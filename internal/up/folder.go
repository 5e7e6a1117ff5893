package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/countersign/countersign/internal/privatefile"
)

// Folder is a data folder that this process alone uses.
type Folder struct {
	Path string
	lock *os.File
}

// OpenFolder makes the data folder if need be and locks it. If another process has it, the error says which. The folder must be
// the user's own, and so must all that is in it: whoever can plant a file there brings the master key, or has a file elsewhere
// overwritten. The folders above it may be links.
func OpenFolder(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	if socket := filepath.Join(path, socketFile); len(socket) > maxSocketPath {
		return nil, fmt.Errorf("the path of the data folder %s is too long for its control socket: at most %d bytes are allowed; choose another with --data-dir",
			path, maxSocketPath-len(socketFile)-1)
	}
	if err := makeFolders(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("open the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(lock.Name())
		_ = lock.Close()
		return nil, fmt.Errorf("the data folder %s is in use by process %s: end that one, or choose another folder with --data-dir and other ports with --port-base",
			path, strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, fmt.Errorf("write the data folder's lock: %w", err)
	}
	if err := removeHalfWritten(path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Folder{Path: path, lock: lock}, nil
}

// makeFolders makes the data folder with the folders in it, as far as they are missing.
func makeFolders(path string) error {
	for _, folder := range []string{path, filepath.Join(path, "logs"), filepath.Join(path, curlFolder), filepath.Join(path, secretsFolder)} {
		if err := makeOwn(folder); err != nil {
			return err
		}
	}
	return nil
}

// removeHalfWritten removes the files that a process was writing aside when it was killed. Whoever calls it has the lock.
func removeHalfWritten(path string) error {
	var errs []error
	for _, pattern := range []string{".*.json.*", ".*.yaml.*", curlFolder + "/.*", secretsFolder + "/.*", ".master-key-*"} {
		left, err := fs.Glob(os.DirFS(path), pattern)
		errs = append(errs, err)
		for _, name := range left {
			errs = append(errs, os.Remove(filepath.Join(path, name)))
		}
	}
	return errors.Join(errs...)
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err //nolint:wrapcheck // the caller says what was written
}

// Close gives the folder up.
func (f *Folder) Close() error {
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("unlock the data folder: %w", err)
	}
	return nil
}

// Left returns the names of what `up` leaves in its data folder, as far as they are there. Nothing else is ever removed.
func (f *Folder) Left() (names []string, err error) {
	for _, pattern := range []string{"countersign.db*", "master.key", bootstrapFile, curlFolder, secretsFolder, "gateway-*.yaml", "logs"} {
		found, err := fs.Glob(os.DirFS(f.Path), pattern)
		if err != nil {
			return nil, fmt.Errorf("look into the data folder: %w", err)
		}
		names = append(names, found...)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		entries, err := os.ReadDir(f.File(name))
		return err == nil && len(entries) == 0 // an empty folder that OpenFolder made
	}), nil
}

// Remove removes what Left found. Its folders remain, empty.
func (f *Folder) Remove(names []string) error {
	for _, name := range names {
		if err := os.RemoveAll(f.File(name)); err != nil {
			return fmt.Errorf("empty the data folder: %w", err)
		}
	}
	return makeFolders(f.Path)
}

// File returns the path of a file in the folder.
func (f *Folder) File(name string) string { return filepath.Join(f.Path, name) }

// Write replaces a file in the folder as a whole. Only the user may read it.
func (f *Folder) Write(name string, text []byte) error {
	return privatefile.Write(f.File(name), text) //nolint:wrapcheck // it names the file
}

func (f *Folder) logPath(part string) string { return filepath.Join(f.Path, "logs", part+".log") }

// Bootstrap is `bootstrap.json`: where the parts are and the credentials that the first start made. Scripts may rely on it.
type Bootstrap struct {
	Issuer   string                `json:"issuer"`
	AdminURL string                `json:"admin_url"`
	EntryURL string                `json:"entry_url,omitempty"`
	Clients  map[string]Credential `json:"clients"`
}

// Credential is a client that the first start made.
type Credential struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Resource     string `json:"resource,omitempty"` // the API that it calls
	Serves       string `json:"serves,omitempty"`   // the API that it serves
}

const (
	bootstrapFile = "bootstrap.json"
	curlFolder    = "curl"
	secretsFolder = "secrets"
)

// BootstrapPath returns where the credentials are.
func (f *Folder) BootstrapPath() string { return f.File(bootstrapFile) }

// ReadBootstrap returns what an earlier start wrote, or an empty Bootstrap if there was none.
func (f *Folder) ReadBootstrap() (Bootstrap, error) {
	text, err := os.ReadFile(f.BootstrapPath())
	if errors.Is(err, os.ErrNotExist) {
		return Bootstrap{}, nil
	}
	if err != nil {
		return Bootstrap{}, fmt.Errorf("read credentials: %w", err)
	}
	var b Bootstrap
	if err := json.Unmarshal(text, &b); err != nil {
		return Bootstrap{}, fmt.Errorf("read credentials: %s is damaged (%w): remove it, and new credentials are made", f.BootstrapPath(), err)
	}
	return b, nil
}

// WriteBootstrap replaces the file as a whole: a reader never sees half of it. Beside it, for each client, it writes a file
// with the client's credentials for curl (-K), so that a secret need not be typed, and one with the secret alone, for services.
func (f *Folder) WriteBootstrap(b Bootstrap) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("encode credentials: %w", err)
	}
	for name, c := range b.Clients {
		if err := privatefile.Write(f.curlFile(name), fmt.Appendf(nil, "user = \"%s:%s\"\n", c.ClientID, c.ClientSecret)); err != nil {
			return err
		}
		if err := privatefile.Write(f.SecretPath(name), []byte(c.ClientSecret+"\n")); err != nil {
			return err
		}
	}
	return privatefile.Write(f.BootstrapPath(), append(text, '\n'))
}

func (f *Folder) curlFile(client string) string { return f.File(filepath.Join(curlFolder, client)) }

// SecretPath returns the file with a client's secret.
func (f *Folder) SecretPath(client string) string {
	return f.File(filepath.Join(secretsFolder, client))
}

// CurlPath returns the path of a client's file for curl as one types it in a shell.
func (f *Folder) CurlPath(client string) string { return ShellPath(f.curlFile(client)) }

// ShellPath returns a path as one types it in a shell: relative where that is shorter, quoted where it must be.
func ShellPath(path string) string {
	if here, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(here, path); err == nil && len(relative) < len(path) {
			path = relative
		}
	}
	return Quote(path)
}

// Quote returns a word as one types it in a shell.
func Quote(word string) string {
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return !strings.ContainsRune(plainInShell, r) }) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%"
