package reload_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/reload"
)

// pair are two files that go together if they hold the same.
type pair struct {
	*testing.T
	paths [2]string
	file  *reload.File[string]
	reads int
	log   bytes.Buffer
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{T: t, paths: [2]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}}
	p.file = reload.New("pair", 1<<10, func(texts [][]byte) (string, error) {
		p.reads++
		if !bytes.Equal(texts[0], texts[1]) {
			return "", errors.New("they differ")
		}
		return string(texts[0]), nil
	}, p.paths[:]...)
	return p
}

func (p *pair) write(n int, text string) {
	p.Helper()
	if err := os.WriteFile(p.paths[n], []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *pair) want(value, says string) {
	p.Helper()
	got, err := p.file.Value(p.Context(), slog.New(slog.NewTextHandler(&p.log, nil)))
	if got != value || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
		p.Errorf("got %q, %v; want %q, %q", got, err, value, says)
	}
}

func TestFilesThatGoTogether(t *testing.T) {
	p := newPair(t)
	p.want("", "read pair: ")
	p.write(0, "one")
	p.want("", "no such file")
	p.write(1, "two")
	p.want("", "they differ")
	p.write(1, "one")
	p.want("one", "")
	if p.log.Len() > 0 {
		t.Errorf("logged %s", p.log.String())
	}
	p.write(0, "two") // one is replaced before the other
	p.want("one", "")
	p.want("one", "")
	p.write(1, "two")
	p.want("two", "")
	p.write(1, strings.Repeat("x", 1<<10+1))
	p.want("two", "")
	if got := p.log.String(); strings.Count(got, "they differ") != 1 || strings.Count(got, "is read again") != 1 || strings.Count(got, "longer than 1 KiB") != 1 {
		t.Errorf("logged %s", got)
	}
}

func TestFilesThatDoNotChangeAreReadOnce(t *testing.T) {
	p := newPair(t)
	for n := range 2 {
		p.write(n, "one")
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(p.paths[n], old, old); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		p.want("one", "")
	}
	if p.reads != 1 {
		t.Errorf("read %d times", p.reads)
	}
	p.write(0, "two")
	p.write(1, "two")
	p.want("two", "")
}
