package sdk_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

func TestNewVerifierDoesNoIOAndNamesWhatIsWrong(t *testing.T) {
	reader := (&sdktest.Issuer{}).Records()
	for _, tt := range []struct {
		name     string
		issuer   string
		audience string
		opt      sdk.VerifierOption
		want     string
	}{
		{name: "good", issuer: "https://issuer.test", audience: api},
		{name: "http", issuer: "http://issuer.test", audience: api, want: "https"},
		{name: "http on loopback", issuer: "http://127.0.0.1:9000", audience: api},
		{name: "no audience", issuer: "https://issuer.test", want: "audience"},
		{name: "bound too short", opt: sdk.WithBound(99 * time.Millisecond), want: "WithBound: 99ms is not within 100ms and 1m0s"},
		{name: "bound too long", opt: sdk.WithBound(time.Minute + 1), want: "WithBound"},
		{name: "grace negative", opt: sdk.WithGrace(-1), want: "WithGrace"},
		{name: "grace none", opt: sdk.WithGrace(0)},
		{name: "leeway too long", opt: sdk.WithLeeway(5*time.Minute + 1), want: "WithLeeway"},
		{name: "keys too short", opt: sdk.WithKeysMaxAge(time.Second), want: "WithKeysMaxAge"},
		{name: "cache too small", opt: sdk.WithCacheSize(0), want: "WithCacheSize: 0 is not within 8 and"},
		{name: "no algorithms", opt: sdk.WithAlgorithms(), want: "WithAlgorithms"},
		{name: "none", opt: sdk.WithAlgorithms("none"), want: `"none" is none of`},
		{name: "HS256", opt: sdk.WithAlgorithms("ES256", "HS256"), want: `"HS256" is none of`},
		{name: "credentials without id", opt: sdk.WithCredentials("", sdk.Secret("x")), want: "WithCredentials"},
		{name: "credentials without any", opt: sdk.WithCredentials("x", nil), want: "WithCredentials"},
		{name: "state file without path", opt: sdk.WithStateFile(""), want: "WithStateFile"},
		{name: "store without API", opt: sdk.WithTokenStore(reader, ""), want: "WithTokenStore"},
		{name: "store with a wrong API", opt: sdk.WithTokenStore(reader, "inventory"), want: "api"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, audience := tt.issuer, tt.audience
			opts := []sdk.VerifierOption{sdk.WithHTTPClient(&http.Client{Transport: unreachable{t}})}
			if tt.opt != nil {
				issuer, audience = "https://issuer.test", api
				opts = append(opts, tt.opt)
			}
			v, err := sdk.NewVerifier(issuer, audience, opts...)
			if tt.want == "" && err == nil {
				_ = v.Close()
				return
			}
			if tt.want == "" || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

type unreachable struct{ t *testing.T }

func (u unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("request to %s", r.URL)
	return nil, errors.New("unreachable")
}

// What the token says is what the identity says.
func TestIdentityOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		claims := sdktest.Claims{
			ClientID: "cl_a", Subject: "alice", Scopes: []string{"b", "a"}, Audience: []string{"https://other.test", api},
			Members: map[string]any{
				"tenant": "t1",
				"act":    map[string]any{"sub": "proxy", "iss": "https://issuer.test", "act": map[string]any{"client_id": "first"}},
			},
		}
		for _, token := range []string{s.issuer.Mint(claims), s.issuer.MintOpaque(claims)} {
			i, err := s.Verify(t.Context(), token, sdk.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			var tenant string
			ok, err := i.Claim("tenant", &tenant)
			actors := i.Actors()
			if i.ClientID() != "cl_a" || i.Subject() != "alice" || i.Issuer() != s.issuer.URL() || len(i.TokenID()) != 22 ||
				strings.Join(i.Scopes(), " ") != "b a" || strings.Join(i.Audience(), " ") != "https://other.test "+api ||
				!i.Expires().Equal(time.Now().Add(time.Hour)) || !i.IssuedAt().Equal(time.Now()) ||
				!ok || err != nil || tenant != "t1" ||
				len(actors) != 2 || actors[0] != (sdk.Actor{Issuer: "https://issuer.test", Subject: "proxy"}) || actors[1].ClientID != "first" {
				t.Errorf("%+v", i)
			}
		}
	})
}

// A token that was seen before costs nothing but its look-up, and says the same.
func TestSeenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		for _, token := range []string{s.issuer.Mint(longClaims()), s.issuer.MintOpaque(sdktest.Claims{})} {
			first, err := s.Verify(t.Context(), token, sdk.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, policy := t.Context(), sdk.Policy{Mode: sdk.Strict}
			allocations := testing.AllocsPerRun(100, func() {
				if again, err := s.Verify(ctx, token, policy); again != first || err != nil {
					t.Errorf("%v, %v", again, err)
				}
			})
			if allocations != 0 {
				t.Errorf("%v allocations", allocations)
			}
		}
		if n := s.Describe().Tokens; n.Signatures != 1 || n.Introspections != 1 || n.FromMemory != 202 || n.Remembered != 2 {
			t.Errorf("%+v", n)
		}
	})
}

// One cache for all audiences: what was found for one must not pass for another, in whatever order they come.
func TestAudiencesDoNotMix(t *testing.T) {
	const other = "https://other.test"
	for _, kind := range []func(*sdktest.Issuer, sdktest.Claims) string{(*sdktest.Issuer).Mint, (*sdktest.Issuer).MintOpaque} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			theirs := &service{Verifier: s.ForAudience(other), issuer: s.issuer}
			ours, both := kind(s.issuer, sdktest.Claims{}), kind(s.issuer, sdktest.Claims{Audience: []string{api, other}})
			foreign := kind(s.issuer, sdktest.Claims{Audience: []string{other}})
			for range 2 {
				s.expect(t, "ours", "ok", ours, sdk.Policy{})
				theirs.expect(t, "ours, theirs", "401", ours, sdk.Policy{})
				theirs.expect(t, "foreign, theirs", "ok", foreign, sdk.Policy{})
				s.expect(t, "foreign", "401", foreign, sdk.Policy{})
				s.expect(t, "both", "ok", both, sdk.Policy{})
				theirs.expect(t, "both, theirs", "ok", both, sdk.Policy{})
			}
			if n := s.Describe().Tokens.Remembered; n != 3 {
				t.Errorf("%d tokens remembered, want 3", n)
			}
		})
	}
}

// A token that is not for this audience takes no room from those that are.
func TestOnlyGoodTokensAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		for range 20 {
			s.expect(t, "JWT", "401", s.issuer.Mint(sdktest.Claims{Audience: []string{"https://other.test"}}), sdk.Policy{})
			s.expect(t, "opaque", "401", s.issuer.MintOpaque(sdktest.Claims{Audience: []string{"https://other.test"}}), sdk.Policy{})
			s.expect(t, "forged", "401", s.issuer.Mint(sdktest.Claims{Sign: sdktest.NewKey(sdktest.ES256, "").Sign}), sdk.Policy{})
			s.expect(t, "unknown", "401", sdktest.New().MintOpaque(sdktest.Claims{}), sdk.Policy{})
		}
		if n := s.Describe().Tokens.Remembered; n != 0 {
			t.Errorf("%d tokens remembered", n)
		}
	})
}

// S13, attack 33: tokens of unknown keys make no more than one request per cool-down, whoever sends how many.
func TestUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.expect(t, "good", "ok", s.issuer.Token(api), sdk.Policy{})
		time.Sleep(time.Minute)
		before := s.issuer.Requests(sdktest.JWKSEndpoint)
		var wg sync.WaitGroup
		for range 1000 {
			token := s.issuer.Mint(sdktest.Claims{Header: map[string]any{"kid": rand22()}})
			wg.Go(func() { s.expect(t, "unknown key", "401", token, sdk.Policy{}) })
		}
		wg.Wait()
		if n := s.issuer.Requests(sdktest.JWKSEndpoint) - before; n != 1 {
			t.Errorf("%d requests for keys, want 1", n)
		}
		for range 100 { // a bad signature under a known key asks nobody
			s.expect(t, "bad signature", "401", s.issuer.Mint(sdktest.Claims{Sign: sdktest.NewKey(sdktest.ES256, "").Sign}), sdk.Policy{})
			time.Sleep(time.Second)
		}
		if n := s.issuer.Requests(sdktest.JWKSEndpoint) - before; n > 2 {
			t.Errorf("%d requests for keys, want none for bad signatures", n)
		}
	})
}

func rand22() string { return sdktest.NewKey(sdktest.EdDSA, "").ID() }

// Whoever waited for the key with the same token gains by the first who checks it.
func TestManyWaitForAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.issuer.Slow(time.Second, sdktest.JWKSEndpoint)
		token := s.issuer.Token(api)
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() { s.expect(t, "waits", "ok", token, sdk.Policy{}) })
		}
		wg.Wait()
		if n := s.Describe().Tokens.Signatures; n > 100 || s.issuer.Requests(sdktest.JWKSEndpoint) != 1 {
			t.Errorf("%d signatures checked, %d requests for keys, want next to one", n, s.issuer.Requests(sdktest.JWKSEndpoint))
		}
	})
}

// M09, S14: keys rotate and are withdrawn without an outage, and a withdrawn key's tokens end with it.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		old := s.issuer.Key()
		token := s.issuer.Token(api)
		s.expect(t, "old key", "ok", token, sdk.Policy{})
		s.issuer.RotateKeys()
		time.Sleep(time.Minute)
		s.expect(t, "new key, fetched when it is met", "ok", s.issuer.Token(api), sdk.Policy{})
		s.expect(t, "old key, still published", "ok", token, sdk.Policy{})
		s.issuer.Fail(sdktest.Failure{Status: 503}, sdktest.JWKSEndpoint)
		time.Sleep(30 * time.Minute)
		s.expect(t, "key set down", "ok", token, sdk.Policy{})
		s.issuer.Heal()
		s.issuer.WithdrawKey(old.ID())
		time.Sleep(5 * time.Minute)
		s.expect(t, "old key, withdrawn", "401", token, sdk.Policy{})
		s.expect(t, "old key, withdrawn, strict", "401", token, sdk.Policy{Mode: sdk.Strict})
		s.expect(t, "new key", "ok", s.issuer.Token(api), sdk.Policy{})
	})
}

// A revoked key's tokens are refused on receipt of the entry, whatever cs_rev they claim.
func TestRevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		token, late := s.issuer.Token(api), s.issuer.Mint(sdktest.Claims{Members: map[string]any{"cs_rev": int64(1) << 62}})
		unnamed := s.issuer.Mint(sdktest.Claims{Header: map[string]any{"kid": nil}})
		s.expect(t, "before", "ok", token, sdk.Policy{})
		s.expect(t, "before", "ok", late, sdk.Policy{})
		s.expect(t, "before", "ok", unnamed, sdk.Policy{})
		s.issuer.RevokeKey(s.issuer.Key().ID())
		time.Sleep(time.Second)
		s.expect(t, "afterwards", "401", token, sdk.Policy{})
		s.expect(t, "afterwards, of the future", "401", late, sdk.Policy{})
		s.expect(t, "afterwards, without a kid", "401", unnamed, sdk.Policy{})
		again := s.issuer.Mint(sdktest.Claims{Header: map[string]any{"kid": nil}})
		s.expect(t, "afterwards, new, without a kid", "401", again, sdk.Policy{})
	})
}

// Keys are not used beyond their hard maximum age, however often a token was seen.
func TestKeysGrowTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, sdk.WithKeysMaxAge(10*time.Minute))
		token := s.issuer.Token(api)
		s.expect(t, "before", "ok", token, sdk.Policy{})
		s.issuer.Fail(sdktest.Failure{}, sdktest.JWKSEndpoint)
		time.Sleep(9 * time.Minute)
		s.expect(t, "old", "ok", token, sdk.Policy{})
		time.Sleep(10 * time.Minute)
		s.expect(t, "too old", "503", token, sdk.Policy{})
	})
}

// What a strict route accepts was not revoked a second ago, though polls and stream are held back for up to 3 s.
func TestRevokedWithinTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		var n atomic.Int64
		s.issuer.HoldFeed(func() time.Duration { return time.Duration(n.Add(1)*977%3000) * time.Millisecond })
		var late, accepted int
		for trial := range 200 {
			claims := sdktest.Claims{Lifetime: time.Hour}
			token := s.issuer.Mint(claims)
			if trial%2 == 1 {
				token = s.issuer.MintOpaque(claims)
			}
			s.expect(t, "before", "ok", token, sdk.Policy{Mode: sdk.Strict})
			time.Sleep(time.Duration(trial*37%1500) * time.Millisecond)
			s.issuer.Revoke(token)
			revoked := time.Now()
			for time.Since(revoked) < 4*time.Second {
				_, err := s.Verify(t.Context(), token, sdk.Policy{Mode: sdk.Strict})
				switch {
				case err == nil && time.Since(revoked) > time.Second:
					late++
				case err == nil:
					accepted++
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		if late != 0 {
			t.Errorf("%d times accepted later than a second after", late)
		}
		t.Logf("%d times accepted within the second", accepted)
	})
}

// A caller leaves at the end of its own context and takes nothing away from others.
func TestCallersContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		s.issuer.Slow(1900*time.Millisecond, sdktest.IntrospectionEndpoint)
		token := s.issuer.MintOpaque(sdktest.Claims{})
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(500 * time.Millisecond)
			s.expect(t, "patient", "ok", token, sdk.Policy{})
		}()
		_, err := s.Verify(hasty, token, sdk.Policy{})
		if outcome(err) != "503" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hasty: %v", err)
		}
		<-done
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Verify(gone, s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); outcome(err) != "503" || !errors.Is(err, context.Canceled) {
			t.Errorf("gone: %v", err)
		}
		if i, err := s.Verify(gone, token, sdk.Policy{}); err != nil {
			t.Errorf("what is remembered needs nobody: %v, %v", i, err)
		}
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 1 {
			t.Errorf("%d introspections, want 1", n)
		}
	})
}

// The first calls wait for the first poll, up to 5 s, and the next ones do not.
func TestStart(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(*sdktest.Issuer)
		wait time.Duration
		want string
	}{
		{"slow", func(i *sdktest.Issuer) { i.Slow(time.Second, sdktest.FeedPoll) }, time.Second, "ok"},
		{"hung feed", func(i *sdktest.Issuer) { i.Block(sdktest.FeedPoll) }, 5 * time.Second, "503"},
		{"down", func(i *sdktest.Issuer) { i.Down(true) }, time.Second, "503"},
		{"no metadata", func(i *sdktest.Issuer) { i.Fail(sdktest.Failure{Status: 500}, sdktest.MetadataEndpoint) }, time.Second, "503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				tt.fail(s.issuer)
				token := s.issuer.Token(api)
				began := time.Now()
				s.expect(t, "first", tt.want, token, sdk.Policy{})
				if waited := time.Since(began); waited > tt.wait {
					t.Errorf("the first waited %v, want %v", waited, tt.wait)
				}
				time.Sleep(10 * time.Second)
				began = time.Now()
				s.expect(t, "later", tt.want, token, sdk.Policy{})
				if waited := time.Since(began); waited != 0 {
					t.Errorf("a later one waited %v", waited)
				}
				if err := s.Ready(t.Context()); outcome(err) != tt.want {
					t.Errorf("ready: %v", err)
				}
				s.issuer.Down(false)
				s.issuer.Heal()
			})
		})
	}
}

// An issuer that comes back is found again, and one that gets a feed is followed from then on.
func TestIssuerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.issuer.Down(true)
		s.expect(t, "down", "503", s.issuer.Token(api), sdk.Policy{})
		time.Sleep(10 * time.Minute)
		s.issuer.Down(false)
		time.Sleep(time.Minute)
		s.expect(t, "back", "ok", s.issuer.Token(api), sdk.Policy{Mode: sdk.Strict})
		if s.issuer.Requests(sdktest.IntrospectionEndpoint) != 0 {
			t.Error("it took an introspection")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.issuer.Alter(sdktest.MetadataEndpoint, func(m map[string]any) { delete(m, "countersign_revocation_endpoint") })
		token := s.issuer.Token(api)
		s.expect(t, "no feed", "ok", token, sdk.Policy{})
		s.issuer.Revoke(token)
		s.issuer.Heal()
		time.Sleep(10 * time.Minute)
		s.expect(t, "feed", "401", token, sdk.Policy{})
	})
}

// After Close nothing stands any more, nothing goes on, and nobody waits. That no goroutine is left is seen to by the bubble.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); !errors.Is(err, sdk.ErrClosed) {
			t.Errorf("ready: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		token := s.issuer.Token(api)
		s.expect(t, "before", "ok", token, sdk.Policy{})
		s.issuer.Block(sdktest.IntrospectionEndpoint)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := s.Verify(t.Context(), s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
				if !errors.Is(err, sdk.ErrUnavailable) {
					t.Errorf("waiting while it closes: %v", err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		for range 2 {
			_ = s.Close()
		}
		wg.Wait()
		for _, v := range []*sdk.Verifier{s.Verifier, s.ForAudience("https://other.test")} {
			if _, err := v.Verify(t.Context(), token, sdk.Policy{}); !errors.Is(err, sdk.ErrClosed) || !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("afterwards: %v", err)
			}
		}
		if state := s.Describe(); state.Revocations.Feed != "closed" || state.Tokens.Remembered != 0 {
			t.Errorf("%+v", state)
		}
	})
}

// Many callers, many tokens, revocations meanwhile: nobody who was told no is told yes again.
func TestConcurrentVerdicts(t *testing.T) {
	const all, some = 32, 8
	s := newService(t)
	var tokens [all]string
	var refused [all]atomic.Bool
	for n := range tokens {
		tokens[n] = s.issuer.Token(api)
	}
	var told atomic.Int64
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for round := worker; told.Load() < some && t.Context().Err() == nil; round++ {
				n := round % all
				was := refused[n].Load()
				switch _, err := s.Verify(t.Context(), tokens[n], sdk.Policy{Mode: sdk.Mode(round % 2)}); outcome(err) {
				case "ok":
					if was {
						t.Errorf("token %d is accepted again", n)
					}
				case "401":
					if !refused[n].Swap(true) {
						told.Add(1)
					}
				default:
					t.Errorf("token %d: %v", n, err)
				}
			}
		})
	}
	for n := range some {
		s.issuer.Revoke(tokens[n*3])
	}
	wg.Wait()
	for n := range tokens {
		if refused[n].Load() && (n%3 != 0 || n/3 >= some) {
			t.Errorf("token %d was not revoked, but refused", n)
		}
	}
}
