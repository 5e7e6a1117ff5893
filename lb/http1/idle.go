package http1

import "time"

// sweepEvery is how often idle connections are looked at.
const sweepEvery = 5 * time.Second

// take returns the idle connection to a server that was used last; nil: there is none.
func (t *Transport) take(to origin) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = false
	idle := t.idle[to]
	last := len(idle) - 1
	if last < 0 {
		return nil
	}
	c := idle[last]
	idle[last] = nil
	t.idle[to] = idle[:last]
	return c
}

// keep takes a connection that the exchange needs no more.
func (t *Transport) keep(c *conn) {
	c.release()
	c.used, c.since = true, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.idle[c.origin]
	if t.closed || len(idle) >= t.cfg.MaxIdlePerHost {
		_ = c.Close() // nothing is sent on it any more
		return
	}
	t.idle[c.origin] = append(idle, c)
	if t.sweeps == nil {
		t.sweeps = time.AfterFunc(t.pause(), t.sweep)
	}
}

func (t *Transport) pause() time.Duration { return min(sweepEvery, t.cfg.IdleTimeout) }

// sweep closes the connections that have been idle for too long, or that the other end has closed.
func (t *Transport) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for to, idle := range t.idle {
		kept := idle[:0]
		for _, c := range idle {
			if now.Sub(c.since) < t.cfg.IdleTimeout && c.alive(now) {
				kept = append(kept, c)
			} else {
				_ = c.Close() // nothing is sent on it any more
			}
		}
		clear(idle[len(kept):])
		if t.idle[to] = kept; len(kept) == 0 {
			delete(t.idle, to)
		}
	}
	if len(t.idle) == 0 {
		t.sweeps = nil
		return
	}
	t.sweeps.Reset(t.pause())
}

// CloseIdleConnections closes the connections that no request uses, and does not keep the others if no request is sent any more.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, idle := range t.idle {
		for _, c := range idle {
			_ = c.Close() // nothing is sent on it any more
		}
	}
	clear(t.idle)
	if t.sweeps != nil {
		t.sweeps.Stop()
		t.sweeps = nil
	}
}
