package registry

import (
	"context"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Plan is what applying a document changes, in this order.
type Plan struct {
	// Digest stands for the steps and for what they were based on. It does not stand for the values of secrets.
	Digest string
	Steps  []Step

	work    []work // carries the steps out
	was     *snapshot
	touched map[[16]byte]bool // the clients and APIs that it was judged by
	secrets []*plannedSecret
	// credentials are the clients that are to authenticate by something else than now.
	credentials []auth.ClientID
}

// work is a part of carrying a plan out.
type work func(context.Context, *applying) error

// Verb says what a step does.
type Verb string

// The verbs.
const (
	Add    Verb = "add"
	Modify Verb = "change"
	Remove Verb = "remove"
)

// Kind says what a step is about.
type Kind string

// The kinds.
const (
	KindAPI      Kind = "api"
	KindIssuer   Kind = "trusted_issuer"
	KindClient   Kind = "client"
	KindGrant    Kind = "grant"
	KindExchange Kind = "exchange"
	KindServer   Kind = "server" // that a client serves an API
	KindSecret   Kind = "secret"
)

// Step is one change.
type Step struct {
	Verb     Verb
	Kind     Kind
	Name     string // the identifier of an API, the name of a client, or both joined by an arrow
	Fields   []FieldChange
	Target   string // id of what is there; empty: it is made
	Revision int64  // that it had when the plan was made
}

// FieldChange is one member that changes.
type FieldChange struct {
	Name          string
	Before, After string
}

// Plan says what Apply would do, or returns a *DocumentError. With prune, what the document does not name is to be removed. Values of
// secrets are compared, and never shown.
func (r *Registry) Plan(ctx context.Context, actor auth.Actor, doc *Document, prune bool) (*Plan, error) {
	return r.plan(ctx, actor, doc, prune, newValues(r))
}

func (r *Registry) plan(ctx context.Context, actor auth.Actor, doc *Document, prune bool, values *values) (*Plan, error) {
	if err := needToPlan(actor); err != nil {
		return nil, err
	}
	if err := doc.bounded(); err != nil {
		return nil, err
	}
	was, err := r.look(ctx, doc.wantsSecrets())
	if err != nil {
		return nil, err
	}
	p := &planner{
		doc: doc, prune: prune, actor: actor, now: r.now(), was: was, values: values,
		apis: map[string]*plannedAPI{}, clients: map[string]*plannedClient{}, grants: map[grantKey]*plannedGrant{}, identifiers: map[auth.APIID]string{}, names: map[auth.ClientID]string{},
		issuers: map[string]*plannedIssuer{}, issuerByID: map[auth.TrustedIssuerID]*auth.TrustedIssuer{}, exchanges: map[exchangeKey]*plannedExchange{},
	}
	if doc.tellsOfIssuers() || prune {
		if err := was.mayShow(actor); err != nil {
			return nil, err
		}
	}
	p.resolve()
	if err := p.checkAddresses(ctx, r.checkURL); err != nil {
		return nil, err
	}
	if err := p.wantSecrets(ctx); err != nil {
		return nil, err
	}
	if err := p.wrong.orNil(); err != nil {
		return nil, err
	}
	return p.plan()
}

// planner turns a document and what there is into a plan.
type planner struct {
	doc    *Document
	prune  bool
	actor  auth.Actor
	now    time.Time
	was    *snapshot
	values *values
	wrong  DocumentError

	apis    map[string]*plannedAPI    // by identifier: those that are declared, and those that are there
	clients map[string]*plannedClient // by name, likewise
	grants  map[grantKey]*plannedGrant

	declaredAPIs    []*plannedAPI // in order of the document
	declaredClients []*plannedClient
	issuers         map[string]*plannedIssuer // by name
	issuerByID      map[auth.TrustedIssuerID]*auth.TrustedIssuer
	declaredIssuers []*plannedIssuer
	exchanges       map[exchangeKey]*plannedExchange
	identifiers     map[auth.APIID]string
	names           map[auth.ClientID]string

	steps       []Step
	work        []work
	credentials []auth.ClientID
}

// plannedAPI is an API that is there, or shall be.
type plannedAPI struct {
	at            pointer
	declared      *DeclaredAPI // nil: it is not
	before, after *auth.API    // before is nil if it is made; after is nil if it goes
}

// plannedClient is a client that is there, or shall be.
type plannedClient struct {
	at            pointer
	declared      *DeclaredClient
	before, after *auth.Client
	grants        []*plannedGrant // that are declared, in order of the document
	exchanges     []*plannedExchange
	secret        *plannedSecret
}

// plannedGrant is a grant that is there, or shall be.
type plannedGrant struct {
	api           *plannedAPI
	client        *plannedClient
	before, after *auth.Grant
}

// resolve finds out what the document means, and what is wrong with it.
func (p *planner) resolve() {
	p.resolveAPIs()
	p.resolveIssuers()
	p.resolveClients()
	p.resolveServers()
	p.resolveGrants()
	p.resolveExchanges()
	p.resolveDefaults()
	p.checkLostScopes()
}
