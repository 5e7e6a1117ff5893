package listeners

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// drain ends the listeners that are Last, or all others.
func (s *Set) drain(last bool) error {
	s.mu.Lock()
	var ending []*listener
	for _, l := range s.open {
		if l.spec.Last == last {
			ending = append(ending, l)
		}
	}
	s.mu.Unlock()
	var draining sync.WaitGroup
	errs := make([]error, len(ending))
	for i, l := range ending {
		draining.Go(func() { errs[i] = l.drain(l.delay()) })
	}
	draining.Wait()
	return errors.Join(errs...)
}

func (l *listener) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spec.DrainDelay
}

// drain accepts connections for delay, each for one more request, closes the socket, and waits for what is in flight. Nobody calls
// change at the same time or later.
func (l *listener) drain(delay time.Duration) error {
	l.draining.Store(true)
	if delay > 0 {
		time.Sleep(delay)
	}
	l.closeSocket()
	l.accepting.Wait()
	l.mu.Lock()
	name := l.spec.Name
	all := []*generation{l.current}
	for g := range l.old {
		all = append(all, g)
	}
	l.mu.Unlock()
	for _, g := range all {
		g.stop()
	}
	l.running.Wait()
	var errs []error
	for _, g := range all {
		if g.failed != nil {
			errs = append(errs, fmt.Errorf("listener %s: %w", name, g.failed))
		}
	}
	return errors.Join(errs...)
}

// closeSocket makes the address free.
func (l *listener) closeSocket() {
	l.closeOnce.Do(func() {
		close(l.closing)
		if err := l.socket.Close(); err != nil {
			l.log.Error("close listener", "address", l.socket.Addr().String(), "error", err)
		}
	})
}
