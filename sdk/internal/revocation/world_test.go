package revocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// change is one entry of the log of a world, the time of its commit, and that from which the follower had it in hand.
type change struct {
	Sequence uint64 `json:"seq"`
	Kind     string `json:"kind"`
	Token    string `json:"jti,omitempty"`
	Client   string `json:"client_id,omitempty"`
	Expires  int64  `json:"exp"`

	committed time.Time
	delivered time.Time
}

// database is a log of changes; some sequences are missing, since they are of changes that revoke nothing.
type database struct {
	generation string
	first      uint64 // the log begins behind it
	log        []*change
}

func (d *database) seq() uint64 { return d.first + uint64(len(d.log)) }

// instance is a server that reads a database now and then, as server/feed has it.
type instance struct {
	from *database
	at   uint64
	read time.Time // when its last successful read began
	down bool      // it cannot reach its database
	lost bool      // and never will
}

// world is two instances that lag behind their database and each other, behind a network that holds back, cuts and loses.
type world struct {
	mu        sync.Mutex
	rand      *rand.Rand
	current   *database
	instances [2]*instance
	follower  *revocation.Follower
}

func newWorld(seed uint64) *world {
	w := &world{rand: rand.New(rand.NewPCG(seed, 0)), current: &database{generation: "5", first: 100}}
	for n := range w.instances {
		w.instances[n] = &instance{from: w.current, at: w.current.seq(), read: time.Now()}
	}
	return w
}

// chance is true n times of 100.
func (w *world) chance(n int) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.rand.IntN(100) < n }

// under returns a random time.
func (w *world) under(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rand.Int64N(int64(d)))
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// revoke commits changes until ctx ends.
func (w *world) revoke(ctx context.Context) {
	for sleep(ctx, w.under(400*time.Millisecond)) {
		w.mu.Lock()
		c := &change{Sequence: w.current.seq() + 1, Kind: "token", Expires: time.Now().Add(time.Hour).Unix(), committed: time.Now()}
		if c.Token = fmt.Sprint(w.current.generation, "/", c.Sequence); w.rand.IntN(4) == 0 {
			c.Kind, c.Token, c.Client = "client", "", fmt.Sprint(w.rand.IntN(5))
		}
		w.current.log = append(w.current.log, c)
		w.mu.Unlock()
	}
}

// follow makes an instance read its database until ctx ends.
func (w *world) follow(ctx context.Context, i *instance) {
	for sleep(ctx, w.under(250*time.Millisecond)) {
		w.mu.Lock()
		switch dice := w.rand.IntN(100); {
		case i.lost || dice == 0:
			i.down = true
		case dice < 6:
			i.down = false
		}
		from, began, at, down := i.from, time.Now(), i.from.seq(), i.down
		w.mu.Unlock()
		if !sleep(ctx, w.under(100*time.Millisecond)) || down {
			continue
		}
		w.mu.Lock()
		if i.from == from {
			i.at, i.read = max(i.at, at), began
		}
		w.mu.Unlock()
	}
}

// lose makes an instance go on for ever without its database.
func (w *world) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances[0].lost = true
}

// restore begins another generation, of which the lost instance never hears.
func (w *world) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = &database{generation: "7", first: 1000}
	w.current.log = append(w.current.log, &change{
		Sequence: 1001, Kind: "all", Expires: time.Now().Add(time.Hour).Unix(), committed: time.Now(),
	})
	w.instances[0].from = &database{generation: "5", first: 100, log: w.instances[0].from.log}
	w.instances[1].from, w.instances[1].at, w.instances[1].read = w.current, w.current.seq(), time.Now()
}

// since is what an instance answers to a cursor: whatever came after it, or everything.
func (w *world) since(i *instance, cursor string) (body []byte, at string, some []*change) {
	var generation, sequence uint64
	n, _ := fmt.Sscanf(cursor, "%d.%d", &generation, &sequence)
	snapshot := n != 2 || fmt.Sprint(generation) != i.from.generation || sequence > i.at || w.rand.IntN(10) == 0
	for _, c := range i.from.log {
		if c.Sequence <= i.at && (snapshot || c.Sequence > sequence) {
			some = append(some, c)
		}
	}
	body, err := json.Marshal(map[string]any{
		"generation": i.from.generation, "seq": i.at, "snapshot": snapshot, "entries": append([]*change{}, some...),
		"age_ms": (time.Since(i.read) + time.Millisecond - 1).Milliseconds(),
	})
	if err != nil {
		panic(err)
	}
	return body, fmt.Sprint(i.from.generation, ".", i.at), some
}

// deliver notes that the follower has these in hand, unless they are of a generation that it does not follow.
func (w *world) deliver(generation string, some []*change) {
	if w.follower.Describe().Generation != generation {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range some {
		if c.delivered.IsZero() {
			c.delivered = time.Now()
		}
	}
}

// hold is how long the network takes.
func (w *world) hold() time.Duration {
	if w.chance(10) {
		return w.under(3 * time.Second)
	}
	return w.under(50 * time.Millisecond)
}

func (w *world) poll(ctx context.Context, cursor string) ([]byte, time.Time, error) {
	began := time.Now()
	if !sleep(ctx, w.hold()) {
		return nil, began, ctx.Err()
	}
	if w.chance(10) {
		return nil, began, errors.New("lost")
	}
	w.mu.Lock()
	from := w.instances[w.rand.IntN(2)]
	generation := from.from.generation
	body, _, some := w.since(from, cursor)
	w.mu.Unlock()
	if !sleep(ctx, w.hold()) {
		return nil, began, ctx.Err()
	}
	w.deliver(generation, some)
	return body, began, nil
}

// stream opens a stream that ends with ctx, or is cut off somewhere.
func (w *world) stream(ctx context.Context, cursor string) (io.ReadCloser, error) {
	if !sleep(ctx, w.hold()) || w.chance(10) {
		return nil, errors.New("lost")
	}
	r, pipe := io.Pipe()
	w.mu.Lock()
	from := w.instances[w.rand.IntN(2)]
	w.mu.Unlock()
	go func() {
		defer pipe.Close()
		for sleep(ctx, w.under(300*time.Millisecond)) && !w.chance(2) {
			w.mu.Lock()
			generation := from.from.generation
			body, at, some := w.since(from, cursor)
			w.mu.Unlock()
			text, cut := "id: "+at+"\n\n", w.chance(2)
			if len(some) > 0 {
				text = "id: " + at + "\ndata: " + string(body) + "\n\n"
			}
			if cut {
				text = text[:w.under(time.Duration(len(text)))]
			}
			if !sleep(ctx, w.hold()) {
				return
			}
			if _, err := io.WriteString(pipe, text); err != nil || cut {
				return
			}
			w.deliver(generation, some)
			cursor = at
		}
	}()
	return r, nil
}
