package sdk_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// D20, and RFC 9449 §7.1: what the answers say.
func TestDPoPChallenges(t *testing.T) {
	h := newHolder(t)
	s, strict := newService(t), newService(t, sdk.WithBoundTokensOnly())
	const (
		plain = `Bearer realm="https://api.test"`
		dpop  = `DPoP realm="https://api.test", algs="ES256 RS256 PS256 EdDSA"`
	)
	without := h.request(h.mint(s.issuer, true, false), "")
	without.Header.Del("DPoP")
	nobody := httptest.NewRequest(http.MethodGet, orders, nil)
	narrow := s.issuer.Mint(sdktest.Claims{Scopes: []string{"a"}, Members: map[string]any{"cnf": h.cnf(true, false)}})
	for _, tt := range []struct {
		name    string
		at      *service
		request *http.Request
		status  int
		want    []string
	}{
		{"S01: no token", s, nobody, 401, []string{plain}},
		{"D20: no token where it has to be bound", strict, nobody, 401, []string{plain, dpop}},
		{"D20: a plain token where it has to be bound", strict, bearing(strict.issuer.Mint(sdktest.Claims{})), 401, []string{
			plain + `, error="invalid_token", error_description="the token is bound to no key, and only bound ones are accepted here"`, dpop,
		}},
		{"D20: a bound token as bearer", s, bearing(h.mint(s.issuer, true, false)), 401, []string{
			plain + `, error="invalid_token", error_description="the token is bound to a key and cannot be used as a bearer token"`, dpop,
		}},
		{"D20: no proof", s, without, 401, []string{
			plain, dpop + `, error="invalid_dpop_proof", error_description="the request has no DPoP proof"`,
		}},
		{"D20: a plain token under DPoP", s, h.request(s.issuer.Mint(sdktest.Claims{}), ""), 401, []string{
			plain, dpop + `, error="invalid_token", error_description="the token is not bound to a key, so it does not go by the scheme DPoP"`,
		}},
		{"B03: no certificate", s, bearing(h.mint(s.issuer, false, true)), 401, []string{
			plain + `, error="invalid_token", error_description="the token is bound to a client certificate, and there is none"`,
		}},
		{"S08: too few scopes", s, h.request(narrow, ""), 403, []string{
			plain, dpop + `, error="insufficient_scope", error_description="the token lacks a scope that is needed here", scope="b"`,
		}},
		{"S03: expired", s, h.request(s.issuer.Mint(sdktest.Claims{Lifetime: -time.Hour, Members: map[string]any{"cnf": h.cnf(true, false)}}), ""), 401, []string{
			plain, dpop + `, error="invalid_token", error_description="the token has expired"`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policy := sdk.Policy{}
			if strings.HasPrefix(tt.name, "S08") {
				policy = sdk.RequireScope("b")
			}
			w := httptest.NewRecorder()
			tt.at.HandlerFunc(policy, whoami).ServeHTTP(w, tt.request)
			if got := w.Header()["Www-Authenticate"]; w.Code != tt.status || strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("%d\n%s\nwant %d\n%s", w.Code, strings.Join(got, "\n"), tt.status, strings.Join(tt.want, "\n"))
			}
			if nonce := w.Header().Get("DPoP-Nonce"); nonce != "" {
				t.Errorf("nonce %s, which nobody asked for", nonce)
			}
		})
	}
}

func TestDPoPNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := bytes.Repeat([]byte{7}, 32)
		h, issuer := newHolder(t), sdktest.New()
		s, twin := serviceOf(t, issuer, sdk.WithDPoPNonces(key)), serviceOf(t, issuer, sdk.WithDPoPNonces(key))
		token := issuer.Mint(sdktest.Claims{Lifetime: time.Hour, Members: map[string]any{"cnf": h.cnf(true, false)}})
		answer := func(at *service, r *http.Request) (string, *httptest.ResponseRecorder) {
			w := httptest.NewRecorder()
			at.HandlerFunc(sdk.Policy{}, whoami).ServeHTTP(w, r)
			return w.Header().Get("DPoP-Nonce"), w
		}
		nonce, w := answer(s, h.request(token, ""))
		if challenge := w.Header()["Www-Authenticate"]; w.Code != 401 || nonce == "" || len(challenge) != 2 || !strings.Contains(challenge[1], `error="use_dpop_nonce"`) {
			t.Fatalf("D13: %d, %v, nonce %q", w.Code, challenge, nonce)
		}
		r := h.request(token, nonce)
		next, w := answer(s, r)
		if w.Code != 200 || next == "" {
			t.Fatalf("D13: with the nonce: %d, %s, next %q", w.Code, w.Body, next)
		}
		if _, w = answer(s, r); w.Code != 401 || !strings.Contains(w.Body.String(), "used before") {
			t.Errorf("D09: the same proof again: %d, %s", w.Code, w.Body)
		}
		if _, w = answer(twin, h.request(token, nonce)); w.Code != 200 {
			t.Errorf("at an instance that shares the key: %d, %s", w.Code, w.Body)
		}
		old := h.request(token, nonce)
		time.Sleep(10 * time.Minute)
		if next, w = answer(s, old); w.Code != 401 || next == nonce || !strings.Contains(w.Body.String(), "nonce") {
			t.Errorf("D14: ten minutes later: %d, %s", w.Code, w.Body)
		}
		if _, w = answer(s, h.request(token, next)); w.Code != 200 {
			t.Errorf("D14: with the new nonce: %d, %s", w.Code, w.Body)
		}
	})
}

// D07: a proof is good for a short while, by clocks that differ by as much as the leeway.
func TestProofsWearOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := newHolder(t), newService(t, sdk.WithLeeway(10*time.Second))
		token := s.issuer.Mint(sdktest.Claims{Lifetime: time.Hour, Members: map[string]any{"cnf": h.cnf(true, false)}})
		late, later, again := h.request(token, ""), h.request(token, ""), h.request(token, "")
		if _, err := s.VerifyRequest(again, sdk.Policy{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		if _, err := s.VerifyRequest(late, sdk.Policy{}); err != nil {
			t.Errorf("D07: after 40 s: %v", err)
		}
		if _, err := s.VerifyRequest(again, sdk.Policy{}); boundOutcome(err) != "invalid_dpop_proof" || !strings.Contains(err.Error(), "used before") {
			t.Errorf("D09: after 40 s: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := s.VerifyRequest(later, sdk.Policy{}); boundOutcome(err) != "invalid_dpop_proof" {
			t.Errorf("D07: after 41 s: %v", err)
		}
	})
}

func TestPublicURL(t *testing.T) {
	h := newHolder(t)
	for _, tt := range []struct {
		name string
		opts []sdk.VerifierOption
		htu  string
		want string
	}{
		{"as the request says", nil, orders, "ok"},
		{"a service that forwards proofs", []sdk.VerifierOption{sdk.WithPublicURL("https://api.test/v1")}, orders, "invalid_dpop_proof"},
		{"as it is known", []sdk.VerifierOption{sdk.WithPublicURL("https://api.test:443")}, "https://api.test/orders/7", "ok"},
		{"under a path", []sdk.VerifierOption{sdk.WithPublicURL("https://api.test/v1/")}, "https://api.test/v1/orders/7", "ok"},
		{"by a function", []sdk.VerifierOption{sdk.WithRequestURI(func(r *http.Request) string {
			return "https://" + r.Header.Get("X-Forwarded-Host") + r.URL.Path
		})}, "https://outside.test/orders/7", "ok"},
	} {
		t.Run("D03: "+tt.name, func(t *testing.T) {
			s := newService(t, tt.opts...)
			token := h.mint(s.issuer, true, false)
			r := h.request(token, "")
			r.Header.Set("DPoP", h.proof("GET", tt.htu, token, ""))
			r.Header.Set("X-Forwarded-Host", "outside.test")
			if _, err := s.VerifyRequest(r, sdk.Policy{}); boundOutcome(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for name, opt := range map[string]sdk.VerifierOption{
		"no scheme": sdk.WithPublicURL("api.test"), "a query": sdk.WithPublicURL("https://api.test?q"), "no function": sdk.WithRequestURI(nil),
		"a short key": sdk.WithDPoPNonces(make([]byte, 16)), "no proxy": sdk.WithClientCertFrom(), "no store": sdk.WithReplayStore(nil),
	} {
		if _, err := sdk.NewVerifier("https://auth.test", api, opt); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Handlers may see another path than the client's.
func TestProofsAreForWhatTheClientSent(t *testing.T) {
	h, s := newHolder(t), newService(t)
	server := httptest.NewUnstartedServer(http.StripPrefix("/v1", s.HandlerFunc(sdk.Policy{}, whoami)))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	transport.TLSClientConfig.Certificates = []tls.Certificate{h.certificate}
	token := h.mint(s.issuer, true, true)
	address := server.URL + "/v1/a%2Fb?q=1"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", h.proof("GET", address, token, ""))
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("B01, D01: %d, %v", answer.StatusCode, answer.Header["Www-Authenticate"])
	}
}

// replayStore is a ReplayStore that can fail.
type replayStore struct {
	mu   sync.Mutex
	seen map[[32]byte]bool
	err  error
}

func (s *replayStore) Add(_ context.Context, key [32]byte, _ time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false, s.err
	}
	added := !s.seen[key]
	s.seen[key] = true
	return added, nil
}

func (s *replayStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func TestReplaysAcrossInstances(t *testing.T) {
	shared := &replayStore{seen: map[[32]byte]bool{}}
	h, issuer := newHolder(t), sdktest.New()
	one, other := serviceOf(t, issuer, sdk.WithReplayStore(shared)), serviceOf(t, issuer, sdk.WithReplayStore(shared))
	token := h.mint(issuer, true, false)
	verify := func(at *service, r *http.Request) string {
		_, err := at.VerifyRequest(r, sdk.Policy{})
		return boundOutcome(err)
	}
	r := h.request(token, "")
	if got := verify(one, r); got != "ok" {
		t.Fatal(got)
	}
	if got := verify(other, r); got != "invalid_dpop_proof" {
		t.Errorf("D09: at the other instance: %s", got)
	}
	shared.fail(errors.New("down"))
	for range 5 {
		down := h.request(token, "")
		if got := verify(one, down); got != "ok" {
			t.Errorf("while the store is down: %s", got)
		}
		if got := verify(one, down); got != "invalid_dpop_proof" {
			t.Errorf("D09: while the store is down, at the same instance: %s", got)
		}
	}
	if got := verify(one, r); got != "invalid_dpop_proof" {
		t.Errorf("D09: what was used before the store went down: %s", got)
	}
}

func TestReplaysFull(t *testing.T) {
	h, s := newHolder(t), newService(t, sdk.WithReplayStore(&replayStore{err: sdk.ErrReplaysFull}))
	_, err := s.VerifyRequest(h.request(h.mint(s.issuer, true, false), ""), sdk.Policy{})
	if refusal := s.Refusal(err); refusal.Status != http.StatusServiceUnavailable || refusal.RetryAfter == 0 {
		t.Errorf("got %v, %+v", err, refusal)
	}
}

func TestReplayMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sdk.NewReplayMemory(64)
		add := func(n byte, life time.Duration) string {
			added, err := m.Add(t.Context(), [32]byte{n}, time.Now().Add(life)) // all in the same part of it
			switch {
			case errors.Is(err, sdk.ErrReplaysFull):
				return "full"
			case added:
				return "new"
			}
			return "known"
		}
		for _, step := range []struct {
			n    byte
			want string
		}{{1, "new"}, {1, "known"}, {2, "full"}, {1, "known"}} {
			if got := add(step.n, time.Minute); got != step.want {
				t.Errorf("%d: %s, want %s", step.n, got, step.want)
			}
		}
		time.Sleep(time.Minute)
		if got := add(1, time.Minute); got != "known" {
			t.Errorf("when it expires: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := add(2, time.Minute); got != "new" {
			t.Errorf("when it has expired there is room: %s", got)
		}
	})
}

func TestReplayMemoryAtOnce(t *testing.T) {
	m := sdk.NewReplayMemory(1 << 10)
	var running sync.WaitGroup
	var mu sync.Mutex
	added := map[byte]int{}
	for range 8 {
		running.Go(func() {
			for n := range byte(100) {
				if ok, err := m.Add(t.Context(), [32]byte{n, 31: n}, time.Now().Add(time.Minute)); ok && err == nil {
					mu.Lock()
					added[n]++
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	for n := range byte(100) {
		if added[n] != 1 {
			t.Errorf("proof %d was new %d times", n, added[n])
		}
	}
}

// D15–D17 for whoever has no request at hand.
func TestPresented(t *testing.T) {
	h, s := newHolder(t), newService(t)
	token := h.mint(s.issuer, true, true)
	shown := func() sdk.Presented {
		return sdk.Presented{
			Token: token, DPoP: true, Proofs: []string{h.proof("GET", orders, token, "")}, Method: "GET", URI: orders, Certificate: h.certificate.Leaf,
		}
	}
	for name, tt := range map[string]struct {
		alter func(*sdk.Presented)
		want  string
	}{
		"all":               {func(*sdk.Presented) {}, "ok"},
		"D15: no proof":     {func(p *sdk.Presented) { p.Proofs = nil }, "invalid_dpop_proof"},
		"D16: as bearer":    {func(p *sdk.Presented) { p.DPoP = false }, "401"},
		"D03: another URI":  {func(p *sdk.Presented) { p.URI = "https://orders.test/" }, "invalid_dpop_proof"},
		"B03: none":         {func(p *sdk.Presented) { p.Certificate = nil }, "401"},
		"B02: another's":    {func(p *sdk.Presented) { p.Certificate = newHolder(t).certificate.Leaf }, "401"},
		"B02: an empty one": {func(p *sdk.Presented) { p.Certificate = new(x509.Certificate) }, "401"},
		"S05: bad audience": {func(p *sdk.Presented) { p.Token = "x" }, "401"},
	} {
		t.Run(name, func(t *testing.T) {
			p := shown()
			tt.alter(&p)
			if _, err := s.VerifyPresented(t.Context(), p, sdk.Policy{}); boundOutcome(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Guards may be nested: the proof is one for both.
func TestNestedGuardsTakeOneProof(t *testing.T) {
	h, s := newHolder(t), newService(t)
	nested := s.Middleware(sdk.Policy{})(s.ForAudience(api).HandlerFunc(sdk.Policy{}.Strict(), whoami))
	token := h.mint(s.issuer, true, false)
	r := h.request(token, "")
	w := httptest.NewRecorder()
	nested.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d, %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	if nested.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("D09: again: %d", w.Code)
	}
}

func TestPresentedIsNotPrinted(t *testing.T) {
	shown := sdk.Presented{Token: "the-token", Proofs: []string{"the-proof"}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).InfoContext(t.Context(), "x", "shown", shown)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", shown, shown, &shown, []any{shown}), log.String()} {
		if strings.Contains(text, "the-") || !strings.Contains(text, "[redacted]") {
			t.Errorf("printed: %s", text)
		}
	}
}
