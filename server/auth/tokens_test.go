package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// answers is a Resolver that knows one token.
type answers struct {
	token *auth.Token
	err   error
}

func (a answers) Resolve(_ context.Context, presented string, _ []auth.APIID) (*auth.Token, error) {
	if a.err != nil {
		return nil, a.err
	}
	if presented != "known" {
		return nil, fault.New(fault.InvalidToken, "unknown")
	}
	return a.token, nil
}

// revocations is a Revoker that counts.
type revocations struct {
	made []auth.Revocation
	err  error
}

func (r *revocations) Revoke(_ context.Context, revocation auth.Revocation) (uint64, error) {
	r.made = append(r.made, revocation)
	return 42, r.err
}

func (w *world) tokens(resolver auth.Resolver, revoker auth.Revoker) *auth.Tokens {
	return &auth.Tokens{Directory: w, Resolver: resolver, Revoker: revoker, Now: w.clock, Staleness: auth.DefaultStaleness}
}

func (w *world) token(api *auth.API) *auth.Token {
	return (&auth.Decision{Client: auth.NewClientID(start), API: api, Scope: "read"}).Token(start)
}

func TestIntrospect(t *testing.T) {
	for _, tt := range []struct {
		name      string
		presented string
		change    func(*world, *auth.Caller, *auth.Token)
		resolve   error
		active    bool
		err       fault.Code
	}{
		{name: "by a client that serves the API", active: true},
		{name: "unknown", presented: "garbage"},
		{name: "by a stranger", change: func(_ *world, c *auth.Caller, _ *auth.Token) { c.Serves = nil }},
		{name: "by its own client", change: func(_ *world, c *auth.Caller, t *auth.Token) { c.Serves, t.Client = nil, c.Client.ID }, active: true},
		{name: "by a holder of introspect:all", change: func(_ *world, c *auth.Caller, _ *auth.Token) {
			c.Serves, c.Scopes = nil, auth.NewScopes(auth.ScopeIntrospectAll)
		}, active: true},
		{name: "by a holder of another scope", change: func(_ *world, c *auth.Caller, _ *auth.Token) {
			c.Serves, c.Scopes = nil, auth.NewScopes(auth.ScopeRevokeAll)
		}},
		{name: "at its end", change: func(w *world, _ *auth.Caller, t *auth.Token) { w.now = t.Expires }},
		{name: "revoked", change: func(w *world, _ *auth.Caller, t *auth.Token) { w.denied[t.ID] = true }},
		{name: "API deleted", change: func(w *world, _ *auth.Caller, _ *auth.Token) { w.apis = nil }},
		{name: "directory at the bound", change: func(w *world, _ *auth.Caller, _ *auth.Token) { w.age = auth.DefaultStaleness }, active: true},
		{name: "directory too old", change: func(w *world, _ *auth.Caller, _ *auth.Token) { w.age = auth.DefaultStaleness + 1 }, err: fault.Unavailable},
		{name: "too old even for garbage", presented: "garbage", change: func(w *world, _ *auth.Caller, _ *auth.Token) { w.age = time.Minute }, err: fault.Unavailable},
		{name: "too old, until it is read anew", change: func(w *world, _ *auth.Caller, _ *auth.Token) { // as after SIGCONT
			w.age = time.Minute
			w.onRefresh = func() error { w.age = time.Millisecond; return nil }
		}, active: true},
		{name: "too old, and cannot be read", change: func(w *world, _ *auth.Caller, _ *auth.Token) {
			w.age = time.Minute
			w.onRefresh = func() error { return errors.New("database is gone") }
		}, err: fault.Unavailable},
		{name: "storage failure", resolve: fault.New(fault.Unavailable, "database"), err: fault.Unavailable},
		{name: "defect", resolve: errors.New("defect"), err: fault.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			token := w.token(w.served)
			caller := &auth.Caller{Client: w.record().Client, Serves: w.record().Serves}
			if tt.change != nil {
				tt.change(w, caller, token)
			}
			presented := tt.presented
			if presented == "" {
				presented = "known"
			}
			got, err := w.tokens(answers{token, tt.resolve}, nil).Introspect(t.Context(), caller, presented)
			if tt.err != "" {
				if found := fault.From(err); found == nil || found.Code != tt.err {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil || got.Active != tt.active {
				t.Fatalf("%+v, %v", got, err)
			}
			if !tt.active && (got.Token != nil || got.API != nil || got.Revision != 0 || got.Fresh != 0) {
				t.Errorf("an inactive answer tells %+v", got)
			}
			if tt.active && (got.Fresh != auth.DefaultStaleness-w.age || got.Revision != 41) {
				t.Errorf("answer holds for %v up to %d", got.Fresh, got.Revision)
			}
		})
	}
}

// A token that was decided from a newer state than the directory's is judged only once the directory has reached it.
func TestLaggingDirectory(t *testing.T) {
	w := newWorld()
	token := w.token(w.served)
	token.Revision = w.Sequence() + 1
	apis := w.apis
	w.apis = nil
	w.onReach = func() error { w.apis = apis; return nil }
	caller := &auth.Caller{Client: w.record().Client, Serves: w.record().Serves}
	got, err := w.tokens(answers{token: token}, nil).Introspect(t.Context(), caller, "known")
	if err != nil || !got.Active || got.Revision != token.Revision {
		t.Errorf("%+v, %v", got, err)
	}
	token.Revision++
	w.onReach = func() error { return fault.New(fault.Unavailable, "database") }
	if _, err := w.tokens(answers{token: token}, nil).Introspect(t.Context(), caller, "known"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("judged without the state that the token was decided from: %v", err)
	}
}

func TestFreshnessEndsWithTheToken(t *testing.T) {
	w := newWorld()
	token := w.token(w.served)
	w.now = token.Expires.Add(-300 * time.Millisecond)
	got, err := w.tokens(answers{token: token}, nil).Introspect(t.Context(), &auth.Caller{Client: w.record().Client, Serves: w.record().Serves}, "known")
	if err != nil || got.Fresh != 300*time.Millisecond {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestVerify(t *testing.T) {
	w := newWorld()
	token := w.token(w.served)
	tokens := w.tokens(answers{token: token}, nil)
	if got, err := tokens.Verify(t.Context(), "known", w.served.Identifier, auth.Confirmation{}); err != nil || got != token {
		t.Errorf("%v, %v", got, err)
	}
	for _, audience := range []string{w.stock.Identifier, "https://unknown.example"} {
		if _, err := tokens.Verify(t.Context(), "known", audience, auth.Confirmation{}); !errors.Is(err, fault.InvalidToken) {
			t.Errorf("a token of another audience: %v", err)
		}
	}
	w.denied[token.ID] = true
	if _, err := tokens.Verify(t.Context(), "known", w.served.Identifier, auth.Confirmation{}); !errors.Is(err, fault.InvalidToken) {
		t.Errorf("a revoked token: %v", err)
	}
	w.age = time.Minute
	if _, err := tokens.Verify(t.Context(), "known", w.served.Identifier, auth.Confirmation{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a stale directory: %v", err)
	}
}

// Nobody who is not let in yet makes the server look for a token that cannot be one for it.
func TestVerifyLooksForNoOpaqueToken(t *testing.T) {
	w := newWorld()
	w.apis = append(w.apis, &auth.API{ID: auth.NewAPIID(start), Identifier: auth.ServerAPI, Format: auth.JWT})
	opaque, _ := auth.MintOpaque(auth.NewTokenID(start, start.Add(time.Hour)))
	looked := answers{err: fault.New(fault.Unavailable, "it was looked for")}
	if _, err := w.tokens(looked, nil).Verify(t.Context(), opaque, auth.ServerAPI, auth.Confirmation{}); !errors.Is(err, fault.InvalidToken) {
		t.Errorf("an opaque token: %v", err)
	}
	if _, err := w.tokens(looked, nil).Verify(t.Context(), "e30.e30.e30", auth.ServerAPI, auth.Confirmation{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a JWT: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	for _, tt := range []struct {
		name      string
		presented string
		change    func(*world, *auth.Caller, *auth.Token)
		resolve   error
		commit    error
		made      int
		err       error
	}{
		{name: "one's own", made: 1},
		{name: "another's", change: func(_ *world, _ *auth.Caller, t *auth.Token) { t.Client = auth.NewClientID(start) }},
		{name: "another's, served by the caller", change: func(_ *world, c *auth.Caller, t *auth.Token) {
			t.Client, c.Serves = auth.NewClientID(start), []auth.APIID{t.API}
		}},
		{name: "another's, with revoke:all", change: func(_ *world, c *auth.Caller, t *auth.Token) {
			t.Client, c.Scopes = auth.NewClientID(start), auth.NewScopes(auth.ScopeRevokeAll)
		}, made: 1},
		{name: "unknown", presented: "garbage"},
		{name: "expired", change: func(w *world, _ *auth.Caller, t *auth.Token) { w.now = t.Expires }},
		{name: "revoked already", change: func(w *world, _ *auth.Caller, t *auth.Token) { w.denied[t.ID] = true }},
		{name: "storage failure while looking", resolve: fault.New(fault.Unavailable, "database"), err: fault.Unavailable},
		{name: "storage failure while writing", commit: fault.New(fault.Unavailable, "database"), made: 1, err: fault.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			token := w.token(w.stock)
			token.Client = w.client
			caller, revoker := &auth.Caller{Client: w.record().Client}, &revocations{err: tt.commit}
			if tt.change != nil {
				tt.change(w, caller, token)
			}
			presented := tt.presented
			if presented == "" {
				presented = "known"
			}
			err := w.tokens(answers{token, tt.resolve}, revoker).Revoke(t.Context(), caller, auth.Actor{Client: caller.Client.ID}, presented)
			if !errors.Is(err, tt.err) || len(revoker.made) != tt.made {
				t.Fatalf("%d revocations, error %v", len(revoker.made), err)
			}
			if tt.made == 1 {
				if r := revoker.made[0]; r.Change.Kind != auth.RevokeToken || r.Change.Subject != [16]byte(token.ID) || r.Event.Action != "token.revoke" || r.Event.Target != token.ID.String() {
					t.Errorf("revocation is %+v", r)
				}
			}
		})
	}
}
