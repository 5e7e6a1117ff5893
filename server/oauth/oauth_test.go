package oauth_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/oauth"
)

const audience = "https://api.test"

// world is everything that the endpoint asks, as plainly as it can be: what the whole makes of it is tested in package server.
type world struct {
	auth.Directory // what a token request must not ask is nil

	sequence   uint64
	record     *auth.ClientRecord
	api        *auth.API
	stale      int              // how many rounds are refused as stale, each with the log one further
	between    func()           // happens before each further round
	broken     error            // of the writer
	unsigned   error            // of the signer
	rows       []*auth.Token    // that were queued
	signed     []keys.Claims    // in order
	known      []auth.TokenKey  // that the store remembers
	secret     auth.SecretValue // of the one client
	uses       []auth.SecretID
	issued     []*auth.Token
	spent      int   // tokens that were counted and not given back
	overBudget error // of the budget
	order      []string
}

func (w *world) Sequence() uint64              { w.order = append(w.order, "sequence"); return w.sequence }
func (w *world) CatchUp(context.Context) error { return nil }
func (w *world) API(id auth.APIID) *auth.API {
	if id == w.api.ID {
		return w.api
	}
	return nil
}

func (w *world) APIByIdentifier(identifier string) *auth.API {
	if identifier == w.api.Identifier {
		return w.api
	}
	return nil
}

func (w *world) Client(id auth.ClientID) *auth.ClientRecord {
	w.order = append(w.order, "client")
	if w.record == nil || id != w.record.Client.ID {
		return nil
	}
	return w.record
}

func (w *world) Issue(_ context.Context, decide func() (*auth.Token, error), sign func(*auth.Token) error) (*auth.Token, error) {
	for round := 0; ; round++ {
		if round > 0 && w.between != nil {
			w.between()
		}
		t, err := decide()
		if err != nil {
			return nil, err
		}
		w.rows = append(w.rows, t)
		if err := sign(t); err != nil {
			return nil, err
		}
		if round < w.stale {
			w.sequence++
			continue
		}
		return t, w.broken
	}
}

func (w *world) Sign(_ auth.Algorithm, c keys.Claims) (string, auth.KeyID, error) {
	w.signed = append(w.signed, c)
	return "signed " + c.ID.String(), auth.KeyID{}, w.unsigned
}

func (w *world) Remember(_ context.Context, key auth.TokenKey, _ *auth.Token) {
	w.known = append(w.known, key)
}

func (w *world) Authenticated(_ auth.ClientID, credential auth.SecretID, _ netip.Addr) {
	w.uses = append(w.uses, credential)
}

func (w *world) Spend(auth.ClientID, *auth.API, netip.Addr) error {
	if w.overBudget == nil {
		w.spent++
	}
	return w.overBudget
}

func (w *world) Unspend(auth.ClientID, *auth.API, netip.Addr) { w.spent-- }

func (w *world) Issued(t *auth.Token) { w.issued = append(w.issued, t) }

func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 5e8, time.UTC) }

func newWorld(format auth.Format) *world {
	peppers, secret := pepper(), auth.NewSecretValue()
	client := &auth.Client{ID: auth.NewClientID(now()), Status: auth.Active, AuthMethod: auth.SecretBasic}
	api := &auth.API{ID: auth.NewAPIID(now()), Identifier: audience, Format: format, Lifetime: time.Hour, Algorithm: auth.ES256}
	client.DefaultResource = api.ID
	hash, version := peppers.Hash(secret)
	return &world{
		sequence: 7, api: api, secret: secret,
		record: &auth.ClientRecord{
			Client:  client,
			Secrets: []*auth.Secret{{ID: auth.NewSecretID(now()), Client: client.ID, Hash: hash, Pepper: version, Status: auth.Active}},
			Grants:  map[auth.APIID]*auth.Grant{api.ID: {Client: client.ID, API: api.ID, Scopes: auth.NewScopes("read", "write")}},
		},
	}
}

func pepper() *auth.Peppers { return auth.NewPeppers(map[uint32][]byte{1: []byte("pepper")}) }

func (w *world) ask(ctx context.Context, change func(*oauth.Request)) (*oauth.Response, error) {
	endpoint := oauth.New(oauth.Config{
		Authenticator: &auth.Authenticator{Directory: w, Peppers: pepper, Now: now}, Budget: w,
		Directory: w, Writer: w, Signer: w, Store: w, Uses: w, Now: now,
	})
	r := oauth.Request{GrantType: "client_credentials", Credentials: auth.Credentials{
		ClientID: w.record.Client.ID.String(), Secret: w.secret, Method: auth.SecretBasic,
	}}
	if change != nil {
		change(&r)
	}
	return endpoint.Token(ctx, r)
}

func TestToken(t *testing.T) {
	for _, format := range []auth.Format{auth.JWT, auth.Opaque} {
		t.Run(string(format), func(t *testing.T) {
			w := newWorld(format)
			got, err := w.ask(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			row := w.rows[0]
			want := &oauth.Response{AccessToken: got.AccessToken, TokenType: "Bearer", ExpiresIn: 3600, Scope: "read write"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]*auth.Token{row}, w.issued); diff != "" || !slices.Equal(w.uses, []auth.SecretID{row.Credential}) {
				t.Errorf("taken down: %v and %s", w.uses, diff)
			}
			if row.Revision != 7 || row.Credential != w.record.Secrets[0].ID || row.API != w.api.ID {
				t.Errorf("row: %+v", row)
			}
			if format == auth.JWT {
				if got.AccessToken != "signed "+row.ID.String() || len(w.known) != 0 || row.Proof != [32]byte{} {
					t.Errorf("got %+v, known %v", got, w.known)
				}
				return
			}
			id, proof, err := auth.ParseOpaque(got.AccessToken)
			if err != nil || id != row.ID || !row.Proves(proof) || len(w.signed) != 0 {
				t.Errorf("got %+v, %v", got, err)
			}
			if diff := cmp.Diff([]auth.TokenKey{auth.KeyOf(got.AccessToken)}, w.known); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The revision must be older than everything that it vouches for.
func TestTheRevisionIsReadFirst(t *testing.T) {
	w := newWorld(auth.JWT)
	if _, err := w.ask(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if w.order[0] != "sequence" {
		t.Errorf("got %v", w.order)
	}
	again := newWorld(auth.JWT)
	again.stale = 1
	again.between = func() { again.order = nil }
	if _, err := again.ask(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if again.order[0] != "sequence" || again.order[1] != "client" {
		t.Errorf("decided again: got %v", again.order)
	}
}

func TestDecidedAgain(t *testing.T) {
	t.Run("the answer is the last round's", func(t *testing.T) {
		for _, format := range []auth.Format{auth.JWT, auth.Opaque} {
			w := newWorld(format)
			w.stale = 2
			got, err := w.ask(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			last := w.rows[2]
			if len(w.issued) != 1 || w.issued[0] != last || w.spent != 1 {
				t.Errorf("counted: %v, %d spent", w.issued, w.spent)
			}
			if len(w.rows) != 3 || last.Revision != 9 || w.rows[0].ID == last.ID {
				t.Errorf("rows: %v", w.rows)
			}
			if format == auth.JWT && (got.AccessToken != "signed "+last.ID.String() || w.signed[2].Revision != 9) {
				t.Errorf("got %+v, signed %v", got, w.signed)
			}
			if id, _, err := auth.ParseOpaque(got.AccessToken); format == auth.Opaque && (err != nil || id != last.ID) {
				t.Errorf("got %+v", got)
			}
		}
	})
	for _, tt := range []struct {
		name    string
		between func(w *world)
		want    fault.Code
	}{
		{"grant gone", func(w *world) { w.record.Grants = nil }, fault.InvalidTarget},
		{"grant narrowed", func(w *world) { w.record.Grants[w.api.ID].Scopes = auth.NewScopes("write") }, fault.InvalidScope},
		{"secret disabled", func(w *world) { w.record.Secrets[0].Status = auth.Disabled }, fault.InvalidClient},
		{"client gone", func(w *world) { w.record = nil }, fault.InvalidClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(auth.JWT)
			w.stale, w.between = 1, func() { tt.between(w) }
			got, err := w.ask(t.Context(), func(r *oauth.Request) { r.Scope = "read" })
			if !errors.Is(err, tt.want) || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// Whatever fails comes out as it went in, and without a token.
func TestFailures(t *testing.T) {
	unforeseen := errors.New("unforeseen")
	for _, tt := range []struct {
		name   string
		world  func(*world)
		change func(*oauth.Request)
		want   error
	}{
		{"no grant type", nil, func(r *oauth.Request) { r.GrantType = "" }, fault.InvalidRequest},
		{"unknown grant type", nil, func(r *oauth.Request) { r.GrantType = "password" }, fault.UnsupportedGrantType},
		{"grant type with a space", nil, func(r *oauth.Request) { r.GrantType = " client_credentials" }, fault.UnsupportedGrantType},
		{"wrong secret", nil, func(r *oauth.Request) { r.Credentials.Secret = auth.NewSecretValue() }, fault.InvalidClient},
		{"other method", nil, func(r *oauth.Request) { r.Credentials.Method = auth.SecretPost }, fault.InvalidClient},
		{"scope", nil, func(r *oauth.Request) { r.Scope = "delete" }, fault.InvalidScope},
		{"resource", nil, func(r *oauth.Request) { r.Resource = []string{"https://other.test"} }, fault.InvalidTarget},
		{"no database", func(w *world) { w.broken = fault.New(fault.Unavailable, "gone") }, nil, fault.Unavailable},
		{"no key", func(w *world) { w.unsigned = fault.New(fault.Unavailable, "no key") }, nil, fault.Unavailable},
		{"unforeseen", func(w *world) { w.broken = unforeseen }, nil, unforeseen},
		{"too many tokens", func(w *world) { w.overBudget = fault.New(fault.TooMany, "again") }, nil, fault.TooMany},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(auth.JWT)
			if tt.world != nil {
				tt.world(w)
			}
			got, err := w.ask(t.Context(), tt.change)
			if !errors.Is(err, tt.want) || got != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
			if len(w.known) != 0 || len(w.issued) != 0 || w.spent != 0 {
				t.Error("a token that was not issued is remembered or counted")
			}
			if refusal, refused := errors.AsType[*auth.Refusal](err); errors.Is(err, fault.InvalidClient) != refused || refused && len(w.uses) != 0 {
				t.Errorf("the log learns %v, used are %v", refusal, w.uses)
			}
		})
	}
}
