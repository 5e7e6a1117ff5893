package sdktest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Request is a request as it came. Its header and form are shared: do not change them. They may hold credentials.
type Request struct {
	Endpoint Endpoint
	Time     time.Time
	Host     string
	Method   string
	Header   http.Header
	Form     url.Values // of the body and the query
	ClientID string     // as the request says; empty: it says nothing
	Status   int        // of the answer; 0: there is none, or not yet
}

// maxLogged bounds the log of requests; counters go on.
const maxLogged = 4096

// arrive counts the request.
func (i *Issuer) arrive(e Endpoint, r *http.Request) *Request {
	client, _, _ := credentials(r)
	logged := &Request{
		Endpoint: e, Time: time.Now(), Host: r.Host, Method: r.Method, Header: r.Header, Form: r.Form, ClientID: client,
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts[e]++
	if len(i.requests) == maxLogged {
		i.requests = slices.Delete(i.requests, 0, maxLogged/2)
	}
	i.requests = append(i.requests, logged)
	close(i.arrived)
	i.arrived = make(chan struct{})
	return logged
}

// Requests returns how many requests came to the endpoint since the start.
func (i *Issuer) Requests(endpoint Endpoint) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counts[endpoint]
}

// Refused returns how many came in vain while the issuer was down: requests in memory, connections to one that listens.
func (i *Issuer) Refused() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.refused
}

// Log returns the requests to the endpoint in the order in which they came. Of all requests the last 2048 at least are there.
func (i *Issuer) Log(endpoint Endpoint) []Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	var of []Request
	for _, r := range i.requests {
		if r.Endpoint == endpoint {
			of = append(of, *r)
		}
	}
	return of
}

// Await waits until n requests have come to the endpoint since the start. They need not have been answered.
func (i *Issuer) Await(ctx context.Context, endpoint Endpoint, n int) error {
	for {
		i.mu.Lock()
		count, arrived := i.counts[endpoint], i.arrived
		i.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
