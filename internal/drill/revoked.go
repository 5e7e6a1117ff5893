package drill

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// revocationBound is what the design promises: the bound of a verifier.
const revocationBound = time.Second

func revocation() Drill {
	return Drill{
		Name:        "revocation",
		Does:        "tokens are revoked, one after the other, while B is called with them",
		Expectation: "B refuses a revoked token within its bound of 1 s, on `available` and `strict` routes",
		run: func(ctx context.Context, r *run) error {
			b, err := r.part("service-b")
			if err != nil {
				return err
			}
			took := map[string][]time.Duration{}
			probe := time.Duration(0) // the longest that B took to answer: what the measurement may be off by
			for range r.Trials {
				one, err := r.revokeOne(ctx, b.URL)
				if err != nil {
					return err
				}
				for route, t := range one.took {
					took[route] = append(took[route], t)
				}
				probe = max(probe, one.probe)
			}
			r.step("revoked %d tokens", r.Trials)
			for _, route := range sorted(took) {
				record := Record{Name: route}
				for _, t := range took[route] {
					record.Samples = append(record.Samples, Sample{Ended: t, Kind: OK})
				}
				c := within(fmt.Sprintf("%s: refused within %v of the answer to the revocation, and one probe (%v)", route, revocationBound, round(probe)),
					record.Quantile(1), revocationBound+probe)
				c.Found = fmt.Sprintf("%d tokens: median %v, longest %v", len(record.Samples), round(record.Quantile(0.5)), round(record.Quantile(1)))
				r.check(c)
			}
			return nil
		},
	}
}

// revoked is how one token fared.
type revoked struct {
	took  map[string]time.Duration // from the answer to the revocation to the refusal, by route
	probe time.Duration
}

func (r *run) revokeOne(ctx context.Context, base string) (one revoked, err error) {
	caller := r.Bootstrap.Clients["service-a"]
	s, token := r.token(ctx, r.Bootstrap.Issuer, caller)
	if s.Kind != OK {
		return one, fmt.Errorf("get a token: %s", s)
	}
	routes := map[string]func() (Sample, time.Duration){
		"available": func() (Sample, time.Duration) { return r.probe(ctx, token, http.MethodGet, base) },
		"strict":    func() (Sample, time.Duration) { return r.probe(ctx, token, http.MethodPost, base) },
	}
	for route, ask := range routes {
		if s, _ := ask(); s.Kind != OK {
			return one, fmt.Errorf("call B on the %s route: %s", route, s)
		}
	}
	if s, _ := r.post(ctx, r.Bootstrap.Issuer, "/oauth2/revoke", caller, url.Values{"token": {token}}); s.Kind != OK {
		return one, fmt.Errorf("revoke a token: %s", s)
	}
	answered := time.Now()
	one.took = map[string]time.Duration{}
	var both sync.WaitGroup
	var mu sync.Mutex
	for route, ask := range routes {
		both.Go(func() {
			for {
				s, took := ask()
				refused := s.Kind == Refused
				mu.Lock()
				one.probe = max(one.probe, took)
				if refused || time.Since(answered) > healWithin || ctx.Err() != nil {
					one.took[route] = time.Since(answered)
					mu.Unlock()
					return
				}
				mu.Unlock()
				_ = pass(ctx, time.Millisecond) // looked at next
			}
		})
	}
	both.Wait()
	return one, ctx.Err() //nolint:wrapcheck // the caller's own
}

// probe calls B itself with a token, past load balancer and gateway.
func (r *run) probe(ctx context.Context, token, method, base string) (Sample, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var request *http.Request
	var err error
	if method == http.MethodPost {
		request, err = reservation(ctx, base)
	} else {
		request, err = http.NewRequestWithContext(ctx, method, base+"/inventory/items", http.NoBody)
	}
	if err != nil {
		return failure(err), 0
	}
	request.Header.Set("Authorization", "Bearer "+token)
	began := time.Now()
	s, _ := send(r.http, request, http.StatusUnprocessableEntity)
	return s, time.Since(began)
}
