package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk"
)

// prepared is a document with all that it takes to serve it, not in force yet.
type prepared struct {
	document *Document
	pools    *lb.PreparedPools
	issuers  *Prepared
	limiter  *heldLimiter
	next     *generation
	specs    []listeners.Spec
}

// prepare makes everything that a document needs. On an error nothing is left behind.
func (p *process) prepare(text []byte) (*prepared, error) {
	n := &prepared{document: new(Document)}
	source, err := document.Decode(cmp.Or(p.cfg.Path, "configuration"), text, n.document)
	if err != nil {
		return nil, err
	}
	var errs []error
	if n.issuers, err = p.issuers.Prepare(n.document, source); err != nil {
		errs = append(errs, err)
	}
	if n.pools, err = p.pools.Prepare(n.document.Pools, source.Errorf); err != nil {
		errs = append(errs, err)
	}
	if n.limiter, err = p.limiters.prepare(n.document.RateLimit); err != nil {
		errs = append(errs, source.Errorf("rate_limit", "%w", err))
	}
	if len(errs) > 0 {
		n.discard()
		return nil, errors.Join(errs...)
	}
	gateway, err := New(Config{
		Document: n.document, Source: source, Transports: n.pools.Transports, Verifiers: n.issuers.Verifiers, Clients: n.issuers.Clients,
		Limiter: n.limiter, Logger: p.log, Metrics: p.metrics, Tracing: p.tracing, Now: p.cfg.Now,
	})
	if err != nil {
		n.discard()
		return nil, err
	}
	n.next = newGeneration(gateway, p.cfg.Now())
	if n.specs, err = p.specs(n, source); err != nil {
		n.discard()
		return nil, err
	}
	return n, nil
}

// discard undoes prepare.
func (n *prepared) discard() {
	if n.issuers != nil {
		n.issuers.Discard()
	}
	if n.pools != nil {
		n.pools.Discard()
	}
	if n.limiter != nil {
		n.limiter.discard()
	}
}

// load puts a document into force, or changes nothing.
func (p *process) load(ctx context.Context, text []byte) error {
	n, err := p.prepare(text)
	if err != nil {
		return err
	}
	p.settle(ctx, n.issuers.Fresh())
	n.pools.Commit() // upstreams are checked before requests come
	if err := p.set.Apply(ctx, n.specs); err != nil {
		n.pools.Revert()
		n.discard()
		return err
	}
	p.level.Set(p.levelOf(n.document))
	closeFormer := n.issuers.Commit()
	former := n.limiter.commit()
	old := p.current.Swap(n.next)
	p.metrics.keep(n.next.gateway.routes)
	if old == nil {
		return nil
	}
	old.release = func() {
		closeFormer()
		former()
	}
	old.leave()
	return nil
}

// settle gives new verifiers a moment to learn what they need, so that a reload does not begin with refusals. An issuer that
// cannot be reached does not keep the gateway from starting: its routes answer 503 until it can.
func (p *process) settle(ctx context.Context, fresh []*sdk.Verifier) {
	const moment = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, moment)
	defer cancel()
	var waiting sync.WaitGroup
	for _, v := range fresh {
		waiting.Go(func() {
			if err := v.Ready(ctx); err != nil {
				p.log.WarnContext(ctx, "tokens cannot be judged yet", "issuer", v.Describe().Issuer, "error", err)
			}
		})
	}
	waiting.Wait()
}

// specs are the listeners of a document.
func (p *process) specs(n *prepared, source *document.Source) ([]listeners.Spec, error) {
	var errs []error
	all := make([]listeners.Spec, 0, len(n.document.Listeners)+1)
	for i, l := range n.document.Listeners {
		proxies, err := httpx.ParseProxies(l.TrustedProxies)
		if err != nil {
			errs = append(errs, source.Errorf(fmt.Sprintf("listeners[%d].trusted_proxies", i), "%w", err))
		}
		if l.ClientCertificates == requestsClients && l.TLS == nil {
			errs = append(errs, source.Errorf(fmt.Sprintf("listeners[%d].client_certificates", i), "%w", errNoTLS))
		}
		serves := (*Gateway).ServeHTTP
		if l.Serves == servesAuthorization {
			serves = (*Gateway).Authorize
		}
		edge := &httpx.Edge{Log: p.accessLog(n.document), Proxies: proxies, Now: p.cfg.Now, Write: httpx.Problems(httpx.DefaultDocs)}
		spec := l.Spec(n.document.Drain)
		spec.TLS.ClientCertificates = l.ClientCertificates == requestsClients
		spec.Place = source.Place(fmt.Sprintf("listeners[%d]", i))
		spec.Handler = p.tracing.Middleware(edge.Wrap(p.serve(n.next, serves)))
		all = append(all, spec)
	}
	if address := n.document.Admin.Address; address != "" {
		all = append(all, listeners.Spec{Name: "admin", Place: source.Place("admin"), Address: address, Handler: p.admin(), Last: true, DrainTimeout: n.document.Drain.Timeout})
	}
	return all, errors.Join(errs...)
}
