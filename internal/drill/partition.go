package drill

import (
	"context"
	"fmt"
	"time"
)

const (
	// cutOff is the part to which packets vanish, or which is stopped where no fault proxy can lose them.
	cutOff = "gateway-1"
	// noticed is when the load balancer has taken it for down: two checks, 250 ms apart, of at most 500 ms each.
	noticed = 2 * time.Second
	// silence is how long the load balancer waits for an answer of a gateway before it asks the other one, and then some.
	silence = 40 * time.Second
)

func upstreamPartitioned() Drill {
	return Drill{
		Name: "upstream-partitioned",
		Does: "packets between the load balancer and one of the gateways vanish",
		Expectation: fmt.Sprintf("its health checks take the gateway down within %v: later requests do not notice; idempotent ones that wait on it already go to the other one "+
			"when the silence has lasted 30 s", noticed),
		run: runPartition,
	}
}

func runPartition(ctx context.Context, r *run) error {
	c, err := r.demoCaller()
	if err != nil {
		return err
	}
	if err := c.warm(ctx); err != nil {
		return err
	}
	orders, items := r.orders(), c.items()
	orders.patience, items.patience = silence, silence
	t := r.start(ctx, orders, items)
	defer t.stop()
	if err := pass(ctx, settle); err != nil {
		return err
	}
	proxied := r.hasFault(cutOff)
	if proxied {
		err = r.fault(ctx, cutOff, "black-hole")
	} else {
		r.step("without `up --drills` there is no proxy that loses packets: the gateway hangs instead")
		err = r.down(ctx, "pause", cutOff)
	}
	if err != nil {
		return err
	}
	cut := r.elapsed()
	if err := pass(ctx, max(r.For, noticed+settle)); err != nil {
		return err
	}
	if proxied {
		err = r.fault(ctx, cutOff, "pass")
	} else {
		err = r.bring(ctx, cutOff)
	}
	if err != nil {
		return err
	}
	if err := pass(ctx, settle); err != nil {
		return err
	}
	r.step("wait for requests that were sent to it while nobody knew")
	records := t.stop()
	r.check(noFailures(records[0].Within(cut+noticed, forever), records[1].Within(cut+noticed, forever)))
	r.check(noFailures(records[1]))
	// Service A has less patience with B than the load balancer, and then says so.
	r.check(noVerdicts([]Kind{OK, Unavailable}, records[0]))
	return nil
}

// forever is later than any drill ends.
const forever = 24 * time.Hour
