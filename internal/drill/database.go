package drill

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

func databaseDown() Drill {
	return Drill{
		Name:        "database-down",
		Does:        "the database does not answer: SQLite's write lock is held; MySQL is refused, hangs, and is black-holed",
		Expectation: "the token endpoint answers 503 with Retry-After, introspection from memory within the staleness bound and then 503, a revocation is not acknowledged; `available` routes go on",
		run: func(ctx context.Context, r *run) error {
			switch {
			case r.system.Database == "sqlite" && r.HoldDatabase != nil:
				return r.databaseOutages(ctx, outage{"write lock held", false, r.holdDatabase, func(ctx context.Context) error { return r.taken(ctx, heldLock) }})
			case r.hasFault("database"):
				var all []outage
				for _, mode := range brokenModes() {
					all = append(all, outage{
						mode, true,
						func(ctx context.Context) error { return r.fault(ctx, "database", mode) },
						func(ctx context.Context) error { return r.fault(ctx, "database", "pass") },
					})
				}
				return r.databaseOutages(ctx, all...)
			}
			return notApplicable{"nothing is between the auth servers and MySQL that could break: start with `countersign up --drills --mysql mysql://…`"}
		},
	}
}

// outage is one way in which the database is lost.
type outage struct {
	how      string
	readsToo bool // a held write lock leaves reads alone
	begin    func(ctx context.Context) error
	end      func(ctx context.Context) error
}

const (
	heldLock = "give the database's write lock back"
	// databasePatience is what an auth server waits for its database before it answers 503, with the time of the answer.
	databasePatience = 4 * time.Second
)

func (r *run) holdDatabase(ctx context.Context) error {
	release, err := r.HoldDatabase(ctx)
	if err != nil {
		return fmt.Errorf("hold the database: %w", err)
	}
	r.later(heldLock, func(context.Context) error {
		if err := release(); err != nil {
			return err
		}
		r.step("gave the write lock of the database back")
		return nil
	})
	r.step("hold the write lock of the database")
	return nil
}

func (r *run) databaseOutages(ctx context.Context, all ...outage) error {
	s, doomed := r.token(ctx, r.Bootstrap.Issuer, r.Bootstrap.Clients["service-a"])
	if s.Kind != OK {
		return fmt.Errorf("get a token to revoke: %s", s)
	}
	t, err := r.warmLoad(ctx)
	if err != nil {
		return err
	}
	defer t.stop()
	var windows []window
	for _, o := range all {
		w, err := r.databaseOutage(ctx, o, doomed)
		if err != nil {
			return err
		}
		windows = append(windows, w)
	}
	records := t.stop()
	orders, items, tokens, introspections := records[0], records[1], records[2], records[3]
	r.check(noFailures(orders, items))
	for _, w := range windows {
		r.check(onlyUnavailable("while it is down: "+w.how, tokens.Within(w.down, w.up)))
		if w.readsToo {
			r.check(onlyUnavailable("once the bound is over: "+w.how, introspections.Within(w.down+leaseOver, w.up)))
		}
	}
	r.check(noVerdicts([]Kind{OK, Unavailable}, tokens, introspections))
	return nil
}

// window is when the database was down.
type window struct {
	outage
	down, up time.Duration
}

func (r *run) databaseOutage(ctx context.Context, o outage, doomed string) (w window, err error) {
	w.outage = o
	if err := o.begin(ctx); err != nil {
		return w, err
	}
	w.down = r.elapsed()
	within4, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revoked, _ := r.post(within4, r.Bootstrap.Issuer, "/oauth2/revoke", r.Bootstrap.Clients["service-a"], url.Values{"token": {doomed}})
	r.check(holds("a revocation is not acknowledged: "+o.how, revoked.Kind == Unavailable && revoked.Status == http.StatusServiceUnavailable, revoked.String()))
	if err := pass(ctx, max(r.For, databasePatience)-(r.elapsed()-w.down)); err != nil {
		return w, err
	}
	w.up = r.elapsed()
	if err := o.end(ctx); err != nil {
		return w, err
	}
	ended := r.elapsed()
	err = r.until(ctx, healWithin, func(ctx context.Context) error {
		if s, _ := r.token(ctx, r.Bootstrap.Issuer, r.Bootstrap.Clients["service-a"]); s.Kind != OK {
			return fmt.Errorf("the token endpoint: %s", s)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.check(holds(fmt.Sprintf("tokens are issued again within %v: %s", healWithin, o.how), false, err.Error()))
		return w, nil
	}
	r.check(within(fmt.Sprintf("tokens are issued again within %v: %s", healWithin, o.how), r.elapsed()-ended, healWithin))
	return w, pass(ctx, settle)
}
