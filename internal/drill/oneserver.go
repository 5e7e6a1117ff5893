package drill

import (
	"context"
	"time"
)

func authOneKilled() Drill {
	return Drill{
		Name:        "auth-one-killed",
		Does:        "one of the auth servers is killed, and comes back",
		Expectation: "the load balancer fails over, and retries within the request: nobody notices",
		run:         func(ctx context.Context, r *run) error { return r.oneServer(ctx, "kill", "auth-1") },
	}
}

func hungAuth() Drill {
	return Drill{
		Name:        "hung-auth",
		Does:        "one of the auth servers hangs (SIGSTOP), and goes on",
		Expectation: "the load balancer fails over, and retries within the request: whoever waited on the hung server waits longer, and nobody is refused",
		run:         func(ctx context.Context, r *run) error { return r.oneServer(ctx, "pause", "auth-1") },
	}
}

func gatewayKilled() Drill {
	return Drill{
		Name:        "gateway-killed",
		Does:        "one of the gateways is killed, and comes back",
		Expectation: "the entry goes on: idempotent requests reach the other gateway without a failure",
		run:         func(ctx context.Context, r *run) error { return r.oneServer(ctx, "kill", "gateway-1") },
	}
}

// oneServer takes down one instance of two under load. Requests that are idempotent, or may be repeated, do not fail.
func (r *run) oneServer(ctx context.Context, how, part string) error {
	t, err := r.warmLoad(ctx)
	if err != nil {
		return err
	}
	defer t.stop()
	if err := r.down(ctx, how, part); err != nil {
		return err
	}
	if err := pass(ctx, r.For); err != nil {
		return err
	}
	if err := r.bring(ctx, part); err != nil {
		return err
	}
	if err := pass(ctx, settle); err != nil {
		return err
	}
	r.check(noFailures(t.stop()...))
	return nil
}

// settle is how long load goes on before and after a fault.
const settle = time.Second

// warmLoad starts every kind of request that may be repeated, and returns when all has worked for a while.
func (r *run) warmLoad(ctx context.Context) (*traffic, error) {
	c, err := r.demoCaller()
	if err != nil {
		return nil, err
	}
	if err := c.warm(ctx); err != nil {
		return nil, err
	}
	introspect, err := r.introspections(ctx)
	if err != nil {
		return nil, err
	}
	t := r.start(ctx, r.orders(), c.items(), r.tokens(), introspect)
	if err := pass(ctx, settle); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}
