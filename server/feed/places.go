package feed

import (
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// places bound the streams: all together, and those of one client, which leaves room for others.
type places struct {
	limit, share int

	mu    sync.Mutex
	taken int
	of    map[auth.ClientID]int
}

func newPlaces(limit int) *places {
	return &places{limit: limit, share: max(1, limit/4), of: make(map[auth.ClientID]int)}
}

// take takes a place, to be freed.
func (p *places) take(client auth.ClientID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[client] >= p.share {
		return &fault.Error{Code: fault.TooMany, Detail: "the client has too many streams open; poll instead", RetryAfter: time.Minute}
	}
	if p.taken >= p.limit {
		return &fault.Error{Code: fault.Unavailable, Detail: "too many streams are open; poll instead", RetryAfter: time.Minute}
	}
	p.taken++
	p.of[client]++
	return nil
}

func (p *places) free(client auth.ClientID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.of[client]--; p.of[client] == 0 {
		delete(p.of, client)
	}
}

func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
