package drill

import (
	"context"
	"time"
)

func tokenStoreDown() Drill {
	return Drill{
		Name:        "token-store-down",
		Does:        "Redis is refused, hangs, and is black-holed",
		Expectation: "everything works, from memory and database: nothing fails, what asks Redis takes 50 ms longer until the breaker opens",
		run: func(ctx context.Context, r *run) error {
			if r.system.TokenStore != "redis" {
				return notApplicable{"the token store is in the process of each auth server, so it cannot be down by itself: start with `countersign up --drills --redis redis://…`"}
			}
			if !r.hasFault("token-store") {
				return notApplicable{"nothing is between the auth servers and Redis that could break: start with `countersign up --drills --redis redis://…`"}
			}
			t, err := r.warmLoad(ctx)
			if err != nil {
				return err
			}
			defer t.stop()
			for _, mode := range brokenModes() {
				if err := r.fault(ctx, "token-store", mode); err != nil {
					return err
				}
				if err := pass(ctx, max(time.Second, r.For/3)); err != nil {
					return err
				}
				if err := r.fault(ctx, "token-store", "pass"); err != nil {
					return err
				}
				if err := pass(ctx, settle); err != nil {
					return err
				}
			}
			r.check(noFailures(t.stop()...))
			return nil
		},
	}
}

// brokenModes are the ways in which a server outside is lost.
func brokenModes() []string { return []string{"refuse", "hang", "black-hole"} }
