package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/seal"
)

const (
	keyText   = "cs_master_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	otherText = "cs_master_AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func parse(t *testing.T, text string) seal.Key {
	t.Helper()
	key, err := seal.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseKey(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"as written", keyText, true},
		{"with a line break", keyText + "\n", true},
		{"empty", "", false},
		{"no prefix", strings.TrimPrefix(keyText, "cs_master_"), false},
		{"short", keyText[:len(keyText)-2], false},
		{"long", keyText + "AA", false},
		{"padded", keyText + "=", false},
		{"spare bits set", keyText[:len(keyText)-1] + "9", false},
		{"foreign digit", keyText[:len(keyText)-1] + "!", false},
		{"two lines", keyText + "\n" + keyText, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := seal.ParseKey(tt.text)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseKey: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "AAEC") {
				t.Fatalf("the error repeats the key: %v", err)
			}
		})
	}
}

func TestSealOpens(t *testing.T) {
	key := parse(t, keyText)
	plain, row := []byte("hello"), []byte("row 1")
	sealed := key.Seal(plain, row)
	if again := key.Seal(plain, row); bytes.Equal(sealed, again) {
		t.Fatal("the nonce repeats")
	}
	if bytes.Contains(sealed, plain) {
		t.Fatal("the plain text shows")
	}
	got, err := key.Open(sealed, row)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open: %q, %v", got, err)
	}
	if empty, err := key.Open(key.Seal(nil, nil), nil); err != nil || len(empty) != 0 {
		t.Fatalf("nothing sealed: %q, %v", empty, err)
	}
}

// TestOpenGolden holds the format in place: data sealed by an earlier version must go on opening.
func TestOpenGolden(t *testing.T) {
	sealed, err := hex.DecodeString("01cc7357053c4fa4ac4dd74fe2abca95d0c46dc3bd22618aa473732b1ca463bb341a")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := parse(t, keyText).Open(sealed, []byte("row 1"))
	if err != nil || string(plain) != "hello" {
		t.Fatalf("Open: %q, %v", plain, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	key, row := parse(t, keyText), []byte("row 1")
	sealed := key.Seal([]byte("hello"), row)
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := key.Open(damaged, row); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := key.Open(sealed[:i], row); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	for _, tt := range []struct {
		name string
		key  seal.Key
		row  string
	}{
		{"another key", parse(t, otherText), "row 1"},
		{"another row", key, "row 2"},
		{"no row", key, ""},
		{"the zero key", seal.Key{}, "row 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.key.Open(sealed, []byte(tt.row)); !errors.Is(err, seal.ErrOpen) {
				t.Fatalf("Open: %v", err)
			}
		})
	}
}

func TestKeyNeverShows(t *testing.T) {
	key := parse(t, keyText)
	type holder struct {
		Shown  seal.Key
		hidden seal.Key
	}
	inside := holder{key, key}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("started", "key", key, "config", inside)
	text, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(text), key.String(), key.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
		texts = append(texts, fmt.Sprintf(verb, inside), fmt.Sprintf(verb, &inside))
	}
	for _, text := range texts {
		for _, leak := range []string{"AAECAwQF", "000102030405", "0 1 2 3 4 5", "0x0, 0x1, 0x2"} {
			if strings.Contains(text, leak) {
				t.Errorf("the key shows in %s", text)
			}
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := seal.ReadKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing file: %v", err)
	}
	made, err := seal.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("made twice: %v", err)
	}
	read, err := seal.ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := read.Open(made.Seal([]byte("hello"), nil), nil); err != nil || string(plain) != "hello" {
		t.Fatalf("the key read is not the key made: %q, %v", plain, err)
	}
	if read.Source() != path {
		t.Errorf("source %q", read.Source())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "cs_master_") || strings.Count(string(text), "\n") != 1 {
		t.Errorf("the file is not one line with the prefix")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhoMayTouchTheKeyFile(t *testing.T) {
	const root, we, somebody = 0, 10001, 1000
	for _, tt := range []struct {
		name        string
		mode        fs.FileMode
		owner, self int
		exposed     bool
	}{
		{"ours", 0o600, we, we, false},
		{"ours, group reads", 0o640, we, we, true},
		{"ours, others read", 0o604, we, we, true},
		{"root's for our group", 0o440, root, we, false},
		{"root's, group writes", 0o660, root, we, true},
		{"root's, others read", 0o444, root, we, true},
		{"root's for root", 0o640, root, root, true},
		{"somebody's for our group", 0o640, somebody, we, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := seal.Exposed(tt.mode, tt.owner, tt.self); got != tt.exposed {
				t.Errorf("exposed: %v, want %v", got, tt.exposed)
			}
		})
	}
}

func TestKeyFileRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode fs.FileMode
		text string
		want string
	}{
		{"group may read", 0o640, keyText, "chmod 600"},
		{"others may read", 0o604, keyText, "chmod 600"},
		{"empty", 0o600, "", "cs_master_"},
		{"half written", 0o600, keyText[:20], "cs_master_"},
		{"huge", 0o600, strings.Repeat(keyText, 1000), "cs_master_"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.key")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := seal.ReadKeyFile(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("ReadKeyFile: %v", err)
			}
			if strings.Contains(err.Error(), "AAEC") {
				t.Fatalf("the error repeats the key: %v", err)
			}
		})
	}
	if _, err := seal.ReadKeyFile(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
	if _, err := seal.CreateKeyFile(filepath.Join(t.TempDir(), "missing", "master.key")); err == nil {
		t.Error("a file was made in a folder that does not exist")
	}
}

func TestCreateKeyFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	var group sync.WaitGroup
	made := make([]error, 10)
	for i := range made {
		group.Go(func() { _, made[i] = seal.CreateKeyFile(path) })
	}
	group.Wait()
	winners := 0
	for _, err := range made {
		if err == nil {
			winners++
		} else if !errors.Is(err, fs.ErrExist) {
			t.Errorf("CreateKeyFile: %v", err)
		}
	}
	if winners != 1 {
		t.Errorf("%d processes made the key", winners)
	}
}
