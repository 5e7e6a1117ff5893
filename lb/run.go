package lb

import (
	"context"
	"sync"
	"time"
)

// Run checks every upstream until ctx ends, the first time at once, and looks for them if there is a Discovery. It returns when all checks
// have ended. Without it an upstream that is down stays down until no other is left. It may be called again after it has returned, but not
// twice at once.
func (p *Pool) Run(ctx context.Context) {
	defer p.cfg.Metrics.show(p)()
	var checks sync.WaitGroup
	defer checks.Wait()
	watched := map[*Upstream]context.CancelFunc{}
	for {
		p.watchMembers(ctx, watched, &checks)
		if !p.rest(ctx) {
			for _, stop := range watched {
				stop()
			}
			return
		}
		p.lookUp(ctx)
	}
}

// watchMembers starts the checks of upstreams that are new and ends those of upstreams that are members no more.
func (p *Pool) watchMembers(ctx context.Context, watched map[*Upstream]context.CancelFunc, checks *sync.WaitGroup) {
	if p.cfg.Health.Disabled {
		return
	}
	members := p.current()
	here := make(map[*Upstream]bool, len(members))
	for _, u := range members {
		here[u] = true
		if watched[u] == nil {
			each, stop := context.WithCancel(ctx)
			watched[u] = stop
			checks.Go(func() { p.watch(each, u) })
		}
	}
	for u, stop := range watched {
		if !here[u] {
			stop()
			delete(watched, u)
		}
	}
}

func (p *Pool) current() []*Upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}

// rest waits until it is time for a look-up, and reports whether that came before the end.
func (p *Pool) rest(ctx context.Context) bool {
	var due <-chan time.Time
	if p.cfg.Discovery != nil {
		timer := time.NewTimer(p.nextLookUp())
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-due:
		return true
	}
}
