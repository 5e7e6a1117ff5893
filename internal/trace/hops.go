package trace

import (
	"fmt"
	"strings"
	"time"
)

// Hop is one arrow of the picture in one request.
type Hop struct {
	Number int    `json:"hop"`
	From   string `json:"from"`
	To     string `json:"to"`
	// Instance is the part that was reached; empty: none was.
	Instance string `json:"instance,omitempty"`
	Through  string `json:"through,omitempty"` // the part in between, such as lb
	What     string `json:"what"`              // happened
	// Needed is false for a hop that the request could do without.
	Needed bool   `json:"needed"`
	Token  string `json:"token_id,omitempty"` // shortened
	// At is when it happened, from the start of the request, Took how long it took; microseconds.
	At   int64 `json:"at_us,omitempty"`
	Took int64 `json:"took_us,omitempty"`
}

// Request is one request as its spans tell.
type Request struct {
	TraceID string `json:"trace_id"`
	Status  int    `json:"status"`
	Took    int64  `json:"took_us"`
	Hops    []Hop  `json:"hops"`
	// Asked says that some part asked an authorization server.
	Asked bool `json:"asked_auth_server"`
	// Missing are the spans without which the hops cannot be told.
	Missing []string `json:"-"`
}

// Why a hop is not needed.
const (
	tokenAtHand = "not needed: token at hand"
	knownTo     = "not needed: known from memory"
)

// Assemble makes the hops of one request of a user, GET /orders. root is the user's own span. cold says that service A has no token.
func Assemble(root Span, spans []Span, cold bool) *Request {
	a := newAssembly(root, spans)
	a.request(cold)
	a.answers()
	return a.result
}

// assembly is a request of which hops are being made.
type assembly struct {
	tree   *tree
	root   *Span
	result *Request

	entry, outer, orders   *Span // the user's request at load balancer, gateway and service A
	token                  *Span // service A asks for a token
	tokenServed            *Span // by this server
	commit, remember       *Span // which writes it here and there
	inner, check, items    *Span // A's request at load balancer, gateway and service B
	gatewayAsks, serviceAs *Span // what both ask of a server
	gatewayTold, serviceTo *Span // and who answers
	lookup                 *Span // B looks into the token store
}

func newAssembly(root Span, spans []Span) *assembly {
	t := newTree(append([]Span{root}, spans...))
	a := &assembly{tree: t, root: &root, result: &Request{TraceID: root.TraceID, Took: root.took().Microseconds()}}
	a.entry = t.served(a.root, balancer, "/orders")
	a.outer = t.served(a.entry, gateway, "/orders")
	a.orders = t.served(a.outer, serviceA, "/orders")
	a.token = t.own(a.orders, "countersign.token")
	a.tokenServed = t.served(a.token, server, "/")
	a.commit, a.remember = t.own(a.tokenServed, "INSERT tokens"), t.own(a.tokenServed, "SET token_store")
	a.inner = t.served(a.orders, balancer, "/inventory/")
	a.check = t.served(a.inner, gateway, "/inventory/")
	a.items = t.served(a.check, serviceB, "/inventory/")
	a.gatewayAsks = t.own(a.check, "countersign.introspect")
	a.gatewayTold = t.served(a.gatewayAsks, server, "/")
	a.lookup = t.own(a.items, "countersign.token_store")
	a.serviceAs = t.own(a.items, "countersign.introspect")
	a.serviceTo = t.served(a.serviceAs, server, "/")
	a.result.Asked = t.served(a.root, server, "/") != nil
	return a
}

// needs notes that a span without which nothing can be told is missing.
func (a *assembly) needs(s *Span, what string) {
	if s == nil {
		a.result.Missing = append(a.result.Missing, what)
	}
}

func (a *assembly) complete(cold bool) {
	a.needs(a.entry, "the load balancer's, of the user's request")
	a.needs(a.outer, "the gateway's, of the user's request")
	a.needs(a.orders, "service-a's, of the user's request")
	a.needs(a.inner, "the load balancer's, of service A's request")
	a.needs(a.check, "the gateway's, of service A's request")
	a.needs(a.items, "service-b's, of service A's request")
	if cold || a.token != nil {
		a.needs(a.token, "service-a's, of its question for a token")
		a.needs(a.tokenServed, "the authorization server's, of service A's question for a token")
		a.needs(a.commit, "the authorization server's, of its write to the database")
		a.needs(a.remember, "the authorization server's, of its write to the token store")
	}
	if a.gatewayAsks != nil {
		a.needs(a.gatewayTold, "the authorization server's, of the gateway's question")
	}
	if a.serviceAs != nil {
		a.needs(a.serviceTo, "the authorization server's, of service B's question")
	}
	if len(a.result.Missing) == 0 && a.tree.orphans() {
		a.result.Missing = append(a.result.Missing, "one to which others belong")
	}
}

// request makes hops 1 to 10.
func (a *assembly) request(cold bool) {
	if a.complete(cold); len(a.result.Missing) > 0 {
		return
	}
	a.hop(Hop{Number: 1, From: "user", To: "load balancer"}, a.entry, "GET "+a.entry.Attributes["url.path"])
	a.hop(Hop{Number: 2, From: "load balancer", To: "gateway"}, a.outer, "route "+a.outer.Attributes["countersign.route"]+", open")
	a.hop(Hop{Number: 3, From: "gateway", To: "service A"}, a.orders, "asks service B")
	a.tokenHops()
	a.hop(Hop{Number: 7, From: "service A", To: "gateway", Through: a.inner.Instance}, a.check, "GET "+a.check.Attributes["url.path"])
	a.gatewayCheck()
	a.hop(Hop{Number: 8, From: "gateway", To: "service B"}, a.items, "checks the token")
	a.storeHop()
	a.introspectHop()
}

// tokenHops are 3, its second half, to 6: service A gets a token.
func (a *assembly) tokenHops() {
	ask := Hop{Number: 3, From: "service A", To: "auth server"}
	write, remember := Hop{Number: 4, From: "auth server", To: "database"}, Hop{Number: 5, From: "auth server", To: "token store"}
	back := Hop{Number: 6, From: "auth server", To: "service A"}
	if a.token == nil {
		for _, h := range []Hop{ask, write, remember, back} {
			h.What = tokenAtHand
			a.result.Hops = append(a.result.Hops, h)
		}
		return
	}
	ask.Through = a.through(a.token)
	a.hop(ask, a.tokenServed, "no token at hand")
	write.Token = shortened(a.commit.Attributes["countersign.token_id"])
	a.act(write, a.commit, fmt.Sprintf("%s: committed, batch of %s", a.commit.Attributes["db.system.name"], a.commit.Attributes["db.operation.batch.size"]))
	remember.Token = write.Token
	how := strings.ReplaceAll(a.remember.Attributes["db.system.name"], "_", "-") + ": recorded"
	if a.remember.Attributes["countersign.off_path"] == "true" {
		how += ", off the answer's path"
	}
	a.act(remember, a.remember, how)
	back.Token, back.Instance = write.Token, a.orders.Instance
	back.Needed, back.What = true, "answers"
	back.At, back.Took = a.since(a.tokenServed.End), a.token.took().Microseconds()
	a.result.Hops = append(a.result.Hops, back)
}

// gatewayCheck is below hop 7: the gateway lets nobody in whose token it does not know to be good.
func (a *assembly) gatewayCheck() {
	h := Hop{Number: 7, From: "gateway", To: "auth server", Token: shortened(a.check.Attributes["countersign.token_id"])}
	if a.gatewayAsks == nil {
		h.What = knownTo
		a.result.Hops = append(a.result.Hops, h)
		return
	}
	h.Through = a.through(a.gatewayAsks)
	a.act(h, a.gatewayAsks, "introspection, "+found(a.gatewayTold))
	a.last().Instance = a.gatewayTold.Instance
}

func (a *assembly) storeHop() {
	h := Hop{Number: 9, From: "service B", To: "token store"}
	shared := a.remember != nil && a.remember.Attributes["db.system.name"] == "redis"
	switch {
	case a.lookup != nil:
		h.Token = shortened(a.lookup.Attributes["countersign.token_id"])
		a.act(h, a.lookup, a.lookup.Attributes["countersign.result"])
		return
	case a.serviceAs == nil:
		h.What = knownTo
	case shared:
		h.What = "not asked: it did not answer lately"
	default:
		h.What = "no shared store"
	}
	a.result.Hops = append(a.result.Hops, h)
}

func (a *assembly) introspectHop() {
	h := Hop{Number: 10, From: "service B", To: "database"}
	switch {
	case a.serviceAs != nil:
		h.Through, h.Token = a.through(a.serviceAs), shortened(a.serviceAs.Attributes["countersign.token_id"])
		a.act(h, a.serviceAs, "introspection, "+found(a.serviceTo))
		a.last().Instance = a.serviceTo.Instance
		return
	case a.lookup != nil:
		h.What = "not needed: the token store knew it"
	default:
		h.What = knownTo
	}
	a.result.Hops = append(a.result.Hops, h)
}

// found says where an authorization server had its answer from.
func found(s *Span) string {
	switch s.Attributes["countersign.lookup"] {
	case "memory":
		return "known from memory"
	case "token_store":
		return "read from the token store"
	case "database":
		return "read from the database"
	}
	return "not found"
}

// answers makes hops 11 to 13.
func (a *assembly) answers() {
	if len(a.result.Missing) > 0 {
		return
	}
	for i, s := range []*Span{a.items, a.outer, a.entry} {
		h := []Hop{
			{Number: 11, From: "service B", To: "gateway", Instance: a.check.Instance},
			{Number: 12, From: "gateway", To: "load balancer", Instance: a.entry.Instance},
			{Number: 13, From: "load balancer", To: "user"},
		}[i]
		h.Needed, h.What = true, s.Attributes["http.response.status_code"]
		h.At, h.Took = a.since(s.End), s.took().Microseconds()
		a.result.Hops = append(a.result.Hops, h)
	}
}

// through returns the part by which a question went to a server.
func (a *assembly) through(s *Span) string {
	if lb := a.tree.served(s, balancer, "/"); lb != nil {
		return lb.Instance
	}
	return ""
}

// hop adds the arrival at a part.
func (a *assembly) hop(h Hop, s *Span, what string) {
	h.Needed, h.Instance, h.What, h.At = true, s.Instance, what, a.since(s.Start)
	a.result.Hops = append(a.result.Hops, h)
}

// act adds something that took its time.
func (a *assembly) act(h Hop, s *Span, what string) {
	h.Needed, h.What, h.At, h.Took = true, what, a.since(s.Start), s.took().Microseconds()
	a.result.Hops = append(a.result.Hops, h)
}

func (a *assembly) last() *Hop { return &a.result.Hops[len(a.result.Hops)-1] }

func (a *assembly) since(t time.Time) int64 { return max(0, t.Sub(a.root.Start).Microseconds()) }

// shortened is the end of a token's id, by which tokens of the same minute differ.
func shortened(id string) string {
	const shown = 6
	if len(id) <= shown {
		return id
	}
	return "…" + id[len(id)-shown:]
}
