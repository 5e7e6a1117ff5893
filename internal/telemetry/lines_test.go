package telemetry_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/telemetry"
)

func TestLinesAreWholeAndInOrder(t *testing.T) {
	const writers, each = 8, 2000
	var out bytes.Buffer
	var writes atomic.Int64
	lines := telemetry.NewLines(writer(func(p []byte) (int, error) {
		writes.Add(1)
		return out.Write(p)
	}))
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				_, _ = fmt.Fprintf(lines, "%d %d\n", w, n)
			}
		})
	}
	all.Wait()
	lines.Close()
	_, _ = io.WriteString(lines, "afterwards\n")
	next := map[int]int{}
	for line := range strings.Lines(strings.TrimSuffix(out.String(), "afterwards\n")) {
		var w, n int
		if _, err := fmt.Sscanf(line, "%d %d\n", &w, &n); err != nil || next[w] != n {
			t.Fatalf("line %q after %d of its writer: %v", line, next[w], err)
		}
		next[w]++
	}
	for w := range writers {
		if next[w] != each {
			t.Errorf("%d of %d lines of writer %d", next[w], each, w)
		}
	}
	if !strings.HasSuffix(out.String(), "afterwards\n") {
		t.Error("a line after the end is lost")
	}
	if writes.Load() > writers*each/2 {
		t.Errorf("%d writes for %d lines", writes.Load(), writers*each)
	}
}

// A lone line is written at once, those that follow a moment later.
func TestLinesComeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var after []time.Duration
		var got []string
		lines := telemetry.NewLines(writer(func(p []byte) (int, error) {
			after, got = append(after, time.Since(began)), append(got, string(p))
			return len(p), nil
		}))
		for _, line := range []string{"a\n", "b\n", "c\n"} {
			_, _ = io.WriteString(lines, line)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		_, _ = io.WriteString(lines, "d\n")
		synctest.Wait()
		lines.Close()
		if fmt.Sprint(got, after) != fmt.Sprint([]string{"a\n", "b\nc\n", "d\n"}, []time.Duration{0, 5 * time.Millisecond, time.Second}) {
			t.Errorf("got %q after %v", got, after)
		}
	})
}

// Whoever logs more than can be written waits, and nothing is lost.
func TestLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, count = 64 << 10, 100
		release := make(chan struct{})
		var passed int
		lines := telemetry.NewLines(writer(func(p []byte) (int, error) {
			<-release
			passed += len(p)
			return len(p), nil
		}))
		var accepted atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range count {
				_, _ = lines.Write(bytes.Repeat([]byte("x"), size))
				accepted.Add(size)
			}
		}()
		synctest.Wait()
		if got := accepted.Load(); got < 1<<20 || got > 2<<20 {
			t.Errorf("%d bytes wait for a writer that is stuck", got)
		}
		close(release)
		<-done
		lines.Close()
		if passed != size*count {
			t.Errorf("%d of %d bytes", passed, size*count)
		}
	})
}

// A warning or an error is written when the call that logs it returns, and what came before it with it.
func TestWarningsAreNotKeptBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		lines := telemetry.NewLines(&out)
		defer lines.Close()
		plain := telemetry.NewLeveledLogger(lines, slog.LevelDebug)
		for _, logger := range []*slog.Logger{plain, plain.With("with", 1), plain.WithGroup("group")} {
			for level, written := range map[slog.Level]bool{slog.LevelDebug: false, slog.LevelInfo: false, slog.LevelWarn: true, slog.LevelError: true} {
				logger.Info("before")
				synctest.Wait() // the first line after a pause is written at once, and the next only after another
				lines.Flush()
				out.Reset()
				logger.Info("earlier")
				logger.Log(t.Context(), level, "this")
				if got := out.String(); strings.Contains(got, `"this"`) != written || strings.Contains(got, `"earlier"`) != written {
					t.Errorf("level %v: written is %q", level, got)
				}
				lines.Flush()
				if got := out.String(); strings.Count(got, `"this"`) != 1 || strings.Count(got, "\n") != 2 {
					t.Errorf("level %v: after Flush %q", level, got)
				}
			}
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
