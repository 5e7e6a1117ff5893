package auth_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// exchangeable is a world whose client may exchange tokens for the API that it serves for others, and a request of it.
func exchangeable() (*world, *auth.ExchangeRequest) {
	w := newWorld()
	w.record().Exchanges = []*auth.ExchangeGrant{
		{Client: w.client, Source: w.served.ID, Target: w.prices.ID, Scopes: []auth.ExchangeScope{{Scope: "read", Needs: "list"}}},
		{Client: w.client, Source: w.served.ID, Target: w.stock.ID, Scopes: []auth.ExchangeScope{
			{Scope: "read", Needs: "read"}, {Scope: "write", Needs: "read"}, {Scope: "admin", Needs: "admin"},
		}},
	}
	subject := w.token(w.served)
	subject.Scope, subject.Expires = "other read", start.Truncate(time.Second).Add(10*time.Minute)
	subject.Credential, subject.Revision, subject.Key = auth.NewSecretID(start), 7, auth.NewKeyID(start)
	return w, &auth.ExchangeRequest{
		TokenRequest: auth.TokenRequest{
			Caller: &auth.Caller{Client: w.record().Client, Credential: w.record().Secrets[1].ID}, Resource: []string{w.stock.Identifier},
		},
		Subject: subject,
	}
}

func TestDecideExchange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*world, *auth.ExchangeRequest)
		got    string
		err    error
	}{
		{name: "X01 asks for nothing, gets what the subject's scopes allow", got: "read write"},
		{name: "X01 asks for less", change: func(_ *world, r *auth.ExchangeRequest) { r.Scope = "write" }, got: "write"},
		{name: "X02 none of ours", change: func(_ *world, r *auth.ExchangeRequest) { r.Subject = nil }, err: fault.InvalidGrant},
		{name: "X05 before its end", change: func(w *world, r *auth.ExchangeRequest) { w.now = r.Subject.Expires.Add(-1) }, got: "read write"},
		{name: "X05 at its end", change: func(w *world, r *auth.ExchangeRequest) { w.now = r.Subject.Expires }, err: fault.InvalidGrant},
		{name: "X05 revoked", change: func(w *world, r *auth.ExchangeRequest) { w.denied[r.Subject.ID] = true }, err: fault.InvalidGrant},
		{name: "X06 no target", change: func(_ *world, r *auth.ExchangeRequest) { r.Resource = nil }, err: fault.InvalidTarget},
		{name: "X06 two targets", change: func(w *world, r *auth.ExchangeRequest) { r.Resource = append(r.Resource, w.prices.Identifier) }, err: fault.InvalidTarget},
		{name: "X06 relative target", change: func(_ *world, r *auth.ExchangeRequest) { r.Resource = []string{"stock"} }, err: fault.InvalidTarget},
		{name: "X06 unknown target", change: func(_ *world, r *auth.ExchangeRequest) { r.Resource = []string{"https://unknown.example"} }, err: fault.InvalidTarget},
		{name: "X06 target of an ordinary grant alone", change: func(w *world, _ *auth.ExchangeRequest) {
			w.record().Exchanges = w.record().Exchanges[:1]
		}, err: fault.InvalidTarget},
		{name: "X06 granted from another source", change: func(w *world, _ *auth.ExchangeRequest) {
			w.record().Exchanges[1].Source = w.prices.ID
		}, err: fault.InvalidTarget},
		{name: "X07 scope that the subject's do not allow", change: func(_ *world, r *auth.ExchangeRequest) { r.Scope = "read admin" }, err: fault.InvalidScope},
		{name: "X07 scope of the subject, not of the grant", change: func(_ *world, r *auth.ExchangeRequest) { r.Scope = "other" }, err: fault.InvalidScope},
		{name: "X07 nothing is allowed", change: func(w *world, r *auth.ExchangeRequest) { r.Resource = []string{w.prices.Identifier} }, err: fault.InvalidScope},
		{name: "X07 scope outside the grammar", change: func(_ *world, r *auth.ExchangeRequest) { r.Scope = `re"ad` }, err: fault.InvalidScope},
		{name: "X09 may_act names the caller", change: func(w *world, r *auth.ExchangeRequest) { r.Subject.Lineage.MayAct = w.client }, got: "read write"},
		{name: "X09 may_act names another", change: func(_ *world, r *auth.ExchangeRequest) {
			r.Subject.Lineage.MayAct = auth.NewClientID(start)
		}, err: fault.InvalidGrant},
		{name: "X11 no grant to exchange", change: func(w *world, _ *auth.ExchangeRequest) { w.record().Exchanges = nil }, err: fault.UnauthorizedClient},
		{name: "X11 client deleted meanwhile", change: func(w *world, _ *auth.ExchangeRequest) { delete(w.clients, w.client) }, err: fault.InvalidClient},
		{name: "X12 bound subject token, by who serves its API", change: func(_ *world, r *auth.ExchangeRequest) {
			r.Subject.Confirmation.JWK = [32]byte{1}
		}, got: "read write"},
		{name: "X12 bound subject token, by another", change: func(w *world, r *auth.ExchangeRequest) {
			r.Subject.Confirmation.JWK = [32]byte{1}
			w.record().Serves = nil
		}, err: fault.InvalidGrant},
		{name: "X12 subject token that the caller was not called with", change: func(w *world, _ *auth.ExchangeRequest) { w.record().Serves = nil }, err: fault.InvalidGrant},
		{name: "exchanged four times", change: func(_ *world, r *auth.ExchangeRequest) {
			r.Subject.Lineage.Ancestors = make([]auth.Ancestor, auth.MaxAncestors-1)
		}, got: "read write"},
		{name: "exchanged five times", change: func(_ *world, r *auth.ExchangeRequest) {
			r.Subject.Lineage.Ancestors = make([]auth.Ancestor, auth.MaxAncestors)
		}, err: fault.InvalidGrant},
		{name: "X04 actor token of the caller", change: func(w *world, r *auth.ExchangeRequest) {
			r.HasActor, r.Actor = true, w.token(w.stock)
			r.Actor.Client = w.client
		}, got: "read write"},
		{name: "X04 actor token of another", change: func(w *world, r *auth.ExchangeRequest) { r.HasActor, r.Actor = true, w.token(w.stock) }, err: fault.InvalidGrant},
		{name: "X04 actor token of nobody", change: func(_ *world, r *auth.ExchangeRequest) { r.HasActor = true }, err: fault.InvalidGrant},
		{name: "X04 revoked actor token", change: func(w *world, r *auth.ExchangeRequest) {
			r.HasActor, r.Actor = true, w.token(w.stock)
			r.Actor.Client = w.client
			w.denied[r.Actor.ID] = true
		}, err: fault.InvalidGrant},
		{name: "X10 JWT of an API that has none", change: func(w *world, r *auth.ExchangeRequest) { w.stock.Format, r.JWT = auth.Opaque, true }, err: fault.InvalidRequest},
		{name: "X10 JWT", change: func(w *world, r *auth.ExchangeRequest) { w.stock.Format, r.JWT = auth.JWT, true }, got: "read write"},
		{name: "target whose tokens have to be bound", change: func(w *world, _ *auth.ExchangeRequest) { w.stock.Constraint = auth.DPoPBinding }, err: fault.InvalidProof},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, r := exchangeable()
			if tt.change != nil {
				tt.change(w, r)
			}
			d, err := auth.DecideExchange(w, *r, w.Sequence(), w.now)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && (d.API != w.stock || d.Scope != tt.got || d.Revision != 41 || d.Credential != r.Caller.Credential || !d.Until.Equal(r.Subject.Expires)) {
				t.Errorf("decision is %+v", d)
			}
		})
	}
}

// X08: the new token names the one that it was made from, with all by which it can be taken back, and those before it.
func TestExchangeKeepsTheChain(t *testing.T) {
	w, r := exchangeable()
	first := auth.NewClientID(start)
	earlier := auth.Ancestor{ID: auth.NewTokenID(start, start), Client: first, Audience: w.prices.Identifier}
	r.Subject.Lineage = auth.Lineage{Subject: first, MayAct: w.client, Ancestors: []auth.Ancestor{earlier}}
	d, err := auth.DecideExchange(w, *r, 41, w.now)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Subject
	want := auth.Lineage{Subject: first, Ancestors: []auth.Ancestor{
		{ID: s.ID, Client: s.Client, Audience: w.served.Identifier, Revision: 7, Credential: s.Credential, Key: s.Key}, earlier,
	}}
	if diff := cmp.Diff(want, d.Lineage); diff != "" {
		t.Error(diff)
	}
	token := d.Token(w.now)
	if want := []auth.ClientID{w.client, s.Client}; !slices.Equal(token.Actors(), want) || token.Subject() != first {
		t.Errorf("actors %v on behalf of %v", token.Actors(), token.Subject())
	}
	t.Run("back to where it came from", func(t *testing.T) {
		r.Subject.Lineage = auth.Lineage{}
		r.Subject.Client = w.client
		d, err := auth.DecideExchange(w, *r, 41, w.now)
		if err != nil || d.Lineage.Subject != (auth.ClientID{}) || d.Token(w.now).Subject() != w.client {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// Along any chain scopes are allowed by those before, and nothing outlives what it was made from. The services call each other in any order.
func TestExchangeOnlyNarrows(t *testing.T) {
	longest := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		w, services := neighbourhood(random)
		token := (&auth.Decision{Client: auth.NewClientID(start), API: w.apis[0], Scope: "s0 s1 s2"}).Token(start)
		at, hops := 0, 0
		now := start
		for ; hops <= auth.MaxAncestors; hops++ {
			now = now.Add(time.Duration(random.IntN(600)) * time.Second)
			to := (at + 1 + random.IntN(len(w.apis)-1)) % len(w.apis)
			caller := w.clients[services[at]]
			d, err := auth.DecideExchange(w, auth.ExchangeRequest{
				TokenRequest: auth.TokenRequest{Caller: &auth.Caller{Client: caller.Client}, Resource: []string{w.apis[to].Identifier}}, Subject: token,
			}, 41, now)
			if err != nil {
				break
			}
			next := d.Token(now)
			narrower(t, caller.Exchanges, token, next)
			token, at = next, to
		}
		if hops > auth.MaxAncestors {
			t.Fatalf("seed %d: a token was exchanged %d times", seed, hops)
		}
		longest = max(longest, hops)
	}
	if longest != auth.MaxAncestors {
		t.Errorf("the longest chain has %d exchanges", longest)
	}
}

// neighbourhood are services, each of which serves an API and may exchange tokens for it for any of the others.
func neighbourhood(random *rand.Rand) (*world, []auth.ClientID) {
	w := newWorld()
	w.apis = nil
	names := []string{"s0", "s1", "s2"}
	var services []auth.ClientID
	for _, name := range []string{"a", "b", "c", "d"} {
		w.apis = append(w.apis, &auth.API{
			ID: auth.NewAPIID(start), Identifier: "https://" + name, Lifetime: time.Duration(1+random.IntN(60)) * time.Minute,
		})
		services = append(services, auth.NewClientID(start))
	}
	for i, id := range services {
		record := &auth.ClientRecord{Client: &auth.Client{ID: id, Status: auth.Active}, Serves: []auth.APIID{w.apis[i].ID}}
		for _, target := range w.apis {
			g := &auth.ExchangeGrant{Client: id, Source: w.apis[i].ID, Target: target.ID}
			for _, scope := range names {
				g.Scopes = append(g.Scopes, auth.ExchangeScope{Scope: scope, Needs: names[random.IntN(len(names))]})
			}
			if target != w.apis[i] {
				record.Exchanges = append(record.Exchanges, g)
			}
		}
		w.clients[id] = record
	}
	return w, services
}

// narrower checks one hop.
func narrower(t *testing.T, grants []*auth.ExchangeGrant, from, to *auth.Token) {
	t.Helper()
	held, err := auth.ParseScopes(from.Scope)
	got, wrong := auth.ParseScopes(to.Scope)
	if err != nil || wrong != nil || len(got) == 0 {
		t.Fatalf("scopes %q, then %q", from.Scope, to.Scope)
	}
	for _, scope := range got {
		if !slices.ContainsFunc(grants, func(g *auth.ExchangeGrant) bool {
			return g.Target == to.API && slices.ContainsFunc(g.Scopes, func(s auth.ExchangeScope) bool { return s.Scope == scope && held.Has(s.Needs) })
		}) {
			t.Errorf("scope %s came from %q", scope, from.Scope)
		}
	}
	if to.Expires.After(from.Expires) || !to.Live(to.Issued) {
		t.Errorf("expires %v, was made from one that expires %v", to.Expires, from.Expires)
	}
	if to.Subject() != from.Subject() || to.Lineage.Ancestors[0].ID != from.ID || len(to.Lineage.Ancestors) != len(from.Lineage.Ancestors)+1 {
		t.Errorf("lineage %+v of one made from %+v", to.Lineage, from.Lineage)
	}
}
