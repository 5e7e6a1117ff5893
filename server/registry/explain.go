package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Question asks whether a client may call an API.
type Question struct {
	Client string // its id or name
	API    string // its id or identifier; empty: the client's default resource
	Scope  string // space-delimited, RFC 6749 §3.3; empty: whatever the grant holds
}

// Verdict says whether a client that asked now would get such a token. What of Client, API and Grant was found is set.
type Verdict struct {
	Allowed bool
	Client  auth.ClientID
	API     auth.APIID
	Scopes  auth.Scopes // that the token would hold
	Grant   *GrantDetail
	Reasons []string // sentences: by which grant, or everything that is in the way and how to mend it
}

// Explain answers the question by the rules of auth.Decide, from the database: it knows of a change at once, while servers learn of it within a
// quarter of a second. It needs grants:read. An unknown client or API is an answer, not an error; fault.InvalidRequest is a question
// without a client.
func (r *Registry) Explain(ctx context.Context, actor auth.Actor, q Question) (*Verdict, error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	if q.Client == "" {
		return nil, fault.New(fault.InvalidRequest, "name a client by its id or its name").At("client")
	}
	var verdict *Verdict
	err := r.Store.View(ctx, func(tx auth.Tx) error {
		e := explanation{tx: tx, now: r.Now(), asked: q}
		if err := e.run(ctx); err != nil {
			return err
		}
		e.Allowed, verdict = len(e.Reasons) == 0, &e.Verdict
		if e.Allowed {
			e.say("the grant of %s on %s holds %s", e.client.Name, e.api.Identifier, strings.Join(e.Scopes, ", "))
		} else {
			e.Scopes = nil
		}
		return nil
	})
	return verdict, err
}

type explanation struct {
	Verdict

	tx     auth.Tx
	now    time.Time
	asked  Question
	client *auth.Client
	api    *auth.API
}

func (e *explanation) say(format string, args ...any) {
	e.Reasons = append(e.Reasons, fmt.Sprintf(format, args...))
}

func (e *explanation) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{e.findClient, e.findAPI, e.findGrant} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// present reports whether err is nil, and passes it on unless it is fault.NotFound.
func present(err error) (bool, error) {
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

func (e *explanation) findClient(ctx context.Context) error {
	var c *auth.Client
	id, err := auth.ParseClientID(e.asked.Client)
	if err == nil {
		c, err = e.tx.Clients().Client(ctx, id)
	} else {
		c, err = e.tx.Clients().ClientByName(ctx, e.asked.Client)
	}
	if ok, err := present(err); !ok {
		e.say("there is no client %q: countersign client create makes one, countersign client list shows all", e.asked.Client)
		return err
	}
	e.client, e.Client = c, c.ID
	if c.Status != auth.Active {
		e.say("the client %s is disabled: countersign client enable %s", c.Name, e.clientWord())
	}
	if !c.AuthMethod.BySecret() {
		return e.findTrust(ctx)
	}
	secrets, err := e.tx.Secrets().ClientSecrets(ctx, c.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(secrets, func(s *auth.Secret) bool { return s.Usable(e.now) }) {
		e.say("the client %s cannot authenticate, since %s: countersign secret add %s", c.Name, lacking(secrets), e.clientWord())
	}
	return nil
}

// findTrust says if nobody can authenticate as the client, which does so by something else than a secret.
func (e *explanation) findTrust(ctx context.Context) error {
	able, err := trusting(ctx, e.tx, e.client)
	if err == nil && !able {
		e.say("the client %s cannot authenticate, since the trusted issuers of its rules are disabled: countersign trusted-issuer list shows them", e.client.Name)
	}
	return err
}

// lacking says why none of the secrets is usable.
func lacking(secrets []*auth.Secret) string {
	disabled := 0
	for _, s := range secrets {
		if s.Status != auth.Active {
			disabled++
		}
	}
	switch {
	case len(secrets) == 0:
		return "it has no secret"
	case disabled == len(secrets):
		return "every secret it has is disabled"
	case disabled == 0:
		return "every secret it has is expired"
	}
	return "every secret it has is disabled or expired"
}

func (e *explanation) findAPI(ctx context.Context) error {
	asked := e.asked.API
	id, err := auth.ParseAPIID(asked)
	switch {
	case asked == "" && e.client == nil:
		return nil
	case asked == "" && e.client.DefaultResource == (auth.APIID{}):
		e.say("the client %s has no default resource, and no API is named: countersign client update %s --default-resource IDENTIFIER",
			e.client.Name, e.clientWord())
		return nil
	case asked == "":
		e.api, err = e.tx.APIs().API(ctx, e.client.DefaultResource)
	case err == nil:
		e.api, err = e.tx.APIs().API(ctx, id)
	default:
		e.api, err = e.tx.APIs().APIByIdentifier(ctx, asked)
	}
	if ok, err := present(err); !ok {
		e.api = nil
		e.say("there is no API %q: countersign api create makes one, countersign api list shows all", asked)
		return err
	}
	e.API = e.api.ID
	return nil
}

func (e *explanation) findGrant(ctx context.Context) error {
	asked, ok := e.scopes()
	if !ok || e.api == nil {
		return nil
	}
	e.offered(asked)
	if e.client == nil {
		return nil
	}
	g, err := e.tx.Grants().Grant(ctx, e.client.ID, e.api.ID)
	if ok, err := present(err); !ok {
		e.say("the client %s has no grant on %s: %s", e.client.Name, e.api.Identifier, e.mend(asked))
		return err
	}
	uses, err := grantUses(ctx, e.tx, e.client.ID)
	if err != nil {
		return err
	}
	u := uses[granting{g.Client, g.API}]
	e.Grant = &GrantDetail{Grant: *g, LastUsed: u.last, Tokens: u.tokens}
	e.Scopes = asked
	if len(asked) == 0 {
		e.Scopes = g.Scopes
	}
	lacks := slices.DeleteFunc(missing(g.Scopes, asked), func(scope string) bool { return !e.api.ScopeNames().Has(scope) }) // the others are told
	if len(lacks) > 0 {
		e.say("the grant of %s on %s lacks %s: %s", e.client.Name, e.api.Identifier, strings.Join(lacks, ", "),
			e.mend(auth.NewScopes(append(slices.Clone(g.Scopes), lacks...)...)))
	}
	return nil
}

// scopes reads the scopes that are asked for.
func (e *explanation) scopes() (asked auth.Scopes, ok bool) {
	asked, err := auth.ParseScopes(e.asked.Scope)
	if err != nil {
		e.say("the scope is malformed: scopes are printable ASCII without quote and backslash, and stand apart by spaces")
	}
	return asked, err == nil
}

// offered says which of the scopes the API does not have at all.
func (e *explanation) offered(asked auth.Scopes) {
	if lacks := missing(e.api.ScopeNames(), asked); len(lacks) > 0 {
		e.say("%s does not offer %s: countersign api show %s tells what it does", e.api.Identifier, strings.Join(lacks, ", "), e.apiWord())
	}
}

// missing returns the scopes of asked that held lacks.
func missing(held, asked auth.Scopes) (lacks auth.Scopes) {
	for _, scope := range asked {
		if !held.Has(scope) {
			lacks = append(lacks, scope)
		}
	}
	return lacks
}

// mend is the command that would grant the scopes, as far as the API offers them; all that it offers if that is none.
func (e *explanation) mend(scopes auth.Scopes) string {
	offered := e.api.ScopeNames()
	granted := slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return !offered.Has(scope) })
	if len(granted) == 0 {
		granted = offered
	}
	words := []string{"countersign grant put", e.clientWord(), e.apiWord()}
	for _, scope := range granted {
		words = append(words, word(scope, "SCOPE"))
	}
	return strings.Join(words, " ")
}

// clientWord is the client as a word of a command: its name, or its id if a shell could read the name as something else.
func (e *explanation) clientWord() string { return word(e.client.Name, e.client.ID.String()) }

func (e *explanation) apiWord() string { return word(e.api.Identifier, e.api.ID.String()) }

func word(name, id string) string {
	special := strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@%+-", r)
	})
	if special || strings.HasPrefix(name, "-") {
		return id
	}
	return name
}
