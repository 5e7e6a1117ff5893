package sdk_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

// folder is where a secret lies.
type folder struct {
	*testing.T
	path string
	log  strings.Builder
	auth sdk.ClientAuth
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{T: t, path: filepath.Join(t.TempDir(), "secret")}
	f.auth = sdk.SecretFilePost(f.path)
	return f
}

func (f *folder) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *folder) write(text string) {
	f.Helper()
	f.must(os.WriteFile(f.path, []byte(text), 0o600))
}

// age makes the file look as if it had not been changed for long, so that its times can be relied on.
func (f *folder) age() {
	f.Helper()
	old := time.Now().Add(-time.Hour)
	f.must(os.Chtimes(f.path, old, old))
}

func (f *folder) want(secret string) {
	f.Helper()
	got, err := authenticate(f.T, f.auth, slog.New(slog.NewTextHandler(&f.log, nil)))
	if err != nil || got != secret {
		f.Errorf("got %q, %v, want %q", got, err, secret)
	}
}

func TestASecretFileIsReadAgainWhenItChanges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*folder)
	}{
		{"rewritten, same length", func(f *folder) { f.write("two") }},
		{"rewritten, same length, same time", func(f *folder) {
			f.want("one") // just read, and the clock of the file system may not tell
			info, err := os.Stat(f.path)
			f.must(err)
			f.write("two")
			f.must(os.Chtimes(f.path, info.ModTime(), info.ModTime()))
		}},
		{"with a line end", func(f *folder) { f.write("two\n") }},
		{"with a line end of another system", func(f *folder) { f.write("two\r\n") }},
		{"renamed into place", func(f *folder) {
			f.age()
			f.want("one")
			info, err := os.Stat(f.path)
			f.must(err)
			next := f.path + ".new"
			f.must(os.WriteFile(next, []byte("two"), 0o600))
			f.must(os.Chtimes(next, info.ModTime(), info.ModTime())) // neither size nor time differ
			f.must(os.Rename(next, f.path))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(t)
			f.write("one")
			f.want("one")
			tt.change(f)
			f.want("two")
			f.age()
			f.want("two")
			f.want("two")
			if f.log.Len() > 0 {
				t.Errorf("logged %s", f.log.String())
			}
		})
	}
}

// Kubernetes mounts a secret as a link to ..data/name, where ..data is a link to a folder that is replaced as a whole.
func TestASecretFileOfKubernetes(t *testing.T) {
	f := newFolder(t)
	base := filepath.Dir(f.path)
	publish := func(version, secret string) {
		f.must(os.Mkdir(filepath.Join(base, version), 0o700))
		f.must(os.WriteFile(filepath.Join(base, version, "secret"), []byte(secret), 0o600))
		f.must(os.Symlink(version, filepath.Join(base, "..data_tmp")))
		f.must(os.Rename(filepath.Join(base, "..data_tmp"), filepath.Join(base, "..data")))
	}
	publish("..1", "one")
	f.must(os.Symlink("..data/secret", f.path))
	f.want("one")
	f.age()
	f.want("one")
	publish("..2", "two")
	f.want("two")
	f.must(os.RemoveAll(filepath.Join(base, "..1")))
	f.want("two")
}

func TestASecretFileThatCannotBeUsed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*folder)
		want  string
	}{
		{"vanished", func(f *folder) { f.must(os.Remove(f.path)) }, "no such file"},
		{"truncated", func(f *folder) { f.write("") }, "empty"},
		{"a line end alone", func(f *folder) { f.write("\n") }, "empty"},
		{"half written, ours", func(f *folder) { f.write(testSecret[:30]) }, "cut or mistyped"},
		{"zero bytes", func(f *folder) { f.write("\x00\x00\x00") }, "control character"},
		{"two lines", func(f *folder) { f.write("one\ntwo\n") }, "second line"},
		{"too large", func(f *folder) { f.write(strings.Repeat("x", 1<<20)) }, "longer than 64 KiB"},
		{"a folder", func(f *folder) {
			f.must(os.Remove(f.path))
			f.must(os.Mkdir(f.path, 0o700))
		}, "not a regular file"},
		{"a link to nowhere", func(f *folder) {
			f.must(os.Remove(f.path))
			f.must(os.Symlink("nowhere", f.path))
		}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(t)
			f.write(testSecret)
			f.age()
			f.want(testSecret)
			tt.spoil(f)
			f.want(testSecret) // the last good one
			f.want(testSecret)
			if strings.Count(f.log.String(), "\n") != 1 || !strings.Contains(f.log.String(), tt.want) || strings.Contains(f.log.String(), testSecret[10:20]) {
				t.Errorf("logged %s", f.log.String())
			}
			if _, err := authenticate(t, sdk.SecretFile(f.path), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("without a good one before: %v", err)
			}
			f.must(os.RemoveAll(f.path))
			f.write("two")
			f.want("two")
			if strings.Count(f.log.String(), "read again") != 1 {
				t.Errorf("logged %s", f.log.String())
			}
		})
	}
}

func TestASecretFileNeedNotBeThereAtFirst(t *testing.T) {
	f := newFolder(t)
	if _, err := authenticate(t, f.auth, nil); err == nil || !strings.Contains(err.Error(), f.path) {
		t.Errorf("got %v", err)
	}
	f.write("one")
	f.want("one")
}

// asking is a log whose reader needs the secret for every record.
type asking struct {
	slog.Handler
	auth sdk.ClientAuth
	told []string
}

func (a *asking) Enabled(context.Context, slog.Level) bool { return true }

func (a *asking) Handle(ctx context.Context, r slog.Record) error {
	a.told = append(a.told, r.Message)
	return a.auth.Authenticate(ctx, &sdk.AuthRequest{Header: http.Header{}})
}

func TestASecretFileIsReadByWhoIsTold(t *testing.T) {
	f := newFolder(t)
	f.write("one")
	log := &asking{Handler: slog.DiscardHandler, auth: f.auth}
	for _, spoil := range []func() error{
		func() error { return nil },
		func() error { return os.Remove(f.path) },
		func() error { return os.WriteFile(f.path, []byte("two"), 0o600) },
	} {
		f.must(spoil())
		if _, err := authenticate(t, f.auth, slog.New(log)); err != nil {
			t.Error(err)
		}
	}
	if len(log.told) != 2 {
		t.Errorf("told %q", log.told)
	}
}
