package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func strongProofs() auth.Proofs {
	return auth.Proofs{
		JWKS: []byte(`{"keys":[]}`), SigningAlg: auth.EdDSA, DPoPBound: true, CertificateBound: true,
		Certificate: &auth.CertificateName{Field: auth.SANURI, Value: "spiffe://example.org/ключ"},
		Federation: []auth.FederationRule{{
			Issuer: auth.TrustedIssuerID{7}, Claims: []auth.ClaimMatch{{Path: []string{"kubernetes.io", "namespace"}, Equals: "a"}, {Path: []string{"sub"}, Prefix: "b"}},
		}},
	}
}

func newExchange(client auth.ClientID, source, target auth.APIID) *auth.ExchangeGrant {
	at := now()
	return &auth.ExchangeGrant{
		Client: client, Source: source, Target: target, Scopes: []auth.ExchangeScope{{Scope: "read", Needs: "write"}}, Created: at, Updated: at,
	}
}

func testExchanges(t *testing.T, o *Opened) {
	c, d := newClient(), newClient()
	a, b := newAPI("https://a.example"), newAPI("https://b.example")
	g := newExchange(c.ID, a.ID, b.ID)
	all := []*auth.ExchangeGrant{g, newExchange(c.ID, b.ID, a.ID), newExchange(d.ID, a.ID, b.ID)}
	o.put(t, c, d, a, b, all[2], g, all[1])
	read := func(ctx context.Context, tx auth.Tx) (*auth.ExchangeGrant, error) {
		return tx.Exchanges().Exchange(ctx, c.ID, a.ID, b.ID)
	}
	wantSame(t, "grant", viewed(t, o, read), g)
	stale := *g
	g.Scopes = append(g.Scopes, auth.ExchangeScope{Scope: "write", Needs: "write"})
	o.put(t, g)
	wantSame(t, "changed grant", viewed(t, o, read), g)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	wantError(t, "the same again", o.tryPut(t, newExchange(c.ID, a.ID, b.ID)), fault.Conflict)
	wantError(t, "grant for an unknown api", o.tryPut(t, newExchange(c.ID, a.ID, auth.NewAPIID(now()))), fault.Conflict)
	slices.SortFunc(all, func(x, y *auth.ExchangeGrant) int {
		return slices.Compare(slices.Concat(x.Client[:], x.Source[:], x.Target[:]), slices.Concat(y.Client[:], y.Source[:], y.Target[:]))
	})
	wantSame(t, "all grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.ExchangeGrant, error) {
		return collected(tx.Exchanges().EachExchange)(ctx)
	}), all)
	wantSame(t, "a client's grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.ExchangeGrant, error) {
		return tx.Exchanges().ClientExchanges(ctx, c.ID)
	}), slices.DeleteFunc(slices.Clone(all), func(g *auth.ExchangeGrant) bool { return g.Client != c.ID }))
	remove := func(ctx context.Context, tx auth.Tx) error {
		return tx.Exchanges().DeleteExchange(ctx, c.ID, a.ID, b.ID)
	}
	o.update(t, remove)
	wantError(t, "second deletion", o.try(t, remove), fault.NotFound)
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.Clients().DeleteClient(ctx, d.ID), tx.APIs().DeleteAPI(ctx, b.ID))
	})
	left := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.ExchangeGrant, error) {
		return collected(tx.Exchanges().EachExchange)(ctx)
	})
	wantSame(t, "grants of what is gone", len(left), 0)
}

func testTrustedIssuers(t *testing.T, o *Opened) {
	issuer := func(name, identifier string) *auth.TrustedIssuer {
		at := now()
		return &auth.TrustedIssuer{
			ID: auth.NewTrustedIssuerID(at), Name: name, Issuer: identifier, Created: at, Updated: at,
			Trust: auth.Trust{
				Kind: auth.OIDCIssuer, JWKSURI: "https://keys.example/jwks", Audience: "https://aud.example", Algorithms: []string{"ES256", "RS256"},
				MaxLifetime: time.Hour, Replay: auth.Once, Status: auth.Active,
			},
		}
	}
	a, b := issuer("a", "https://a.example"), issuer("b", "https://b.example")
	o.put(t, a, b)
	read := func(ctx context.Context, tx auth.Tx) (*auth.TrustedIssuer, error) {
		return tx.Issuers().TrustedIssuer(ctx, a.ID)
	}
	wantSame(t, "issuer", viewed(t, o, read), a)
	stale := *a
	a.Name, a.Trust = "renamed", auth.Trust{Kind: auth.SPIFFEIssuer, JWKS: []byte(`{"keys":[]}`), Algorithms: []string{"ES256"}, Replay: auth.Reusable}
	o.put(t, a)
	wantSame(t, "changed issuer", viewed(t, o, read), a)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	wantError(t, "a name that is taken", o.tryPut(t, issuer("b", "https://c.example")), fault.Conflict)
	wantError(t, "an issuer that is there", o.tryPut(t, issuer("c", "https://b.example")), fault.Conflict)
	all := []*auth.TrustedIssuer{a, b}
	slices.SortFunc(all, func(x, y *auth.TrustedIssuer) int { return compareIDs(x.ID, y.ID) })
	list := func(ctx context.Context, tx auth.Tx) ([]*auth.TrustedIssuer, error) {
		return tx.Issuers().TrustedIssuers(ctx)
	}
	wantSame(t, "all issuers", viewed(t, o, list), all)
	remove := func(ctx context.Context, tx auth.Tx) error { return tx.Issuers().DeleteTrustedIssuer(ctx, a.ID) }
	o.update(t, remove)
	wantError(t, "second deletion", o.try(t, remove), fault.NotFound)
	wantSame(t, "issuers that are left", viewed(t, o, list), []*auth.TrustedIssuer{b})
}

func testStrongTokens(t *testing.T, o *Opened) {
	bound, derived, restricted := newToken(time.Now()), newToken(time.Now()), newToken(time.Now())
	bound.Confirmation = auth.Confirmation{JWK: [32]byte{1}, Certificate: [32]byte{31: 2}}
	derived.Confirmation.Certificate = [32]byte{3}
	derived.Lineage = auth.Lineage{Subject: auth.ClientID{4}, Ancestors: []auth.Ancestor{
		{ID: auth.TokenID{5}, Client: auth.ClientID{6}, Audience: "https://a.example", Revision: 1 << 62, Credential: auth.SecretID{7}},
		{ID: auth.TokenID{8}, Client: auth.ClientID{4}, Audience: "https://b.example", Key: auth.KeyID{9}},
	}}
	restricted.Lineage.MayAct = auth.ClientID{10}
	o.insert(t, bound, derived, restricted)
	o.wantStored(t, true, bound, derived, restricted)
	if err := o.Ledger.InsertTokens(t.Context(), []*auth.Token{bound, derived}, true); err != nil {
		t.Errorf("again: %v", err)
	}
	other := *derived
	other.Lineage.Subject = auth.ClientID{11}
	wantError(t, "another row", o.Ledger.InsertTokens(t.Context(), []*auth.Token{&other}, true), fault.Conflict)
}

func use(name string) auth.ProofUse {
	return auth.ProofUse{Key: sha256.Sum256([]byte(name)), Expires: time.Now().Add(time.Minute)}
}

func newProven(names ...string) *auth.Token {
	t := newToken(time.Now())
	for _, name := range names {
		t.Uses = append(t.Uses, use(name))
	}
	return t
}

// bare is the token as its row has it.
func bare(t *auth.Token) *auth.Token {
	row := *t
	row.Uses = nil
	return &row
}

func testProofs(t *testing.T, o *Opened) {
	first, plain, again, both := newProven("a"), newToken(time.Now()), newProven("a"), newProven("b", "c")
	if err := o.Ledger.InsertTokens(t.Context(), []*auth.Token{first, plain}, false); err != nil {
		t.Fatal(err)
	}
	o.wantStored(t, true, bare(first), plain)
	if err := o.Ledger.InsertTokens(t.Context(), []*auth.Token{first}, true); err != nil {
		t.Errorf("the same once more, after an unknown outcome: %v", err)
	}
	err := o.Again(t).Ledger.InsertTokens(t.Context(), []*auth.Token{again, both}, false)
	replay, is := errors.AsType[*auth.ReplayError](err)
	if !is || len(replay.Proofs) != 1 || replay.Proofs[0] != (auth.ReplayedProof{Token: again.ID, Key: use("a").Key}) || replay.Of(both.ID) != nil {
		t.Errorf("a proof that was used: %v, %+v", err, replay)
	}
	o.wantStored(t, false, bare(again))
	o.wantStored(t, true, bare(both))
	twins := []*auth.Token{newProven("d"), newProven("d")}
	replay, is = errors.AsType[*auth.ReplayError](o.Ledger.InsertTokens(t.Context(), twins, false))
	if !is || len(replay.Proofs) != 1 {
		t.Errorf("a proof twice in a batch: %+v", replay)
	}
	if o.stored(t, bare(twins[0])) == o.stored(t, bare(twins[1])) {
		t.Error("not one of two tokens for a proof is stored")
	}
	unused := []auth.ProofUse{use("e"), use("f")}
	if err := o.Ledger.UseProofs(t.Context(), unused); err != nil {
		t.Error(err)
	}
	for _, uses := range [][]auth.ProofUse{unused, {use("g"), use("c")}} {
		if replay, is := errors.AsType[*auth.ReplayError](o.Ledger.UseProofs(t.Context(), uses)); !is || !replay.Has(uses[1].Key) {
			t.Errorf("proofs that were used: %+v", replay)
		}
	}
	if err := errors.Join(o.Ledger.UseProofs(t.Context(), []auth.ProofUse{use("g")}), o.Ledger.UseProofs(t.Context(), nil)); err != nil {
		t.Errorf("a proof whose use was undone: %v", err)
	}
}

// testProofsAtOnce has two instances use the same proofs at the same time, in different orders.
func testProofsAtOnce(t *testing.T, o *Opened) {
	other := o.Again(t)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var running sync.WaitGroup
	var mu sync.Mutex
	won := map[auth.TokenID]bool{}
	for round := range 8 {
		running.Go(func() {
			mine := o.Ledger
			if round%2 == 0 {
				mine = other.Ledger
			}
			var batch []*auth.Token
			for i := range names {
				batch = append(batch, newProven(names[(i*3+round)%len(names)]))
			}
			err := mine.InsertTokens(t.Context(), batch, false)
			replay, is := errors.AsType[*auth.ReplayError](err)
			if err != nil && !is {
				t.Errorf("InsertTokens: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, token := range batch {
				if !is || replay.Of(token.ID) == nil {
					won[token.ID] = true
				}
			}
		})
	}
	running.Wait()
	if len(won) != len(names) {
		t.Errorf("%d tokens for %d proofs", len(won), len(names))
	}
}

func testProofsForgotten(t *testing.T, o *Opened) {
	old, fresh := use("old"), use("fresh")
	old.Expires = time.Now().Add(-2*auth.MaxSkew - time.Minute)
	if err := o.Ledger.UseProofs(t.Context(), []auth.ProofUse{old, fresh}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Ledger.Maintain(t.Context(), time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Ledger.UseProofs(t.Context(), []auth.ProofUse{old}); err != nil {
		t.Errorf("a proof that has long expired is remembered: %v", err)
	}
	if _, is := errors.AsType[*auth.ReplayError](o.Ledger.UseProofs(t.Context(), []auth.ProofUse{fresh})); !is {
		t.Error("a proof was forgotten while it could be used")
	}
}
