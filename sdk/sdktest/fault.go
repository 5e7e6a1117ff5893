package sdktest

import (
	"net/http"
	"strconv"
	"time"
)

// Failure is how an endpoint fails.
type Failure struct {
	// Status is that of the answer; 0: the connection breaks, without one.
	Status int
	// Code is the error of RFC 6749 §5.2 in the answer, such as "invalid_scope"; empty: one that goes with the status.
	Code string
	// RetryAfter is what the answer says in the header of this name, in whole seconds; 0: nothing.
	RetryAfter time.Duration
	// Rate is the share of requests that fail, in 0..1; 0: all of them. Which ones is the same in every run.
	Rate float64
	// Times is how many requests fail until the endpoint is well again by itself; 0: all until [Issuer.Heal].
	Times int
}

// fault is what is wrong with an endpoint. The zero value is nothing.
type fault struct {
	failure *Failure
	left    int // of Failure.Times
	replace http.Handler
	alter   func(map[string]any)
	hold    func() time.Duration
	gate    <-chan struct{} // requests wait until it is closed
	broken  uint64          // counts what breaks the requests under way
	drained uint64          // counts what ends the streams under way
}

// Fail makes the endpoints fail, all of them if none is named, in place of how they failed before. Requests that are being held, and
// open streams, break.
func (i *Issuer) Fail(f Failure, endpoints ...Endpoint) {
	i.set(endpoints, func(t *fault) {
		t.failure, t.left = &f, f.Times
		t.broken++
	})
}

// Heal makes the endpoints well again, all of them if none is named: no switch of this file is on any more but those of Down.
func (i *Issuer) Heal(endpoints ...Endpoint) {
	i.set(endpoints, func(t *fault) { *t = fault{broken: t.broken, drained: t.drained} })
}

// CutFeed breaks every connection to the revocation feed, polls and streams, until it is called with false.
func (i *Issuer) CutFeed(cut bool) { i.cut(cut, FeedPoll, FeedStream) }

// CutStream breaks every stream of the revocation feed, until it is called with false. Polls go on.
func (i *Issuer) CutStream(cut bool) { i.cut(cut, FeedStream) }

func (i *Issuer) cut(cut bool, endpoints ...Endpoint) {
	if cut {
		i.Fail(Failure{}, endpoints...)
		return
	}
	i.set(endpoints, func(t *fault) { t.failure = nil })
}

// EndStreams ends the open streams of the revocation feed in good order, as a server does that drains.
func (i *Issuer) EndStreams() { i.set([]Endpoint{FeedStream}, func(t *fault) { t.drained++ }) }

// Slow holds every answer of the endpoints back for d, of all of them if none is named. 0 ends it for answers to come.
func (i *Issuer) Slow(d time.Duration, endpoints ...Endpoint) {
	i.Hold(func() time.Duration { return d }, endpoints...)
}

// Hold holds every answer of the endpoints back for as long as f says, of all of them if none is named. The answer is made before it is
// held, so it is that old when it arrives. Of a stream it is each event. f is called by many goroutines; nil ends it.
func (i *Issuer) Hold(f func() time.Duration, endpoints ...Endpoint) {
	i.set(endpoints, func(t *fault) { t.hold = f })
}

// HoldFeed is Hold for polls and streams of the revocation feed.
func (i *Issuer) HoldFeed(f func() time.Duration) { i.Hold(f, FeedPoll, FeedStream) }

// Block keeps requests to the endpoints waiting, to all of them if none is named, until release is called or they are given up. They
// are counted when they come, so that [Issuer.Await] tells when they wait.
func (i *Issuer) Block(endpoints ...Endpoint) (release func()) {
	gate := make(chan struct{})
	i.set(endpoints, func(t *fault) { t.gate = gate })
	return func() {
		i.set(endpoints, func(t *fault) {
			if t.gate == gate {
				t.gate = nil
			}
		})
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}

// Replace has h answer the requests to the endpoint; nil ends it. It is for what no other switch does, such as redirects or an answer that
// is no JSON. A form is in r.PostForm, since its body has been read.
func (i *Issuer) Replace(endpoint Endpoint, h http.Handler) {
	i.set([]Endpoint{endpoint}, func(t *fault) { t.replace = h })
}

// Alter has change change the members of every good answer of the endpoint that is a JSON object, and of every event of a stream; nil
// ends it. Numbers are [encoding/json.Number].
func (i *Issuer) Alter(endpoint Endpoint, change func(answer map[string]any)) {
	i.set([]Endpoint{endpoint}, func(t *fault) { t.alter = change })
}

// WrongIssuer has the metadata name another issuer, which RFC 8414 §3.3 says must be refused. Empty ends it.
func (i *Issuer) WrongIssuer(issuer string) {
	if issuer == "" {
		i.Alter(MetadataEndpoint, nil)
		return
	}
	i.Alter(MetadataEndpoint, func(answer map[string]any) { answer["issuer"] = issuer })
}

// Down makes the issuer one that cannot be reached, by these host names (with port, as the URL has them) or by any. In memory
// connections are refused. One that listens closes what is open, and every new connection as soon as it is made; of a host name
// it learns only afterwards, from the request.
func (i *Issuer) Down(down bool, hosts ...string) {
	if len(hosts) == 0 {
		hosts = []string{anyHost}
	}
	i.mu.Lock()
	for _, host := range hosts {
		i.hosts[host] = down
	}
	i.stir()
	i.mu.Unlock()
	if i.listener != nil && down && hosts[0] == anyHost {
		i.listener.closeAll()
	}
}

const anyHost = ""

// isDown tells whether nobody is there for the host. The caller holds mu.
func (i *Issuer) isDown(host string) bool { return i.closed || i.hosts[anyHost] || i.hosts[host] }

func (i *Issuer) set(endpoints []Endpoint, change func(*fault)) {
	if len(endpoints) == 0 {
		endpoints = everyEndpoint()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, e := range endpoints {
		t := i.faults[e]
		change(&t)
		i.faults[e] = t
	}
	i.stir()
}

func (i *Issuer) fault(e Endpoint) fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.faults[e]
}

// fails tells whether the next request to the endpoint fails, and how.
func (i *Issuer) fails(e Endpoint) *Failure {
	i.mu.Lock()
	defer i.mu.Unlock()
	t := i.faults[e]
	if t.failure == nil || t.failure.Rate > 0 && i.random.Float64() >= t.failure.Rate {
		return nil
	}
	if t.failure.Times > 0 {
		if t.left == 0 {
			return nil
		}
		t.left--
		i.faults[e] = t
	}
	return t.failure
}

// ServeHTTP implements http.Handler.
func (f *Failure) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	refuse(w, f.Status, f.Code, "")
}
