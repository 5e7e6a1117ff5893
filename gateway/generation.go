package gateway

import (
	"net/http"
	"sync/atomic"
	"time"
)

// generation serves one document. It lasts until another has taken its place and the last of its requests is done.
type generation struct {
	gateway *Gateway
	loaded  time.Time
	ready   atomic.Bool  // every verifier was able to judge once
	users   atomic.Int64 // requests, and one for being in force; 0: it is over
	release func()       // ends what only this generation uses
}

func newGeneration(g *Gateway, now time.Time) *generation {
	n := &generation{gateway: g, loaded: now, release: func() {}}
	n.users.Store(1)
	return n
}

// enter counts a user, unless it is too late.
func (g *generation) enter() bool {
	for {
		n := g.users.Load()
		if n == 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave undoes enter, or says that the generation is not in force any more.
func (g *generation) leave() {
	if g.users.Add(-1) == 0 {
		g.release()
	}
}

// serve has requests served by a generation. One that had got hold of it when it was over already goes to the one in force.
func (p *process) serve(g *generation, by func(*Gateway, http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := g
		for !g.enter() {
			g = p.current.Load()
		}
		defer g.leave()
		by(g.gateway, w, r)
	})
}
