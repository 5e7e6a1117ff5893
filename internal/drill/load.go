package drill

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// inFlight bounds the requests of one load that wait at once. What is wanted beyond it counts as failed.
	inFlight = 256
	// patience is how long a request may take, unless its load says otherwise.
	patience = 10 * time.Second
	// mostSamples bounds one load.
	mostSamples = 1_000_000
)

// asking is a kind of request that is sent again and again.
type asking struct {
	name string
	ask  func(ctx context.Context) Sample // fills in what became of it; not the times
	// patience is how long one may take; 0: 10 s.
	patience time.Duration
}

// traffic is load that runs.
type traffic struct {
	run   *run
	end   context.CancelFunc
	loads []*stream
	wait  sync.WaitGroup
	once  sync.Once

	records []Record
}

// stream sends one kind of request at a steady rate, whatever becomes of the earlier ones.
type stream struct {
	asking
	began   time.Time
	mu      sync.Mutex
	samples []Sample
}

// start sends these requests, each kind at the configured rate, until stop.
func (r *run) start(ctx context.Context, all ...asking) *traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{run: r, end: cancel}
	var what []Record
	for _, a := range all {
		s := &stream{asking: a, began: r.began}
		t.loads = append(t.loads, s)
		what = append(what, Record{Name: a.name})
		t.wait.Go(func() { s.send(ctx, r.Rate) })
	}
	r.step("load: %d requests a second each of %s", r.Rate, names(what))
	return t
}

func (s *stream) send(ctx context.Context, rate int) {
	var requests sync.WaitGroup
	defer requests.Wait()
	free := make(chan struct{}, inFlight)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for range mostSamples {
		select {
		case free <- struct{}{}:
			requests.Go(func() {
				defer func() { <-free }()
				s.one(ctx)
			})
		default:
			now := time.Since(s.began)
			s.add(Sample{Begun: now, Ended: now, Kind: NoAnswer, Detail: fmt.Sprintf("not sent: %d wait already", inFlight)})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// one sends one request. Those under way when the load ends are waited for, so that they count.
func (s *stream) one(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(s.patience, patience))
	defer cancel()
	begun := time.Since(s.began)
	got := s.ask(ctx)
	got.Begun, got.Ended = begun, time.Since(s.began)
	s.add(got)
}

func (s *stream) add(one Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, one)
}

// stop ends the load, waits for what is under way, and puts the figures into the report. It returns the records in the order of start.
// Stopping again does nothing more.
func (t *traffic) stop() []Record {
	t.once.Do(func() {
		t.end()
		t.wait.Wait()
		for _, s := range t.loads {
			record := Record{Name: s.name, Samples: s.samples}
			t.records = append(t.records, record)
			t.run.report.Loads = append(t.run.report.Loads, summary(record))
		}
	})
	return t.records
}
