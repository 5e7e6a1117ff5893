package drill

import "context"

// The counters that tell how requests were shared among instances.
const (
	gatewayRequests  = "countersign_gateway_requests_total"
	balancerRequests = "countersign_lb_requests_total"
)

func steady() Drill {
	return Drill{
		Name:        "steady",
		Does:        "nothing is broken: load on the whole chain, user to B and back",
		Expectation: "no request fails, and instances share the work evenly",
		run: func(ctx context.Context, r *run) error {
			c, err := r.demoCaller()
			if err != nil {
				return err
			}
			if err := c.warm(ctx); err != nil {
				return err
			}
			introspect, err := r.introspections(ctx)
			if err != nil {
				return err
			}
			before, err := r.shares(ctx)
			if err != nil {
				return err
			}
			t := r.start(ctx, r.orders(), c.items(), c.strict(), r.tokens(), introspect)
			defer t.stop()
			if err := pass(ctx, r.For); err != nil {
				return err
			}
			records := t.stop()
			after, err := r.shares(ctx)
			if err != nil {
				return err
			}
			r.check(noFailures(records...))
			for _, what := range sorted(after) {
				for name, n := range before[what] {
					after[what][name] -= n
				}
				r.check(even(what, after[what]))
			}
			return nil
		},
	}
}

// shares are the requests that each instance has answered so far.
func (r *run) shares(ctx context.Context) (map[string]map[string]int, error) {
	gateways, err := r.counts(ctx, r.instances("gateway-"), gatewayRequests)
	if err != nil {
		return nil, err
	}
	balancer, err := r.part("lb")
	if err != nil {
		return nil, err
	}
	// Some of what auth servers answer is a stream without an end, which only the load balancer has counted.
	text, err := r.metrics(ctx, balancer)
	if err != nil {
		return nil, err
	}
	servers := byLabel(text, balancerRequests, "upstream", `pool="issuer"`)
	return map[string]map[string]int{"requests at the gateways": gateways, "requests at the auth servers": servers}, nil
}
