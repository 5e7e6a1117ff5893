package sdk_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// saying has introspection answer that every token is active, and says this.
func saying(members map[string]any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := map[string]any{"active": true}
		maps.Copy(answer, members)
		_ = json.NewEncoder(w).Encode(answer)
	})
}

// Opaque tokens of other servers may be random base64url with a dot. Some of them begin like a JSON object does, and are no JWTs for that.
func TestOpaqueTokenThatLooksLikeAJWT(t *testing.T) {
	const random = "0bcdefghijklmnopqrstuvwxyz0123456789ABCDEF"
	for _, tt := range []struct {
		name, token, want string
		introspections    int
	}{
		{"begins with a bracket", "e" + random + "." + random, "ok", 1},
		{"begins with a bracket and a quotation mark", "eyJ" + random[2:] + "." + random, "ok", 1},
		{"a JWS", "e30.e30.e30", "401", 0},
		{"a JWS with padding (attack 13)", "eyJhIjowfQ==.e30.e30", "401", 0},
		{"a JWE (attack 9)", "eyJhIjowfQ.e30.e30.e30.e30", "401", 0},
		{"a header and nothing else", "eyJhIjowfQ.", "401", 0},
		{"no header", ".e30.e30", "ok", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
				s.issuer.Replace(sdktest.IntrospectionEndpoint, saying(map[string]any{"client_id": "cl", "aud": api}))
				s.expect(t, "token", tt.want, tt.token, sdk.Policy{})
				if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != tt.introspections {
					t.Errorf("%d introspections, want %d", n, tt.introspections)
				}
			})
		})
	}
}

// Users may be called as a client is (RFC 9700 §4.15), so who a token is about is no client's name, unless that was asked for.
func TestWhoTheClientIs(t *testing.T) {
	for _, tt := range []struct {
		name            string
		answer          map[string]any
		legacy          bool
		want            string
		client, subject string
	}{
		{name: "client_id", answer: map[string]any{"client_id": "orders"}, want: "ok", client: "orders", subject: "orders"},
		{name: "both", answer: map[string]any{"client_id": "orders", "sub": "alice"}, want: "ok", client: "orders", subject: "alice"},
		{name: "azp", answer: map[string]any{"azp": "orders", "sub": "alice"}, want: "ok", client: "orders", subject: "alice"},
		{name: "sub alone", answer: map[string]any{"sub": "orders"}, want: "401"},
		{name: "sub, and client_id empty", answer: map[string]any{"sub": "orders", "client_id": ""}, want: "401"},
		{name: "sub alone, legacy", answer: map[string]any{"sub": "orders"}, legacy: true, want: "ok", client: "orders", subject: "orders"},
		{name: "nobody", answer: map[string]any{}, want: "401"},
		{name: "nobody, legacy", answer: map[string]any{}, legacy: true, want: "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []sdk.VerifierOption
				if tt.legacy {
					opts = append(opts, sdk.WithLegacyTokens())
				}
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()), opts...)
				tt.answer["aud"] = api
				s.issuer.Replace(sdktest.IntrospectionEndpoint, saying(tt.answer))
				s.expect(t, "opaque", tt.want, "opaque", sdk.Policy{})
				if i, err := s.Verify(t.Context(), "opaque", sdk.Policy{}); err == nil && (i.ClientID() != tt.client || i.Subject() != tt.subject) {
					t.Errorf("client %q, subject %q", i.ClientID(), i.Subject())
				}
			})
		})
	}
}

// A JWT says itself whose it is, so an answer about it may leave out all that RFC 7662 §2.2 lets it leave out.
func TestConfirmationThatSaysLittle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer map[string]any
		want   string
	}{
		{"nothing", map[string]any{}, "ok"},
		{"the client", map[string]any{"client_id": "orders"}, "ok"},
		{"the subject", map[string]any{"sub": "alice"}, "ok"},
		{"another client", map[string]any{"client_id": "alice"}, "503"},
		{"another subject", map[string]any{"sub": "orders"}, "503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()))
				s.issuer.Replace(sdktest.IntrospectionEndpoint, saying(tt.answer))
				token := s.issuer.Mint(sdktest.Claims{ClientID: "orders", Subject: "alice"})
				s.expect(t, "strict", tt.want, token, sdk.Policy{Mode: sdk.Strict})
			})
		})
	}
	t.Run("a legacy JWT without client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()), sdk.WithLegacyTokens())
			s.issuer.Replace(sdktest.IntrospectionEndpoint, saying(map[string]any{"sub": "alice", "client_id": "orders"}))
			token := s.issuer.Mint(sdktest.Claims{Subject: "alice", Members: map[string]any{"client_id": nil}})
			s.expect(t, "strict", "ok", token, sdk.Policy{Mode: sdk.Strict})
		})
	})
}

// An answer that is long under way must not bring back a token which a later one said is not active.
func TestLateAnswerBringsNothingBack(t *testing.T) {
	for name, seen := range map[string]bool{"seen before": true, "never seen": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithoutFeed(), sdktest.WithIntrospectionMaxAge(30*time.Second)))
				token := s.issuer.MintOpaque(sdktest.Claims{})
				if seen {
					s.expect(t, "before", "ok", token, sdk.Policy{})
					time.Sleep(31 * time.Second)
				}
				s.issuer.Slow(1900*time.Millisecond, sdktest.IntrospectionEndpoint)
				late := make(chan string)
				go func() {
					_, err := s.Verify(t.Context(), token, sdk.Policy{})
					late <- outcome(err)
				}()
				time.Sleep(1500 * time.Millisecond)
				s.issuer.Slow(0, sdktest.IntrospectionEndpoint)
				s.issuer.Revoke(token)
				s.expect(t, "strict", "401", token, sdk.Policy{Mode: sdk.Strict})
				if got := <-late; got != "ok" { // it was asked before
					t.Errorf("who came first: %s", got)
				}
				time.Sleep(3 * time.Second)
				s.expect(t, "afterwards", "401", token, sdk.Policy{})
				s.issuer.Down(true)
				s.expect(t, "afterwards, and nobody to ask", "503", token, sdk.Policy{})
			})
		})
	}
}

// Nor is an answer dropped that arrives in between, or nothing would ever be remembered where answers take longer than the bound.
func TestSlowAnswersAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		s.issuer.Slow(1500*time.Millisecond, sdktest.IntrospectionEndpoint)
		token := s.issuer.MintOpaque(sdktest.Claims{})
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() { s.expect(t, "strict", "ok", token, sdk.Policy{Mode: sdk.Strict}) })
			time.Sleep(100 * time.Millisecond)
		}
		calls.Wait()
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 2 {
			t.Errorf("%d introspections, want 2: one, and one for who came more than the bound later", n)
		}
	})
}

// An answer that arrives in between is dropped by a later one all the same.
func TestAnswerInBetweenIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed(), sdktest.WithIntrospectionMaxAge(30*time.Second)))
		token := s.issuer.MintOpaque(sdktest.Claims{})
		_ = s.Ready(t.Context())
		s.issuer.Slow(1500*time.Millisecond, sdktest.IntrospectionEndpoint)
		go func() { s.expect(t, "who came first", "ok", token, sdk.Policy{}) }()
		time.Sleep(1200 * time.Millisecond)
		s.issuer.Revoke(token)
		s.expect(t, "strict", "401", token, sdk.Policy{Mode: sdk.Strict}) // the first answer has arrived meanwhile
		s.expect(t, "afterwards", "401", token, sdk.Policy{})
	})
}

// What is known of a JWT is compared with what the feed brings while the server is asked about it: its answer may be older.
func TestTakenBackWhileConfirmed(t *testing.T) {
	for name, revoke := range map[string]func(*sdktest.Issuer, string){
		"token":      (*sdktest.Issuer).Revoke,
		"client":     func(i *sdktest.Issuer, _ string) { i.RevokeClient(i.ClientID()) },
		"credential": func(i *sdktest.Issuer, _ string) { i.RevokeCredential(i.Credential(i.ClientID())) },
		"key":        func(i *sdktest.Issuer, _ string) { i.RevokeKey(i.Key().ID()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				token := s.issuer.Token(api)
				s.expect(t, "before", "ok", token, sdk.Policy{})
				s.issuer.Fail(sdktest.Failure{}, sdktest.FeedPoll) // the stream goes on
				time.Sleep(5 * time.Second)
				s.issuer.Alter(sdktest.IntrospectionEndpoint, func(answer map[string]any) {
					clear(answer)
					answer["active"] = true
				})
				s.issuer.Slow(500*time.Millisecond, sdktest.IntrospectionEndpoint)
				s.expect(t, "strict", "ok", token, sdk.Policy{Mode: sdk.Strict})
				time.AfterFunc(100*time.Millisecond, func() { revoke(s.issuer, token) })
				s.expect(t, "taken back meanwhile", "401", token, sdk.Policy{Mode: sdk.Strict})
			})
		})
	}
}
