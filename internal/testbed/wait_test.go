package testbed_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

func TestWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		wins int // the asking that succeeds
		took time.Duration
		want string
	}{
		{name: "at once", wins: 1},
		{name: "later", wins: 3, took: 10 * time.Millisecond},
		{name: "never", wins: 1e6, took: time.Second, want: "still so after 1s: not yet\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, asked := time.Now(), 0
				got := failures(t, func(tb testing.TB) {
					testbed.Wait(tb, time.Second, func() error {
						if asked++; asked < tt.wins {
							return errors.New("not yet")
						}
						return nil
					})
				})
				if took := time.Since(start); got != tt.want || took != tt.took {
					t.Errorf("failures %q after %v, want %q after %v", got, took, tt.want, tt.took)
				}
			})
		})
	}
}

// failures runs do as a test of its own, clean-ups included, and returns the messages of its failures.
func failures(t *testing.T, do func(tb testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { do(r) })
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		run(last)
	}
	return r.failures.String()
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failures strings.Builder
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.failures, format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Failed() bool { return r.failures.Len() > 0 }

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
