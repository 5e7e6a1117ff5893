package memory

import (
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// history is how far the change log was applied, and the revocations in it that are still remembered. It is immutable.
type history struct {
	// position is what was applied. Its Floor is the lowest sequence after which revocations is complete.
	position auth.Position
	// revocations is in order. Newer histories share its array and write only behind its end.
	revocations []auth.Change
}

// after returns the revocations whose sequence is above sequence.
func (h *history) after(sequence uint64) []auth.Change {
	i, _ := slices.BinarySearchFunc(h.revocations, sequence, func(c auth.Change, s uint64) int {
		if c.Sequence <= s {
			return -1
		}
		return 1
	})
	return slices.Clip(h.revocations[i:])
}

// extended is h after some more of the log.
func (h *history) extended(sequence uint64, revocations []auth.Change) *history {
	longer := *h
	longer.position.Sequence = sequence
	longer.revocations = append(longer.revocations, revocations...)
	return &longer
}

// pruned is h without the revocations that nobody needs any more, which are returned as well. The floor does not move: what is
// left out can match no living token.
func (h *history) pruned(now time.Time) (*history, []auth.Change) {
	var kept, dropped []auth.Change
	for i := range h.revocations {
		if now.Before(h.revocations[i].NeededUntil()) {
			kept = append(kept, h.revocations[i])
		} else {
			dropped = append(dropped, h.revocations[i])
		}
	}
	if len(dropped) == 0 {
		return h, nil
	}
	shorter := *h
	shorter.revocations = kept
	return &shorter, dropped
}

// bell tells any number of waiters that something happened.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

func newBell() *bell { return &bell{next: make(chan struct{})} }

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}
