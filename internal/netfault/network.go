package netfault

import (
	"sync"
	"time"
)

// Direction is one of the two ways through a [Proxy].
type Direction int

// The two directions.
const (
	ToTarget Direction = iota // what the client sends
	ToClient                  // what the target answers
)

// path is the state of the network in one direction. The zero value is a good network.
type path struct {
	drop  bool
	delay time.Duration
	rate  int // bytes per second, 0 for no limit
}

// network is the state of a proxy's network, indexed by Direction.
type network struct {
	mu      sync.Mutex
	paths   [2]path
	changed chan struct{} // closed and replaced at every change
}

// set replaces the state and wakes all who wait for that.
func (n *network) set(change func(paths *[2]path)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.paths)
	close(n.changed)
	n.changed = make(chan struct{})
}

// state returns the path in direction d, and a channel that is closed when anything changes.
func (n *network) state(d Direction) (path, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paths[d], n.changed
}

// blackHole reports whether nothing passes in either direction.
func (n *network) blackHole() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paths[ToTarget].drop && n.paths[ToClient].drop
}
