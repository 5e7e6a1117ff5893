package registry

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// IssuerEdit is a change of a trusted issuer.
type IssuerEdit struct {
	Match Match
	// Change edits what is stored: name, keys, audience, algorithms, longest lifetime, replay policy and status. Kind and identifier cannot be changed; what
	// else it sets is ignored. It may be called several times.
	Change func(*auth.TrustedIssuer) error
	// RevokeTokens takes all tokens of the clients back that have a rule for the issuer. Disabling it does so anyway.
	RevokeTokens bool
}

// IssuerChange is what a change of a trusted issuer came to.
type IssuerChange struct {
	auth.TrustedIssuer
	Revoked Hit
}

// CreateIssuer stores a new trusted issuer; fault.Conflict if its name, identifier, or its ID if that is set, is taken. Revision, Created and
// Updated are set by it; what else is not set has defaults. It needs issuers:write.
func (r *Registry) CreateIssuer(ctx context.Context, actor auth.Actor, i auth.TrustedIssuer) (*auth.TrustedIssuer, error) {
	if err := need(actor, auth.ScopeIssuersWrite); err != nil {
		return nil, err
	}
	defaultIssuer(&i)
	if err := r.checkSource(ctx, &i); err != nil {
		return nil, err
	}
	made, err := update(ctx, r, func(tx auth.Tx) (auth.TrustedIssuer, error) {
		stored := i
		err := r.addIssuer(ctx, tx, actor, &stored)
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

func (r *Registry) addIssuer(ctx context.Context, tx auth.Tx, actor auth.Actor, i *auth.TrustedIssuer) error {
	now := r.now()
	i.Revision, i.Created, i.Updated = 0, now, now
	if i.ID == (auth.TrustedIssuerID{}) {
		i.ID = auth.NewTrustedIssuerID(now)
	}
	if err := checkIssuer(i); err != nil {
		return err
	}
	switch _, err := tx.Issuers().TrustedIssuer(ctx, i.ID); {
	case err == nil:
		return fault.New(fault.Conflict, "a trusted issuer with this id exists already").At("trusted_issuer_id")
	case !errors.Is(err, fault.NotFound):
		return err
	}
	if err := issuerFree(ctx, tx, i); err != nil {
		return err
	}
	if err := tx.Issuers().PutTrustedIssuer(ctx, i); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "issuer.create", i.ID.String(), nil, issuerView(i)}, issuerChanged(i.ID))
}

func issuerChanged(id auth.TrustedIssuerID) auth.Change {
	return auth.Change{Kind: auth.IssuerChanged, Subject: id}
}

// defaultIssuer sets what is not said. Of tokens that have no jti, as those of SPIFFE, none could be used under the policy once.
func defaultIssuer(i *auth.TrustedIssuer) {
	if i.Kind == "" {
		i.Kind = auth.OIDCIssuer
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{string(auth.ES256), string(auth.RS256)}
	}
	if i.MaxLifetime == 0 {
		i.MaxLifetime = auth.DefaultTrustedLifetime
	}
	if i.Replay == "" {
		if i.Replay = auth.Once; i.Kind == auth.SPIFFEIssuer {
			i.Replay = auth.Reusable
		}
	}
	if i.Status == "" {
		i.Status = auth.Active
	}
}

// checkIssuer brings an issuer into its stored form and makes sure that its keys can be used.
func checkIssuer(i *auth.TrustedIssuer) error {
	defaultIssuer(i)
	var err error
	if i.JWKS, err = canonical(i.JWKS); err != nil {
		return err
	}
	if err := i.Validate(); err != nil {
		return err
	}
	return checkIssuerKeys(i)
}

// issuerFree returns fault.Conflict if another issuer has the name or the identifier.
func issuerFree(ctx context.Context, tx auth.Tx, i *auth.TrustedIssuer) error {
	all, err := tx.Issuers().TrustedIssuers(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.ID == i.ID:
		case other.Name == i.Name:
			return fault.New(fault.Conflict, "another trusted issuer has this name").At("name")
		case other.Issuer == i.Issuer:
			return fault.New(fault.Conflict, "the trusted issuer "+other.Name+" has this identifier").At("issuer")
		}
	}
	return nil
}

// source returns the address from which the keys of an issuer are fetched, and the member that says so; empty: they are not.
func source(i *auth.TrustedIssuer) (address, member string) {
	switch {
	case i.JWKSURI != "":
		return i.JWKSURI, jwksURI
	case len(i.JWKS) > 0 || i.Kind != auth.OIDCIssuer:
		return "", ""
	}
	return i.Issuer, "issuer" // by OpenID Connect Discovery
}

func (r *Registry) checkSource(ctx context.Context, i *auth.TrustedIssuer) error {
	address, member := source(i)
	return r.checkURL(ctx, address, member)
}

// UpdateIssuer edits a trusted issuer. Whoever can, can be every client that has a rule for it: it needs issuers:write, and every scope of Countersign's
// own APIs that those clients hold; fault.Conflict if nobody would be left who can administer everything.
func (r *Registry) UpdateIssuer(ctx context.Context, actor auth.Actor, id auth.TrustedIssuerID, e IssuerEdit) (*IssuerChange, error) {
	if err := need(actor, auth.ScopeIssuersWrite); err != nil {
		return nil, err
	}
	looked, err := r.lookAhead(ctx, id, e)
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (IssuerChange, error) {
		i, err := tx.Issuers().TrustedIssuer(ctx, id)
		if err != nil {
			return IssuerChange{}, err
		}
		before, _ := source(i)
		edit := issuerEditing{stored: i, IssuerEdit: e, hit: looked.hit}
		edit.Change = func(i *auth.TrustedIssuer) error {
			if err := e.Change(i); err != nil {
				return err
			}
			if address, member := source(i); address != before && address != looked.address {
				return fault.New(fault.Conflict, "others change the issuer at the same time; try again").At(member)
			}
			return nil
		}
		revoked, err := r.changeIssuer(ctx, tx, actor, edit)
		return IssuerChange{*i, revoked}, err
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// lookedAhead is what must be known before a transaction, since it takes time.
type lookedAhead struct {
	address string // from which keys may be fetched
	hit     Hit    // tokens of the clients with a rule
}

// lookAhead looks at what an edit would do. That it must not be done shows in its transaction.
func (r *Registry) lookAhead(ctx context.Context, id auth.TrustedIssuerID, e IssuerEdit) (looked lookedAhead, err error) {
	var before, after auth.TrustedIssuer
	var clients []auth.ClientID
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		i, err := tx.Issuers().TrustedIssuer(ctx, id)
		if err != nil {
			return err
		}
		before, after = *i, *i
		if e.Change(&after) != nil {
			after = before
		}
		clients, err = idsOf(trusters(ctx, tx, id))
		return err
	})
	if err != nil {
		return looked, err
	}
	was, _ := source(&before)
	if looked.address, _ = source(&after); looked.address != was {
		if err := r.checkSource(ctx, &after); err != nil {
			return looked, err
		}
	}
	if looked.hit = none(); e.RevokeTokens || after.Status == auth.Disabled && before.Status != auth.Disabled {
		looked.hit, err = r.countOf(ctx, clients)
	}
	return looked, err
}

func (r *Registry) countOf(ctx context.Context, clients []auth.ClientID) (Hit, error) {
	if len(clients) == 0 {
		return none(), nil
	}
	return r.count(ctx, func(t *auth.Token) bool { return slices.Contains(clients, t.Client) }, auth.ClientID{})
}

// issuerEditing is an issuer that is about to be edited.
type issuerEditing struct {
	IssuerEdit
	stored *auth.TrustedIssuer
	hit    Hit
}

// changeIssuer edits e.stored in place, and returns what that takes back.
func (r *Registry) changeIssuer(ctx context.Context, tx auth.Tx, actor auth.Actor, e issuerEditing) (Hit, error) {
	i := e.stored
	clients, err := r.outranksTrusters(ctx, tx, actor, i.ID)
	if err != nil {
		return Hit{}, err
	}
	if err := e.Match.check(i.Revision); err != nil {
		return Hit{}, err
	}
	before := *i
	if err := e.Change(i); err != nil {
		return Hit{}, err
	}
	if i.Kind != before.Kind || i.Issuer != before.Issuer {
		return Hit{}, fault.New(fault.InvalidRequest, "kind and identifier of an issuer cannot be changed: clients have rules for it; make another one").At("issuer")
	}
	i.ID, i.Revision, i.Created, i.Updated = before.ID, before.Revision, before.Created, before.Updated
	if err := checkIssuer(i); err != nil {
		return Hit{}, err
	}
	ends := i.Status == auth.Disabled && before.Status != auth.Disabled
	if i.Name == before.Name && reflect.DeepEqual(i.Trust, before.Trust) && !e.RevokeTokens {
		return none(), nil
	}
	if err := issuerFree(ctx, tx, i); err != nil {
		return Hit{}, err
	}
	i.Updated = r.now()
	rec := record{actor, "issuer.update", i.ID.String(), issuerView(&before), issuerView(i)}
	if i.Status != before.Status {
		rec.action = map[auth.Status]string{auth.Active: "issuer.enable", auth.Disabled: "issuer.disable"}[i.Status]
	}
	changes := []auth.Change{issuerChanged(i.ID)}
	if ends || e.RevokeTokens {
		changes = append(changes, revocationsOf(clients)...)
		rec.after = telling(issuerView(i), e.hit)
	} else {
		e.hit = none()
	}
	return e.hit, r.keeping(ctx, tx, actor, func() error {
		if err := tx.Issuers().PutTrustedIssuer(ctx, i); err != nil {
			return err
		}
		return r.note(ctx, tx, rec, changes...)
	})
}

// trusters are the clients that have a rule for an issuer, in order of id.
func trusters(ctx context.Context, tx auth.Tx, id auth.TrustedIssuerID) (clients []*auth.Client, err error) {
	err = tx.Clients().EachClient(ctx, func(c *auth.Client) error {
		if slices.ContainsFunc(c.Proofs.Federation, func(rule auth.FederationRule) bool { return rule.Issuer == id }) {
			clients = append(clients, c)
		}
		return nil
	})
	return clients, err
}

func idsOf(clients []*auth.Client, err error) ([]auth.ClientID, error) {
	ids := make([]auth.ClientID, len(clients))
	for i, c := range clients {
		ids[i] = c.ID
	}
	return ids, err
}

// outranksTrusters returns the clients that have a rule for an issuer, or fault.Forbidden unless the actor may change all of them.
func (r *Registry) outranksTrusters(ctx context.Context, tx auth.Tx, actor auth.Actor, id auth.TrustedIssuerID) ([]*auth.Client, error) {
	clients, err := trusters(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := r.outranks(ctx, tx, actor, c.ID, powers{}); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

func revocationsOf(clients []*auth.Client) (changes []auth.Change) {
	for _, c := range clients {
		changes = append(changes, auth.Change{Kind: auth.RevokeClient, Subject: c.ID})
	}
	return changes
}

// DeleteIssuer removes a trusted issuer with the rules for it, and takes back all tokens of the clients that had one. It needs what UpdateIssuer needs;
// fault.Conflict also if a client has no other rule, and so could not authenticate any more.
func (r *Registry) DeleteIssuer(ctx context.Context, actor auth.Actor, id auth.TrustedIssuerID, m Match) (Hit, error) {
	if err := need(actor, auth.ScopeIssuersWrite); err != nil {
		return Hit{}, err
	}
	var clients []auth.ClientID
	err := r.Store.View(ctx, func(tx auth.Tx) (err error) {
		clients, err = idsOf(trusters(ctx, tx, id))
		return err
	})
	if err != nil {
		return Hit{}, err
	}
	hit, err := r.countOf(ctx, clients)
	if err != nil {
		return Hit{}, err
	}
	return update(ctx, r, func(tx auth.Tx) (Hit, error) {
		return hit, r.keeping(ctx, tx, actor, func() error { return r.removeIssuer(ctx, tx, actor, id, removal{m, hit}) })
	})
}

func (r *Registry) removeIssuer(ctx context.Context, tx auth.Tx, actor auth.Actor, id auth.TrustedIssuerID, w removal) error {
	i, err := tx.Issuers().TrustedIssuer(ctx, id)
	if err != nil {
		return err
	}
	clients, err := r.outranksTrusters(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	if err := w.match.check(i.Revision); err != nil {
		return err
	}
	for _, c := range clients {
		if err := r.dropRules(ctx, tx, actor, c, i); err != nil {
			return err
		}
	}
	if err := tx.Issuers().DeleteTrustedIssuer(ctx, id); err != nil {
		return err
	}
	changes := append([]auth.Change{issuerChanged(id)}, revocationsOf(clients)...)
	return r.note(ctx, tx, record{actor, "issuer.delete", id.String(), issuerView(i), hitView(w.hit)}, changes...)
}

// dropRules takes the rules for an issuer from a client.
func (r *Registry) dropRules(ctx context.Context, tx auth.Tx, actor auth.Actor, c *auth.Client, i *auth.TrustedIssuer) error {
	before := *c
	c.Proofs.Federation = slices.DeleteFunc(slices.Clone(c.Proofs.Federation), func(rule auth.FederationRule) bool { return rule.Issuer == i.ID })
	if len(c.Proofs.Federation) == 0 {
		return fault.New(fault.Conflict, "the client "+c.Name+" has no rule but for this issuer; disable the issuer, or change or delete the client first")
	}
	c.Updated = r.now()
	return r.storeClient(ctx, tx, actor, &before, editing[auth.Client]{stored: c})
}

// Issuer returns a trusted issuer, or fault.NotFound. It needs issuers:read.
func (r *Registry) Issuer(ctx context.Context, actor auth.Actor, id auth.TrustedIssuerID) (found *auth.TrustedIssuer, err error) {
	if err := need(actor, auth.ScopeIssuersRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		found, err = tx.Issuers().TrustedIssuer(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ListIssuers returns every trusted issuer in order of id; they are few. It needs issuers:read.
func (r *Registry) ListIssuers(ctx context.Context, actor auth.Actor) (all []*auth.TrustedIssuer, err error) {
	if err := need(actor, auth.ScopeIssuersRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
		all, err = tx.Issuers().TrustedIssuers(ctx)
		return err
	})
	return all, err
}
