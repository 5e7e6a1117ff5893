package drill

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/countersign/countersign/sdk"
)

const (
	// storming is how many clients without a token wait for the auth servers to come back.
	storming = 10
	// stormTime is how long after the return requests for tokens are counted, mostTokens how many each client may send.
	stormTime  = 10 * time.Second
	mostTokens = 2
	// leaseOver is when strict routes may no longer go by memory: the bound of 1 s, and what a poll under way and its answer take.
	leaseOver = 2500 * time.Millisecond
	// healWithin is how soon all works again after the cause is gone.
	healWithin = 15 * time.Second
)

func authAllKilled() Drill {
	return Drill{
		Name:        "auth-all-killed",
		Does:        "every auth server is killed, and all come back",
		Expectation: "cached tokens go on being used: no failure on `available` routes, 503 on `strict` ones once the lease is over; no token storm afterwards",
		run:         runAllKilled,
	}
}

func runAllKilled(ctx context.Context, r *run) error {
	servers := r.instances("auth-")
	c, err := r.demoCaller()
	if err != nil {
		return err
	}
	waiting, err := r.waiters(ctx)
	if err != nil {
		return err
	}
	if err := c.warm(ctx); err != nil {
		return err
	}
	t := r.start(ctx, c.items(), r.orders(), c.strict(), r.tokens())
	defer t.stop()
	if err := pass(ctx, settle); err != nil {
		return err
	}
	for _, s := range servers {
		if err := r.down(ctx, "kill", s.Name); err != nil {
			return err
		}
	}
	gone := r.elapsed()
	tokens := make(chan int, 1)
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking()
	go func() { tokens <- waiting.wait(asking) }()
	if err := pass(ctx, r.Outage); err != nil {
		return err
	}
	back, returned := r.elapsed(), time.Now()
	for _, s := range servers {
		if err := r.bring(ctx, s.Name); err != nil {
			return err
		}
	}
	ready, until := r.elapsed(), time.Now().Add(stormTime)
	if err := pass(ctx, stormTime); err != nil {
		return err
	}
	stopAsking()
	got := <-tokens
	records := t.stop()
	items, orders, strict, issued := records[0], records[1], records[2], records[3]
	r.check(noFailures(items, orders),
		onlyUnavailable(fmt.Sprintf("from %v after the last was killed", leaseOver), strict.Within(gone+leaseOver, back)),
		noVerdicts([]Kind{OK, Unavailable}, strict),
		noVerdicts([]Kind{OK, Unavailable, ServerError}, issued),
		healed(strict, ready), healed(issued, ready))
	asked, err := r.tokenRequests(returned, until)
	if err != nil {
		return err
	}
	most := 0
	for _, id := range waiting.ids {
		most = max(most, asked[id])
	}
	r.check(atMost(fmt.Sprintf("no token storm: each of %d clients that wait for a token asks at most %d times in the first %v", storming, mostTokens, stormTime), most, mostTokens),
		holds("each of them has its token then", got == storming, fmt.Sprintf("%d of %d", got, storming)))
	return nil
}

// healed: from a while after the return on, nothing fails.
func healed(r Record, ready time.Duration) Check {
	var last time.Duration
	for _, s := range r.Samples {
		if s.Kind != OK {
			last = max(last, s.Begun)
		}
	}
	return within(fmt.Sprintf("%s: works again within %v", r.Name, healWithin), max(0, last-ready), min(healWithin, stormTime/2))
}

// waiters are clients that have no token, and go on wanting one.
type waiters struct {
	ids     []string
	sources []*sdk.TokenSource
}

// waiters makes clients that are removed when the drill ends.
func (r *run) waiters(ctx context.Context) (*waiters, error) {
	o, err := r.newOffice()
	if err != nil {
		return nil, err
	}
	resource := r.Bootstrap.Clients["service-a"].Resource
	api, err := o.apiID(ctx, resource)
	if err != nil {
		return nil, err
	}
	w := &waiters{}
	for range storming {
		made, err := o.client(ctx, api, resource, "inventory:read")
		if err != nil {
			return nil, err
		}
		client, err := sdk.New(r.Bootstrap.Issuer, made.ClientID, sdk.Secret(made.ClientSecret), sdk.WithLogger(r.quiet))
		if err != nil {
			return nil, fmt.Errorf("make a client of the SDK: %w", err)
		}
		r.later("close the SDK's client "+rand.Text(), func(context.Context) error { return client.Close() })
		w.ids, w.sources = append(w.ids, made.ClientID), append(w.sources, client.TokenSource(resource))
	}
	r.step("made %d clients that have no token yet", storming)
	return w, nil
}

// wait has all of them ask, as calls do that come in all the time, and returns how many had their token before ctx ended.
func (w *waiters) wait(ctx context.Context) (got int) {
	had := make(chan bool)
	for _, source := range w.sources {
		go func() {
			for ctx.Err() == nil {
				if _, err := source.Token(ctx); err == nil {
					had <- true
					return
				}
				_ = pass(ctx, 20*time.Millisecond) // looked at next
			}
			had <- false
		}()
	}
	for range w.sources {
		if <-had {
			got++
		}
	}
	return got
}
