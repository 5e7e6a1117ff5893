package sdk_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// The golden values of docs/secrets.md: what is not well formed costs no request.
func TestOpaqueForm(t *testing.T) {
	text, err := os.ReadFile("testdata/secret-format.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Values []struct {
			Name, Kind, Text string
			WellFormed       bool `json:"well_formed"`
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, tt := range golden.Values {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			s.expect(t, tt.Name, "401", tt.Text, sdk.Policy{})
			want := 0
			if tt.Kind == "token" && tt.WellFormed {
				want = 1
			}
			if got := s.issuer.Requests(sdktest.IntrospectionEndpoint); got != want {
				t.Errorf("%s: %d introspections, want %d", tt.Name, got, want)
			}
		})
	}
}

// Every text that differs from a good token in one character is refused without a request.
func TestMistypedOpaqueToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		token := s.issuer.MintOpaque(sdktest.Claims{})
		for at := range token {
			for _, c := range "0zZ-" {
				if wrong := token[:at] + string(c) + token[at+1:]; wrong != token {
					s.expect(t, "mistyped", "401", wrong, sdk.Policy{})
				}
			}
		}
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 0 {
			t.Errorf("%d introspections", n)
		}
	})
}

// What introspection says of an opaque token of Countersign, and what comes of it.
func TestIntrospectionAnswers(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(answer map[string]any) { answer[name] = value }
	}
	for _, tt := range []struct {
		name  string
		alter func(map[string]any)
		want  string
	}{
		{"as it is", func(map[string]any) {}, "ok"},
		{"not active", set("active", false), "401"},
		{"active is a text", set("active", "true"), "503"},
		{"no active", func(a map[string]any) { delete(a, "active") }, "503"},
		{"expired (S03)", set("exp", now-60), "401"},
		{"exp a text (S17)", set("exp", "946688400"), "503"},
		{"not yet valid (S19)", set("nbf", now+61), "401"},
		{"another audience (S05)", set("aud", "https://other.test"), "401"},
		{"another audience among others", set("aud", []string{"https://other.test", api}), "ok"},
		{"no audience", func(a map[string]any) { delete(a, "aud") }, "401"},
		{"no audience, legacy", func(a map[string]any) { delete(a, "aud") }, "ok"},
		{"another audience, legacy", set("aud", "https://other.test"), "401"},
		{"another issuer (S06)", set("iss", "https://evil.test"), "401"},
		{"about another token", set("jti", "0000000000000000000000"), "503"},
		{"no jti", func(a map[string]any) { delete(a, "jti") }, "ok"},
		{"bound to a key (attack 30)", set("cnf", map[string]any{"jkt": "x"}), "401"},
		{"for DPoP (attack 30)", set("token_type", "DPoP"), "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []sdk.VerifierOption
				if strings.HasSuffix(tt.name, "legacy") {
					opts = append(opts, sdk.WithLegacyTokens())
				}
				s := newService(t, opts...)
				s.issuer.Alter(sdktest.IntrospectionEndpoint, tt.alter)
				token := s.issuer.MintOpaque(sdktest.Claims{})
				s.expect(t, "first", tt.want, token, sdk.Policy{})
				s.expect(t, "strict", tt.want, token, sdk.Policy{Mode: sdk.Strict})
			})
		})
	}
}

// The server must not be able to vouch for a JWT with what it says of another token.
func TestConfirmationOfAJWT(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(answer map[string]any) { answer[name] = value }
	}
	for _, tt := range []struct {
		name  string
		alter func(map[string]any)
		want  string
	}{
		{"as it is", func(map[string]any) {}, "ok"},
		{"least that is possible", func(a map[string]any) {
			for name := range a {
				if name != "active" && name != "client_id" {
					delete(a, name)
				}
			}
		}, "ok"},
		{"another jti", set("jti", "x"), "503"},
		{"another client", set("client_id", "x"), "503"},
		{"another subject", set("sub", "x"), "503"},
		{"another issuer", set("iss", "https://evil.test"), "401"},
		{"another audience", set("aud", "https://other.test"), "401"},
		{"expired", set("exp", now-60), "401"},
		{"bound to a key", set("cnf", map[string]any{"jkt": "x"}), "401"},
		{"fewer scopes", set("scope", "b c"), "403"},
		{"more scopes", set("scope", "a b c"), "ok"},
		{"not active", set("active", false), "401"},
	} {
		for _, options := range [][]sdktest.Option{nil, {sdktest.WithoutFeed()}} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serviceOf(t, sdktest.New(options...))
					token := s.issuer.Mint(sdktest.Claims{Scopes: []string{"a", "b"}})
					s.expect(t, "before", "ok", token, sdk.Policy{})
					s.issuer.CutFeed(true)
					time.Sleep(10 * time.Second)
					s.issuer.Alter(sdktest.IntrospectionEndpoint, tt.alter)
					s.expect(t, "strict", tt.want, token, sdk.RequireScope("a").Strict())
					i, err := s.Verify(t.Context(), token, sdk.Policy{Mode: sdk.Strict})
					if err == nil && i.HasScope("c") {
						t.Error("a scope that the token itself lacks")
					}
				})
			})
		}
	}
}

// Of a foreign issuer the answer is used for as long as it says, or else for the bound.
func TestForeignAnswersLast(t *testing.T) {
	for _, tt := range []struct {
		name string
		said time.Duration
		used time.Duration
	}{{"not said", -1, time.Second}, {"30 s", 30 * time.Second, 30 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed(), sdktest.WithIntrospectionMaxAge(tt.said)))
				token := s.issuer.MintOpaque(sdktest.Claims{})
				asked := func() int { return s.issuer.Requests(sdktest.IntrospectionEndpoint) }
				s.expect(t, "first", "ok", token, sdk.Policy{})
				time.Sleep(tt.used - time.Nanosecond)
				s.expect(t, "while it lasts", "ok", token, sdk.Policy{})
				if asked() != 1 {
					t.Errorf("%d introspections, want 1", asked())
				}
				s.expect(t, "strict", "ok", token, sdk.Policy{Mode: sdk.Strict})
				if asked() != 2 {
					t.Errorf("%d introspections, want one for the strict route", asked())
				}
				time.Sleep(tt.used)
				s.issuer.Revoke(token)
				s.expect(t, "afterwards", "401", token, sdk.Policy{})
				s.issuer.Fail(sdktest.Failure{}, sdktest.IntrospectionEndpoint)
				s.expect(t, "the last word was no", "503", token, sdk.Policy{})
			})
		})
	}
}

// S15, and PEERS.md: while a foreign issuer is down, nobody waits for it each time, and when it is back its word counts at once.
func TestForeignOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
		token := s.issuer.MintOpaque(sdktest.Claims{})
		s.expect(t, "before", "ok", token, sdk.Policy{})
		release := s.issuer.Block(sdktest.IntrospectionEndpoint)
		time.Sleep(10 * time.Second)
		began := time.Now()
		s.expect(t, "hung", "ok", token, sdk.Policy{})
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("waited %v, want no more than the bound", waited)
		}
		for range 100 {
			began = time.Now()
			s.expect(t, "hung", "ok", token, sdk.Policy{})
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("waited %v though the last try failed", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n > 8 {
			t.Errorf("%d introspections within 20 s of one token", n)
		}
		s.issuer.Revoke(token)
		release()
		time.Sleep(15 * time.Second)
		_, _ = s.Verify(t.Context(), token, sdk.Policy{})
		time.Sleep(time.Second)
		s.expect(t, "back", "401", token, sdk.Policy{})
	})
}

// While a foreign issuer answers nonsense it is tried once a second for a token, not once for each call.
func TestForeignIssuerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
		token := s.issuer.MintOpaque(sdktest.Claims{})
		s.expect(t, "before", "ok", token, sdk.Policy{})
		time.Sleep(10 * time.Second)
		s.issuer.Fail(sdktest.Failure{Status: http.StatusNotFound}, sdktest.IntrospectionEndpoint)
		before := s.issuer.Requests(sdktest.IntrospectionEndpoint)
		for range 100 {
			s.expect(t, "down", "ok", token, sdk.Policy{})
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint) - before; n < 5 || n > 11 {
			t.Errorf("%d introspections within 10 s", n)
		}
		s.issuer.Heal()
		time.Sleep(time.Second)
		s.expect(t, "back", "ok", token, sdk.Policy{})
		time.Sleep(100 * time.Millisecond)
		before = s.issuer.Requests(sdktest.IntrospectionEndpoint)
		for range 10 {
			s.expect(t, "back", "ok", token, sdk.Policy{})
		}
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint) - before; n != 0 {
			t.Errorf("%d introspections though the answer is fresh", n)
		}
	})
}

// That the verifier is too busy to ask is no reason to go by an old answer: whoever can make it busy could so outlive a revocation.
func TestBusyIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
		var tokens [129]string
		for n := range tokens {
			tokens[n] = s.issuer.MintOpaque(sdktest.Claims{})
			s.expect(t, "before", "ok", tokens[n], sdk.Policy{})
		}
		time.Sleep(10 * time.Second)
		s.issuer.Slow(1900*time.Millisecond, sdktest.IntrospectionEndpoint)
		var wg sync.WaitGroup
		for _, token := range tokens[1:] {
			wg.Go(func() { s.expect(t, "keeps it busy", "ok", token, sdk.Policy{Mode: sdk.Strict}) })
		}
		time.Sleep(time.Second)
		s.expect(t, "busy", "503", tokens[0], sdk.Policy{})
		wg.Wait()
		s.issuer.Heal()
		s.expect(t, "not any more", "ok", tokens[0], sdk.Policy{})
	})
}

// A flood of inventions does not keep known callers from being asked about, and does not pile up.
func TestFloodOfInventions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
		token := s.issuer.MintOpaque(sdktest.Claims{})
		s.expect(t, "before", "ok", token, sdk.Policy{})
		var wg sync.WaitGroup
		var hung atomic.Bool
		hung.Store(true)
		s.issuer.Hold(func() time.Duration {
			if hung.Load() {
				return 1900 * time.Millisecond
			}
			return 0
		}, sdktest.IntrospectionEndpoint)
		var busy atomic.Int64
		for n := range 1000 {
			wg.Go(func() {
				began := time.Now()
				_, err := s.Verify(t.Context(), "invented"+strings.Repeat("x", n), sdk.Policy{})
				if outcome(err) == "503" && time.Since(began) == time.Second/2 {
					busy.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 1+96 {
			t.Errorf("%d introspections, want 96 of the inventions", n)
		}
		if busy.Load() != 1000-96 {
			t.Errorf("%d were turned away after half a second, want all but 96", busy.Load())
		}
		hung.Store(false)
		s.expect(t, "known, strict", "ok", token, sdk.Policy{Mode: sdk.Strict})
		s.expect(t, "known", "ok", token, sdk.Policy{})
		wg.Wait()
	})
}

// Callers at the same time share one introspection, but a strict route never one that began before the bound.
func TestIntrospectionsAreShared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		store  bool
		mode   sdk.Mode
		second time.Duration // when others come
		want   int
	}{
		{"available, later", false, sdk.Available, 1500 * time.Millisecond, 1},
		{"strict, within the bound", false, sdk.Strict, time.Second, 1},
		{"strict, later", false, sdk.Strict, 1001 * time.Millisecond, 2},
		{"store, available, later", true, sdk.Available, 1500 * time.Millisecond, 1},
		{"store, strict, within the bound", true, sdk.Strict, time.Second, 1},
		{"store, strict, later", true, sdk.Strict, 1001 * time.Millisecond, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
				if tt.store {
					var store *countingReader
					s, store = storeService(t)
					store.alter = func([]byte) []byte { return nil }
				}
				_ = s.Ready(t.Context())
				s.issuer.Slow(1900*time.Millisecond, sdktest.IntrospectionEndpoint)
				token := s.issuer.MintOpaque(sdktest.Claims{})
				var wg sync.WaitGroup
				for n := range 10_000 {
					wg.Go(func() {
						if n%2 == 1 {
							time.Sleep(tt.second)
						}
						s.expect(t, "shared", "ok", token, sdk.Policy{Mode: tt.mode})
					})
				}
				wg.Wait()
				if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != tt.want {
					t.Errorf("%d introspections, want %d", n, tt.want)
				}
			})
		})
	}
}

// An introspected token is judged by the feed from then on: the server is asked once, whatever is taken back.
func TestIntrospectedTokenIsFollowed(t *testing.T) {
	for name, revoke := range map[string]func(i *sdktest.Issuer, token string){
		"token":      (*sdktest.Issuer).Revoke,
		"client":     func(i *sdktest.Issuer, _ string) { i.RevokeClient(i.ClientID()) },
		"grant":      func(i *sdktest.Issuer, _ string) { i.RevokeGrant(i.ClientID(), api) },
		"api":        func(i *sdktest.Issuer, _ string) { i.RevokeAPI(api) },
		"credential": func(i *sdktest.Issuer, _ string) { i.RevokeCredential(i.Credential(i.ClientID())) },
		"all":        func(i *sdktest.Issuer, _ string) { i.RevokeAll() },
		"generation": func(i *sdktest.Issuer, _ string) { i.NewGeneration() },
	} {
		for _, mode := range []sdk.Mode{sdk.Strict, sdk.Available} {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				s.issuer.Skip(7)
				token := s.issuer.MintOpaque(sdktest.Claims{})
				for range 10 {
					s.expect(t, name, "ok", token, sdk.Policy{Mode: mode})
					time.Sleep(10 * time.Second)
				}
				if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 1 {
					t.Errorf("%s: %d introspections, want 1", name, n)
				}
				revoke(s.issuer, token)
				time.Sleep(time.Second)
				s.issuer.Fail(sdktest.Failure{}, sdktest.IntrospectionEndpoint)
				s.expect(t, name+" revoked, and nobody to ask", "401", token, sdk.Policy{Mode: mode})
				s.issuer.Heal()
				time.Sleep(time.Second)
				s.expect(t, name+" revoked", "401", token, sdk.Policy{Mode: mode})
				s.expect(t, name+" revoked, again", "401", token, sdk.Policy{Mode: mode})
			})
		}
	}
}

// An instance of the server that lags behind the feed may answer for a token that it knows with a sequence from before a revocation that
// the token was issued after. That must not stick.
func TestAnswerFromALaggingInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		s.issuer.RevokeGrant(s.issuer.ClientID(), api)
		time.Sleep(time.Second)
		token := s.issuer.MintOpaque(sdktest.Claims{})
		s.issuer.Alter(sdktest.IntrospectionEndpoint, func(a map[string]any) { a["countersign_rev"] = 0 })
		s.expect(t, "lagging", "401", token, sdk.Policy{})
		s.issuer.Heal()
		s.expect(t, "afterwards", "ok", token, sdk.Policy{})
		s.issuer.Revoke(token)
		time.Sleep(time.Second)
		s.issuer.Alter(sdktest.IntrospectionEndpoint, func(a map[string]any) {
			a["active"], a["client_id"], a["aud"], a["exp"], a["countersign_rev"] = true, s.issuer.ClientID(), api, now+3600, 1
		})
		s.expect(t, "revoked, which the instance does not know yet", "401", token, sdk.Policy{})
	})
}

// Without credentials opaque tokens are nobody's business here, and the feed cannot be followed.
func TestWithoutCredentials(t *testing.T) {
	for _, tt := range []struct {
		name                string
		issuer              []sdktest.Option
		opts                []sdk.VerifierOption
		jwt, strict, opaque string
		advice              string
	}{
		{name: "feed", jwt: "503", strict: "503", opaque: "401", advice: "give WithCredentials, or WithoutRevocation"},
		{name: "feed left alone", opts: []sdk.VerifierOption{sdk.WithoutRevocation()}, jwt: "ok", strict: "503", opaque: "401", advice: "give WithCredentials"},
		{name: "no feed", issuer: []sdktest.Option{sdktest.WithoutFeed()}, jwt: "ok", strict: "503", opaque: "401", advice: "give WithCredentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New(tt.issuer...)
				defer issuer.Close()
				v, err := sdk.NewVerifier(issuer.URL(), api, append(tt.opts, sdk.WithHTTPClient(issuer.Client()))...)
				if err != nil {
					t.Fatal(err)
				}
				defer v.Close()
				s := &service{Verifier: v, issuer: issuer}
				s.expect(t, "JWT", tt.jwt, issuer.Mint(sdktest.Claims{}), sdk.Policy{})
				s.expect(t, "opaque", tt.opaque, issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
				_, err = v.Verify(t.Context(), issuer.Mint(sdktest.Claims{}), sdk.Policy{Mode: sdk.Strict})
				if outcome(err) != tt.strict || !strings.Contains(err.Error(), tt.advice) {
					t.Errorf("strict: %v, want %s and %q", err, tt.strict, tt.advice)
				}
			})
		})
	}
}

// A client that may not read the feed, or is not known to the server, is told so; nothing is accepted meanwhile.
func TestFeedRefused(t *testing.T) {
	for status, advice := range map[int]string{http.StatusForbidden: "make it one by `countersign api serve API cl_", http.StatusUnauthorized: "check its id and secret"} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			s.issuer.Fail(sdktest.Failure{Status: status}, sdktest.FeedPoll, sdktest.FeedStream)
			_, err := s.Verify(t.Context(), s.issuer.Token(api), sdk.Policy{})
			if outcome(err) != "503" || !strings.Contains(err.Error(), advice) {
				t.Errorf("%d: %v, want a 503 that says %q", status, err, advice)
			}
			if err := s.Ready(t.Context()); outcome(err) != "503" {
				t.Errorf("%d: ready: %v", status, err)
			}
			s.issuer.Heal()
			time.Sleep(time.Minute)
			s.expect(t, "healed", "ok", s.issuer.Token(api), sdk.Policy{Mode: sdk.Strict})
		})
	}
}
