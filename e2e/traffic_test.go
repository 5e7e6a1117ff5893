package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// traffic are requests that go on until stop, by clients that keep their connections.
type traffic struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	sent    atomic.Int64

	mu     sync.Mutex
	failed []string
}

// startTraffic sends GET requests to one of the addresses after another.
func startTraffic(t *testing.T, addresses ...string) *traffic {
	t.Helper()
	return startTrafficBy(t, get, addresses...)
}

// startTrafficBy is startTraffic for requests of another kind.
func startTrafficBy(t *testing.T, ask func(ctx context.Context, address string) (answer, error), addresses ...string) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &traffic{cancel: cancel}
	const clients = 8
	for range clients {
		l.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				got, err := ask(ctx, addresses[n%len(addresses)])
				if ctx.Err() != nil {
					return
				}
				l.sent.Add(1)
				if err == nil && got.Status != http.StatusOK {
					err = fmt.Errorf("%d %s", got.Status, got.Body)
				}
				if err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err.Error())
					l.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *traffic) count() int64 { return l.sent.Load() }

// await returns once n requests have been sent in all.
func (l *traffic) await(t *testing.T, n int64) {
	t.Helper()
	testbed.Wait(t, startWithin, func() error {
		if sent := l.count(); sent < n {
			return fmt.Errorf("%d requests sent, want %d", sent, n)
		}
		return nil
	})
}

// stop ends the load and returns what failed.
func (l *traffic) stop() []string {
	l.cancel()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
