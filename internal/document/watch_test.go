package document_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/document"
)

// follower is a Watch of one file, whose callbacks it writes down.
type follower struct {
	t       *testing.T
	folder  string
	path    string
	signals chan os.Signal
	mutex   sync.Mutex
	heard   []string
	stop    context.CancelFunc
	stopped chan struct{}
}

func (f *follower) follow(known []byte) {
	ctx, stop := context.WithCancel(f.t.Context())
	f.stop, f.stopped, f.signals = stop, make(chan struct{}), make(chan os.Signal)
	go func() {
		defer close(f.stopped)
		document.Watch(ctx, document.WatchConfig{
			Path: f.path, Text: known, Signals: f.signals,
			Changed: func(_ context.Context, text []byte) { f.hear(string(text)) },
			Failed:  func(_ context.Context, err error) { f.hear(strings.ReplaceAll(err.Error(), f.folder, "FOLDER")) },
		})
	}()
	synctest.Wait()
}

func (f *follower) hear(text string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.heard = append(f.heard, text)
}

func (f *follower) write(text string) {
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) signal() {
	f.signals <- os.Interrupt
	synctest.Wait()
}

// hears lets some time go by and compares what was heard meanwhile.
func (f *follower) hears(after time.Duration, want ...string) {
	f.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if got := strings.Join(f.heard, "|"); got != strings.Join(want, "|") {
		f.t.Errorf("heard %q, want %q", f.heard, want)
	}
	f.heard = nil
}

func TestWatch(t *testing.T) {
	const round = 1100 * time.Millisecond // one interval, and what a new content needs to settle
	for _, tt := range []struct {
		name string
		does func(*testing.T, *follower)
	}{
		{"a known content is no news", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.hears(10 * time.Second)
		}},
		{"nothing known, so the first content is", func(_ *testing.T, f *follower) {
			f.follow(nil)
			f.hears(round, "one")
			f.hears(10 * time.Second)
		}},
		{"a write, told once", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.write("two")
			f.hears(round, "two")
			f.hears(10 * time.Second)
		}},
		{"a write of the same size and time", func(t *testing.T, f *follower) {
			f.follow([]byte("one"))
			info, err := os.Stat(f.path)
			if err != nil {
				t.Fatal(err)
			}
			f.write("two")
			if err := os.Chtimes(f.path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			f.hears(round, "two")
		}},
		{"a file renamed over it", func(t *testing.T, f *follower) {
			f.follow([]byte("one"))
			aside := follower{t: t, path: f.path + ".new"}
			aside.write("two")
			if err := os.Rename(aside.path, f.path); err != nil {
				t.Fatal(err)
			}
			f.hears(round, "two")
		}},
		{"links swapped as Kubernetes does", swapLinks},
		{"half a document is waited for", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.write("tw")
			f.hears(1050 * time.Millisecond)
			f.write("two")
			f.hears(round, "two")
		}},
		{"a content that comes and goes", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.write("two")
			f.hears(1050 * time.Millisecond)
			f.write("one")
			f.hears(round)
			f.write("two")
			f.hears(round, "two")
		}},
		{"a signal is heard though nothing changed", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.signal()
			f.hears(0, "one")
			f.hears(10 * time.Second)
		}},
		{"a signal takes a new content at once", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			f.write("two")
			f.signal()
			f.hears(0, "two")
			f.hears(10 * time.Second)
		}},
		{"signals that end", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			close(f.signals)
			f.write("two")
			f.hears(round, "two")
		}},
		{"a file that is gone, told once", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			_ = os.Remove(f.path)
			f.hears(10*time.Second, "read the document: stat FOLDER/lb.yaml: no such file or directory")
			f.signal()
			f.hears(10*time.Second, "read the document: stat FOLDER/lb.yaml: no such file or directory")
			f.write("one")
			f.hears(10 * time.Second)
			_ = os.Remove(f.path)
			f.hears(10*time.Second, "read the document: stat FOLDER/lb.yaml: no such file or directory")
		}},
		{"another error is told", func(_ *testing.T, f *follower) {
			f.follow([]byte("one"))
			_ = os.Remove(f.path)
			f.hears(round, "read the document: stat FOLDER/lb.yaml: no such file or directory")
			_ = os.Mkdir(f.path, 0o700)
			f.hears(10*time.Second, "read the document: FOLDER/lb.yaml is no regular file and cannot be followed")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := &follower{t: t, folder: folder, path: filepath.Join(folder, "lb.yaml")}
				f.write("one")
				tt.does(t, f)
				f.stop()
				<-f.stopped
			})
		})
	}
}

func swapLinks(t *testing.T, f *follower) {
	for _, text := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(f.folder, text), 0o700); err != nil {
			t.Fatal(err)
		}
		inside := follower{t: t, path: filepath.Join(f.folder, text, "lb.yaml")}
		inside.write(text)
	}
	data := filepath.Join(f.folder, "..data")
	link := func(target, name string) {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(f.path)
	link("one", data)
	link("..data/lb.yaml", f.path)
	f.follow([]byte("one"))
	f.hears(10 * time.Second)
	link("two", data+"_tmp")
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	f.hears(1100*time.Millisecond, "two")
}
