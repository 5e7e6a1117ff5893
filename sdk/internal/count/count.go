// Package count counts on hot paths: one atomic addition, to a cache line that running goroutines hardly share.
package count

import (
	"sync/atomic"
	"unsafe"
)

const (
	cellBits = 6
	// Goroutines' stacks are at least this far apart.
	stackBits = 11
	// An odd number near 2^32 divided by the golden ratio, so that neighbouring stacks get different cells.
	scatter = 0x9E3779B1
)

// Counter is a number that only grows. The zero value is ready for use, by any number of goroutines. It takes 8 KiB and must not be
// copied.
type Counter struct {
	cells [1 << cellBits]cell
}

// cell fills the pair of cache lines that processors fetch together.
type cell struct {
	n atomic.Uint64
	_ [120]byte
}

// Inc adds one.
//
// Each goroutine has a cell of its own, found by where its stack is. A cell picked at random is a cache miss nearly every time, since
// another processor was the last to write it: that is slower than one counter that all share.
func (c *Counter) Inc() {
	var here byte
	stack := uintptr(unsafe.Pointer(&here)) >> stackBits   //nolint:gosec // G103: only a hint which cell to take, never a pointer again
	c.cells[uint32(stack)*scatter>>(32-cellBits)].n.Add(1) //nolint:gosec // G115: the upper bits of an address do not matter
}

// Value returns the sum. Increments that happen meanwhile may be in it or not.
func (c *Counter) Value() uint64 {
	var sum uint64
	for i := range c.cells {
		sum += c.cells[i].n.Load()
	}
	return sum
}
