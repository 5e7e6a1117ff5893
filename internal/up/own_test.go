package up_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/up"
)

// Whoever plants a folder, or a file in it, gains nothing.
func TestPlantedFolderIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		plant func(data, victim string) error
		want  string
	}{
		{"a link to a folder", func(data, victim string) error {
			return errors.Join(os.RemoveAll(data), os.Symlink(filepath.Dir(victim), data))
		}, "a real folder"},
		{"a link to nothing", func(data, _ string) error { return errors.Join(os.RemoveAll(data), os.Symlink("nothing", data)) }, "a real folder"},
		{"a file", func(data, _ string) error { return errors.Join(os.RemoveAll(data), os.WriteFile(data, nil, 0o600)) }, "a real folder"},
		{"its group may write", func(data, _ string) error { return os.Chmod(data, 0o770) }, "(mode 0770): if all in it is yours, run `chmod 700 "},
		{"everybody may write", func(data, _ string) error { return os.Chmod(data, 0o702) }, "--data-dir"},
		{"a folder for logs that is a link", func(data, victim string) error { return os.Symlink(filepath.Dir(victim), filepath.Join(data, "logs")) }, "a real folder at "},
		{"everybody may write logs", func(data, _ string) error {
			return errors.Join(os.Mkdir(filepath.Join(data, "logs"), 0o700), os.Chmod(filepath.Join(data, "logs"), 0o777))
		}, "data/logs (mode 0777)"},
		{"a lock that is a link", func(data, victim string) error { return os.Symlink(victim, filepath.Join(data, "lock")) }, "open the data folder's lock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			data, victim := filepath.Join(folder, "data"), filepath.Join(folder, "elsewhere", "victim")
			if err := errors.Join(os.Mkdir(filepath.Dir(victim), 0o700), os.WriteFile(victim, []byte("precious"), 0o600), os.Mkdir(data, 0o700), tt.plant(data, victim)); err != nil {
				t.Fatal(err)
			}
			opened, err := up.OpenFolder(data)
			if err == nil {
				_ = opened.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q does not say %q", err, tt.want)
			}
			if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
				t.Errorf("%q, %v", text, err)
			}
			if entries, err := os.ReadDir(filepath.Dir(victim)); err != nil || len(entries) != 1 {
				t.Errorf("%v, %v", entries, err)
			}
		})
	}
}

// Only root can give a file away; for anybody else, root's own folders are another user's.
func TestFolderOfAnotherUserIsRefused(t *testing.T) {
	const another = "belongs to another user"
	if os.Getuid() != 0 {
		if _, err := up.OpenFolder("/etc"); err == nil || !strings.Contains(err.Error(), "/etc "+another) {
			t.Errorf("got %v", err)
		}
		return
	}
	for _, name := range []string{"", "logs", "curl", "master.key", "logs/steady.log"} {
		folder := openFolder(t)
		path := folder.File(name)
		if _, err := os.Lstat(path); err != nil {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(folder.Close(), os.Lchown(path, 1, 1)); err != nil {
			t.Fatal(err)
		}
		again, err := up.OpenFolder(folder.Path)
		if err == nil {
			_ = again.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), another) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestLogThatIsALinkIsRefused(t *testing.T) {
	folder := openFolder(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, folder.File("logs/steady.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, folder, 0, "steady"); err == nil {
		t.Error("started")
	}
	if _, err := os.Lstat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}

// Such as /tmp on macOS, or a home that is elsewhere.
func TestFolderBelowALink(t *testing.T) {
	above := t.TempDir()
	link := filepath.Join(above, "link")
	if err := errors.Join(os.Mkdir(filepath.Join(above, "real"), 0o700), os.Symlink("real", link)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		folder, err := up.OpenFolder(filepath.Join(link, "data"))
		if err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
}
