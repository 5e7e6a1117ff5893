package memory_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/registry"
)

func TestEmptyUntilLoaded(t *testing.T) {
	d := memory.New(memory.Config{Store: newWorld(t).store})
	if d.Age() != math.MaxInt64 || d.Sequence() != 0 || !errors.Is(d.Ready(), fault.Unavailable) {
		t.Errorf("age %v, sequence %d, ready %v", d.Age(), d.Sequence(), d.Ready())
	}
	if d.Client(auth.ClientID{1}) != nil || d.API(auth.APIID{1}) != nil || d.APIByIdentifier("x:y") != nil || d.Denied(&auth.Token{}) {
		t.Error("knows something")
	}
}

// Whatever is changed is seen once its sequence is reached, and as a directory sees it that loads everything afresh.
func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world, c *auth.Client, a *auth.API) error
		seen   func(d *memory.Directory, c *auth.Client, a *auth.API) bool
	}{
		{"client disabled", func(w *world, c *auth.Client, _ *auth.API) error {
			return second(w.SetClientStatus(w.Context(), auth.Actor{}, c.ID, auth.Disabled))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool {
			return d.Client(c.ID).Client.Status == auth.Disabled && d.Denied(&auth.Token{Client: c.ID})
		}},
		{"client deleted", func(w *world, c *auth.Client, _ *auth.API) error {
			return second(w.DeleteClient(w.Context(), auth.Actor{}, c.ID, registry.Any))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool { return d.Client(c.ID) == nil }},
		{"secret added", func(w *world, c *auth.Client, _ *auth.API) error {
			return second(w.AddSecret(w.Context(), auth.Actor{}, c.ID, registry.NewSecretRequest{}))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool { return len(d.Client(c.ID).Secrets) == 2 }},
		{"secret disabled and its tokens taken back", func(w *world, c *auth.Client, _ *auth.API) error {
			id := w.loaded(memory.Config{}).Client(c.ID).Secrets[0].ID
			return second(w.DisableSecret(w.Context(), auth.Actor{}, id, true))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool {
			s := d.Client(c.ID).Secrets[0]
			return s.Status == auth.Disabled && d.Denied(&auth.Token{Credential: s.ID})
		}},
		{"grant narrowed", func(w *world, c *auth.Client, a *auth.API) error {
			return w.grant(c, a, "read")
		}, func(d *memory.Directory, c *auth.Client, a *auth.API) bool {
			return d.Client(c.ID).Grants[a.ID].Scopes.String() == "read" && d.Denied(&auth.Token{Client: c.ID, API: a.ID})
		}},
		{"grant deleted", func(w *world, c *auth.Client, a *auth.API) error {
			return second(w.DeleteGrant(w.Context(), auth.Actor{}, registry.GrantRef{Client: c.ID, API: a.ID}))
		}, func(d *memory.Directory, c *auth.Client, a *auth.API) bool { return d.Client(c.ID).Grants[a.ID] == nil }},
		{"serves no longer", func(w *world, c *auth.Client, a *auth.API) error {
			return second(w.SetServer(w.Context(), auth.Actor{}, a.ID, c.ID, false))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool { return len(d.Client(c.ID).Serves) == 0 }},
		{"serves another as well", func(w *world, c *auth.Client, _ *auth.API) error {
			return second(w.SetServer(w.Context(), auth.Actor{}, w.api("https://other.test").ID, c.ID, true))
		}, func(d *memory.Directory, c *auth.Client, _ *auth.API) bool { return len(d.Client(c.ID).Serves) == 2 }},
		{"API deleted", func(w *world, _ *auth.Client, a *auth.API) error {
			return second(w.DeleteAPI(w.Context(), auth.Actor{}, a.ID, registry.Any))
		}, func(d *memory.Directory, c *auth.Client, a *auth.API) bool {
			r := d.Client(c.ID)
			return d.API(a.ID) == nil && d.APIByIdentifier(a.Identifier) == nil && len(r.Grants) == 0 && len(r.Serves) == 0 &&
				r.Client.DefaultResource == auth.APIID{} && d.Denied(&auth.Token{API: a.ID})
		}},
		{"API deleted, of which the log names nothing else", func(w *world, _ *auth.Client, a *auth.API) error {
			return w.store.Update(w.Context(), func(tx auth.Tx) error {
				if err := tx.APIs().DeleteAPI(w.Context(), a.ID); err != nil {
					return err
				}
				return tx.Changes().Append(w.Context(), auth.Change{Kind: auth.APIChanged, Subject: a.ID, At: time.Now()})
			})
		}, func(d *memory.Directory, c *auth.Client, a *auth.API) bool {
			return d.API(a.ID) == nil && len(d.Client(c.ID).Grants) == 0 && len(d.Client(c.ID).Serves) == 0
		}},
		{"client deleted, and another made with its id", func(w *world, c *auth.Client, _ *auth.API) error {
			w.must(second(w.DeleteClient(w.Context(), auth.Actor{}, c.ID, registry.Any)))
			return second(w.CreateClient(w.Context(), auth.Actor{}, auth.Client{ID: c.ID, Name: "heir"}))
		}, func(d *memory.Directory, c *auth.Client, a *auth.API) bool {
			r := d.Client(c.ID)
			return r.Client.Name == "heir" && len(r.Serves)+len(r.Grants)+len(r.Secrets)+len(d.API(a.ID).Servers) == 0
		}},
		{"client and API made", func(w *world, _ *auth.Client, _ *auth.API) error {
			return second(w.SetServer(w.Context(), auth.Actor{}, w.api("https://other.test").ID, w.client("other").ID, true))
		}, func(d *memory.Directory, _ *auth.Client, _ *auth.API) bool {
			a := d.APIByIdentifier("https://other.test")
			return a != nil && d.API(a.ID) == a && len(d.Client(a.Servers[0]).Serves) == 1
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c, a := w.client("c"), w.api("https://api.test")
			w.must(second(w.AddSecret(t.Context(), auth.Actor{}, c.ID, registry.NewSecretRequest{})))
			w.must(w.grant(c, a, "read", "write"))
			w.must(second(w.SetServer(t.Context(), auth.Actor{}, a.ID, c.ID, true)))
			metrics := prometheus.NewRegistry()
			d := w.followed(memory.Config{Poll: time.Hour, Registerer: metrics})
			if tt.seen(d, c, a) {
				t.Fatal("seen before it was changed")
			}
			w.must(tt.change(w, c, a))
			w.must(d.Reach(t.Context(), w.sequence()))
			if !tt.seen(d, c, a) {
				t.Error("not seen")
			}
			fresh := w.loaded(memory.Config{})
			ids := []auth.ClientID{c.ID}
			for _, x := range []string{a.Identifier, "https://other.test"} {
				if diff := cmp.Diff(fresh.APIByIdentifier(x), d.APIByIdentifier(x)); diff != "" {
					t.Errorf("%s, loaded and followed: %s", x, diff)
				}
				if api := fresh.APIByIdentifier(x); api != nil {
					ids = append(ids, api.Servers...)
				}
			}
			for _, id := range ids {
				if diff := cmp.Diff(fresh.Client(id), d.Client(id)); diff != "" {
					t.Errorf("client, loaded and followed: %s", diff)
				}
			}
			if fresh.Position() != d.Position() {
				t.Errorf("position: loaded %v, followed %v", fresh.Position(), d.Position())
			}
			if n := testutil.CollectAndCount(metrics, "countersign_change_log_age_seconds", "countersign_directory_clients"); n != 2 {
				t.Errorf("%d metrics", n)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	token := auth.Token{
		ID: auth.TokenID{1, 15: 1}, Client: auth.ClientID{2, 15: 2}, API: auth.APIID{3, 15: 3},
		Credential: auth.SecretID{4, 15: 4}, Key: auth.KeyID{5, 15: 5},
	}
	other := [16]byte{99, 15: 99}
	for _, tt := range []struct {
		name    string
		matches auth.Change
		passes  auth.Change // the same kind, of something else
		lacks   func(*auth.Token)
	}{
		{name: "token", matches: auth.Change{Kind: auth.RevokeToken, Subject: token.ID}, passes: auth.Change{Kind: auth.RevokeToken, Subject: other}},
		{name: "client", matches: auth.Change{Kind: auth.RevokeClient, Subject: token.Client}, passes: auth.Change{Kind: auth.RevokeClient, Subject: other}},
		{
			name: "grant", matches: auth.Change{Kind: auth.RevokeGrant, Subject: token.Client, Object: token.API, Audience: "x:y"},
			passes: auth.Change{Kind: auth.RevokeGrant, Subject: token.Client, Object: other, Audience: "x:z"},
		},
		{name: "API", matches: auth.Change{Kind: auth.RevokeAPI, Subject: token.API, Audience: "x:y"}, passes: auth.Change{Kind: auth.RevokeAPI, Subject: other}},
		{
			name: "credential", matches: auth.Change{Kind: auth.RevokeCredential, Subject: token.Credential},
			passes: auth.Change{Kind: auth.RevokeCredential}, lacks: func(t *auth.Token) { t.Credential = auth.SecretID{} },
		},
		{
			name: "key", matches: auth.Change{Kind: auth.RevokeKey, Subject: token.Key},
			passes: auth.Change{Kind: auth.RevokeKey}, lacks: func(t *auth.Token) { t.Key = auth.KeyID{} },
		},
		{name: "all", matches: auth.Change{Kind: auth.RevokeAll}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.passes.Kind != 0 {
				w.write(tt.passes, tt.passes)
			}
			first := w.write(tt.matches)
			second := w.write(tt.matches) // the newer one of a subject counts
			loaded := w.loaded(memory.Config{})
			for _, at := range []struct {
				name     string
				revision uint64
				want     bool
			}{{"below both", first - 1, true}, {"at the first", first, true}, {"at the second", second, false}, {"above", second + 1, false}} {
				decided := token
				decided.Revision = at.revision
				if tt.matches.Kind == auth.RevokeKey {
					at.want = true // the revision is the thief's own
				}
				if got := loaded.Denied(&decided); got != at.want {
					t.Errorf("revision %s: %v", at.name, got)
				}
				why := loaded.Refusals(&decided)
				if len(why) != 1 || (why[0] != nil) != at.want || at.want && (why[0].Kind != tt.matches.Kind || why[0].Sequence != second) {
					t.Errorf("revision %s: because of %+v", at.name, why)
				}
			}
			if tt.lacks != nil {
				bare := token
				tt.lacks(&bare)
				if loaded.Denied(&bare) || loaded.Refusals(&bare)[0] != nil {
					t.Error("a token without such an id is denied")
				}
			}
		})
	}
}

// A token is denied with each that it was made from, and it is told which. One for an API that is gone is refused with it.
func TestDeniedWithAncestors(t *testing.T) {
	w := newWorld(t)
	api := w.api("https://stock.example")
	first := auth.Ancestor{ID: auth.TokenID{1}, Client: auth.ClientID{2}, Audience: api.Identifier, Revision: 1000, Key: auth.KeyID{7}}
	second := auth.Ancestor{ID: auth.TokenID{3}, Client: auth.ClientID{4}, Audience: api.Identifier, Revision: 0}
	token := auth.Token{ID: auth.TokenID{5}, Client: auth.ClientID{6}, API: api.ID, Revision: 1000, Lineage: auth.Lineage{Ancestors: []auth.Ancestor{second, first}}}
	for _, tt := range []struct {
		name    string
		revoked auth.Change
		alter   func(*auth.Token)
		want    int // which of the tokens is refused; -1: none
	}{
		{"nothing", auth.Change{Kind: auth.RevokeToken, Subject: [16]byte{99}}, nil, -1},
		{"decided later", auth.Change{Kind: auth.RevokeToken, Subject: first.ID}, nil, -1},
		{"the token itself, decided later", auth.Change{Kind: auth.RevokeToken, Subject: token.ID}, nil, -1},
		{"the nearest", auth.Change{Kind: auth.RevokeClient, Subject: second.Client}, nil, 1},
		{"its grant", auth.Change{Kind: auth.RevokeGrant, Subject: second.Client, Object: api.ID, Audience: api.Identifier}, nil, 1},
		{"the key of the first", auth.Change{Kind: auth.RevokeKey, Subject: first.Key}, nil, 2},
		{
			"the API, of which there is another by the same identifier now",
			auth.Change{Kind: auth.RevokeAPI, Subject: [16]byte{88}, Audience: api.Identifier},
			func(t *auth.Token) { t.API, t.Lineage.Ancestors = auth.APIID{9}, []auth.Ancestor{second} }, 1,
		},
		{
			"the API of a JWT itself, of which there is another by the same identifier now",
			auth.Change{Kind: auth.RevokeAPI, Subject: [16]byte{88}, Audience: api.Identifier},
			func(t *auth.Token) { t.Key, t.Revision, t.Lineage = auth.KeyID{8}, 0, auth.Lineage{} }, 0,
		},
		{
			"a grant for such an API",
			auth.Change{Kind: auth.RevokeGrant, Subject: second.Client, Object: [16]byte{88}, Audience: api.Identifier},
			nil, 1,
		},
		{
			"the grant of another client for such an API",
			auth.Change{Kind: auth.RevokeGrant, Subject: [16]byte{77}, Object: [16]byte{88}, Audience: api.Identifier},
			nil, -1,
		},
		{"an API that is gone", auth.Change{Kind: auth.RevokeToken, Subject: [16]byte{99}}, func(t *auth.Token) {
			gone := first
			gone.Audience = "https://gone.example"
			t.Lineage.Ancestors = []auth.Ancestor{second, gone}
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.store.Update(t.Context(), func(tx auth.Tx) error {
				stored := *api
				stored.Revision = 0
				return tx.APIs().PutAPI(t.Context(), &stored)
			}))
			w.write(tt.revoked)
			loaded, asked := w.loaded(memory.Config{}), token
			if tt.alter != nil {
				tt.alter(&asked)
			}
			if got := loaded.Denied(&asked); got != (tt.want >= 0) {
				t.Errorf("denied: %v", got)
			}
			for i, why := range loaded.Refusals(&asked) {
				if (why != nil) != (i == tt.want) {
					t.Errorf("token %d is refused by %+v", i, why)
				}
			}
		})
	}
}

func TestRevocations(t *testing.T) {
	w := newWorld(t)
	c := w.client("c") // sequence 1 is none
	second := w.write(auth.Change{Kind: auth.RevokeClient, Subject: c.ID})
	d := w.followed(memory.Config{Poll: time.Hour})
	news := d.Watch()
	third := w.write(auth.Change{Kind: auth.RevokeAPI, Subject: [16]byte{7}, Audience: "https://gone.test"})
	w.must(d.Reach(t.Context(), third))
	select {
	case <-news:
	default:
		t.Error("nobody was told")
	}
	for after, want := range map[uint64][]uint64{0: {second, third}, second: {third}, third: nil, third + 5: nil} {
		got, at := d.Revocations(after)
		var sequences []uint64
		for i := range got {
			sequences = append(sequences, got[i].Sequence)
		}
		if diff := cmp.Diff(want, sequences); diff != "" || at != d.Position() || at.Sequence != third {
			t.Errorf("after %d: %s at %v", after, diff, at)
		}
	}
	if got, _ := d.Revocations(second); got[0].Audience != "https://gone.test" {
		t.Errorf("%+v", got[0])
	}
}

func TestReadsAllocateNothing(t *testing.T) {
	w := newWorld(t)
	c, a := w.client("c"), w.api("https://api.test")
	w.write(auth.Change{Kind: auth.RevokeGrant, Subject: c.ID, Object: a.ID}, auth.Change{Kind: auth.RevokeToken, Subject: [16]byte{1}})
	d := w.loaded(memory.Config{})
	token := &auth.Token{Client: c.ID, API: a.ID, Revision: math.MaxInt64}
	if n := testing.AllocsPerRun(100, func() {
		if d.Sequence() == 0 || d.Client(c.ID) == nil || d.API(a.ID) == nil || d.APIByIdentifier(a.Identifier) == nil ||
			d.Denied(token) || d.Age() == 0 {
			t.Error("wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
