package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkredis"
)

const (
	boundRequired    = "required" // of sender_constrained
	requestsClients  = "request"  // of client_certificates
	nonceHeader      = "Dpop-Nonce"
	forwardedProto   = "X-Forwarded-Proto"
	forwardedHost    = "X-Forwarded-Host"
	schemeHTTPS      = "https"
	schemeOfNobody   = "http"
	shortestNonceKey = 32
)

// boundTokens is a document's section with what its files hold.
type boundTokens struct {
	proxies         httpx.Proxies
	nonceKey, redis string
}

func (b BoundTokens) read() (read boundTokens, err error) {
	if read.proxies, err = httpx.ParseProxies(b.ClientCertFrom); err != nil {
		return read, &memberError{"client_cert_from", err}
	}
	if b.NonceKeyFile != "" {
		if read.nonceKey, err = secretOf("dpop_nonce_key", "", b.NonceKeyFile); err != nil {
			return read, &memberError{"dpop_nonce_key_file", err}
		}
		if len(read.nonceKey) < shortestNonceKey {
			return read, &memberError{"dpop_nonce_key_file", fmt.Errorf("holds %d bytes: want at least %d", len(read.nonceKey), shortestNonceKey)}
		}
	}
	if read.redis, err = secretOf("redis", b.Redis, b.RedisFile); err != nil {
		return read, &memberError{"redis", err}
	}
	return read, nil
}

// proofs are what all verifiers share: how callers show that a token is theirs, and what they showed.
type proofs struct {
	settings boundTokens
	memory   *sdk.ReplayMemory // lives as long as the process: a reload must not forget what was used
	redis    *sdkredis.Store   // nil: there is none
}

// prepare returns those of a document, which are p itself if its settings are the same.
func (p *proofs) prepare(d *Document) (*proofs, error) {
	settings, err := d.Bound.read()
	if err != nil {
		return nil, err
	}
	if p != nil && reflect.DeepEqual(p.settings, settings) {
		return p, nil
	}
	next := &proofs{settings: settings}
	if p != nil {
		next.memory = p.memory
	} else {
		next.memory = sdk.NewReplayMemory(sdk.DefaultReplays)
	}
	if settings.redis != "" {
		if next.redis, err = sdkredis.Open(settings.redis); err != nil {
			return nil, &memberError{"redis", err}
		}
	}
	return next, nil
}

// Add implements [sdk.ReplayStore].
func (p *proofs) Add(ctx context.Context, key [32]byte, expires time.Time) (bool, error) {
	added, err := p.memory.Add(ctx, key, expires)
	if err != nil || !added || p.redis == nil {
		return added, err //nolint:wrapcheck // the SDK's own
	}
	return p.redis.Add(ctx, key, expires) //nolint:wrapcheck // the SDK asks and logs
}

// options have a verifier judge by them.
func (p *proofs) options() []sdk.VerifierOption {
	opts := []sdk.VerifierOption{sdk.WithReplayStore(p), sdk.WithRequestURI(publicURI)}
	if len(p.settings.proxies) > 0 {
		opts = append(opts, sdk.WithClientCertFrom(p.settings.proxies...))
	}
	if p.settings.nonceKey != "" {
		opts = append(opts, sdk.WithDPoPNonces([]byte(p.settings.nonceKey)))
	}
	return opts
}

// close ends the connections, unless kept goes on with them.
func (p *proofs) close(kept *proofs) {
	if p != nil && p != kept && p.redis != nil {
		_ = p.redis.Close() // there is nothing to be done about it
	}
}

// publicURI is the URI of a request as its client knows it: what a trusted proxy before the gateway says, or one that asks for a decision.
func publicURI(r *http.Request) string {
	scheme, host := schemeOfNobody, r.Host
	if r.TLS != nil {
		scheme = schemeHTTPS
	}
	x := httpx.From(r.Context())
	p, _ := x.Attachment.(*passage)
	if asked := p != nil && p.asked; asked || x.Trusted {
		if given := r.Header[forwardedProto]; len(given) == 1 {
			scheme = given[0]
		}
		if given := r.Header[forwardedHost]; len(given) == 1 && !asked { // of those who ask it is the Host already
			host = given[0]
		}
	}
	return scheme + "://" + host + r.URL.EscapedPath()
}

// nonce sends along what DPoP proofs are to have from now on, if they are to have something.
func (r *route) nonce(h http.Header) {
	if r.verifier == nil {
		return
	}
	if nonce := r.verifier.DPoPNonce(); nonce != "" {
		h[nonceHeader] = []string{nonce}
	}
}

// asksForCertificates tells whether callers can have tokens that are bound to certificates of their connections.
func (d *Document) asksForCertificates() bool {
	return slices.ContainsFunc(d.Listeners, func(l Listener) bool { return l.ClientCertificates == requestsClients })
}

// errNoTLS: who speaks plain text has no certificate.
var errNoTLS = errors.New("request needs tls: without it clients have no certificates")
