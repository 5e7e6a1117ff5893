package serviceb

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// What can be wrong with a reservation.
var (
	errUnknownItem = errors.New("no such item")
	errQuantity    = errors.New("quantity must be 1 to 1000")
	errTooFew      = errors.New("not enough in stock")
	errKeyReused   = errors.New("the Idempotency-Key belongs to another reservation")
	errKeyLength   = errors.New("the Idempotency-Key may have 128 bytes at most")
)

// item is one line of the inventory.
type item struct {
	Item      string `json:"item"`
	Available int    `json:"available"`
	Reserved  int    `json:"reserved"`
}

// reservation is what a caller gets. left is what remains available after it.
type reservation struct {
	Reservation string `json:"reservation"`
	Item        string `json:"item"`
	Quantity    int    `json:"quantity"`
	Left        int    `json:"left"`
}

// stock is kept in memory: a demo begins anew with each start.
type stock struct {
	mu    sync.Mutex
	lines map[string]*item
	made  map[string]reservation // by caller and Idempotency-Key
	keys  []string               // of made, the oldest first
}

// maxKept bounds the reservations that a repeated request finds again.
const maxKept = 10_000

func newStock() *stock {
	return &stock{
		lines: map[string]*item{
			"anvil": {Item: "anvil", Available: 1_000_000}, "bellows": {Item: "bellows", Available: 250}, "tongs": {Item: "tongs", Available: 12},
		},
		made: map[string]reservation{},
	}
}

func (s *stock) items() []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]item, 0, len(s.lines))
	for _, line := range s.lines {
		list = append(list, *line)
	}
	slices.SortFunc(list, func(a, b item) int { return cmp.Compare(a.Item, b.Item) })
	return list
}

// reserve takes quantity off what is available. The same caller with the same key, if there is one, gets the reservation that it
// has already.
func (s *stock) reserve(caller, key, name string, quantity int) (reservation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != "" {
		if len(key) > 128 {
			return reservation{}, errKeyLength
		}
		key = caller + " " + key
		if made, found := s.made[key]; found {
			if made.Item != name || made.Quantity != quantity {
				return reservation{}, errKeyReused
			}
			return made, nil
		}
	}
	line, known := s.lines[name]
	switch {
	case !known:
		return reservation{}, fmt.Errorf("%w: %q; there are %q", errUnknownItem, name, slices.Sorted(maps.Keys(s.lines)))
	case quantity < 1 || quantity > 1000:
		return reservation{}, fmt.Errorf("%w, not %d", errQuantity, quantity)
	case quantity > line.Available:
		return reservation{}, fmt.Errorf("%w: %d of %q are available", errTooFew, line.Available, name)
	}
	line.Available -= quantity
	line.Reserved += quantity
	made := reservation{Reservation: rand.Text(), Item: name, Quantity: quantity, Left: line.Available}
	if key != "" {
		s.keep(key, made)
	}
	return made, nil
}

func (s *stock) keep(key string, made reservation) {
	if len(s.keys) == maxKept {
		delete(s.made, s.keys[0])
		s.keys = s.keys[1:]
	}
	s.made[key] = made
	s.keys = append(s.keys, key)
}
